package overflow

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// findings is what a directory's data file and index tell together.
type findings struct {
	size     int64
	index    []IndexEntry
	survey   *survey  // nil if there is nothing in the data file
	live     []Entry  // storages and their records; positions are offsets
	marked   []count  // of each, records that are marked as delivered
	nameless []*Chain // that no storage of the index has
	settled  int64    // see settle

	doubts []string // why live may not be all that is to be delivered
	stale  []string // how the index differs from the data file
}

// examine reads both files and changes nothing.
func examine(dir disk.Dir) (*findings, error) {
	index, err := readIndex(dir, indexName)
	if err != nil {
		return nil, err
	}
	f := &findings{index: index.entries}
	if index.bad != nil {
		f.stale = append(f.stale, fmt.Sprintf("%s: %v", indexName, index.bad))
	}
	data, err := dir.Open(dataName)
	if errors.Is(err, fs.ErrNotExist) {
		return f.withoutData(), nil
	}
	if err != nil {
		return nil, err
	}
	defer data.Close()
	size, err := data.Size()
	if err != nil {
		return nil, err
	}
	if f.size = size; size == 0 {
		return f.withoutData(), nil
	}
	if ok, err := hasMagic(data, size); err != nil {
		return nil, err
	} else if !ok {
		f.doubts = append(f.doubts, fmt.Sprintf("%s doesn't begin with %s", dataName, magic))
		return f, nil
	}
	if err := f.checkAge(dir); err != nil {
		return nil, err
	}
	f.survey = newSurvey(data, size, f.index)
	return f, f.compare(f.survey, index.bad == nil && !index.moving)
}

// withoutData judges the index if the data file is missing or empty.
func (f *findings) withoutData() *findings {
	if len(f.index) > 0 || len(f.stale) > 0 {
		f.doubts = append(f.doubts, fmt.Sprintf("%s is empty, but %s is not", dataName, indexName))
	}
	return f
}

// checkAge compares the times of the files, with a tolerance that covers a clean stop, and
// copying both.
func (f *findings) checkAge(dir disk.Dir) error {
	data, err := dir.Stat(dataName)
	if err != nil {
		return err
	}
	index, err := dir.Stat(indexName)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil || data.ModTime().Sub(index.ModTime()) > time.Second {
		f.stale = append(f.stale, fmt.Sprintf("%s was written before %s", indexName, dataName))
	}
	return nil
}

// sighting is the record at the first or last offset of an index entry.
type sighting struct {
	chain          *Chain // nil if no record is there
	segment        int    // number of the segment it lies in
	records, bytes uint64 // of that segment: before the first one, up to the last one
	delivered      count  // of these, those that are marked as delivered
}

// compare goes through the data file and decides which records are live. snapshot says that
// the index lists all storages that had records at one moment.
func (f *findings) compare(s *survey, snapshot bool) error {
	first, last := s.sight(f.index)
	if s.scanner.err != nil {
		return s.scanner.err
	}
	named := f.matchEntries(first)
	if snapshot && len(f.doubts) == 0 {
		f.settle(first, last)
	}
	for _, c := range s.sorted() {
		if !named[c.ID] {
			f.nameless = append(f.nameless, c)
		}
	}
	if len(f.index) == 0 && len(f.nameless) > 0 {
		f.stale = append(f.stale, fmt.Sprintf("%s is empty", indexName))
	}
	// A correct index knows all that is live. Any other may have missed something.
	if len(f.stale) == 0 && len(f.doubts) == 0 {
		return nil
	}
	if unknown := f.unknown(); len(unknown) > 0 {
		f.doubts = append(f.doubts, fmt.Sprintf("there are records of %d storages whose names are unknown", len(unknown)))
	}
	wasted := s.wasted
	if f.settled > 0 {
		wasted = s.wastedBehind
	}
	if wasted >= headerSize {
		f.doubts = append(f.doubts, fmt.Sprintf("%d bytes of %s are no records", wasted, dataName))
	}
	return nil
}

// settle finds the offset up to which an outdated index is as good as a correct one. Records
// are only ever appended, so those in front of one that the index lists were there when it
// was written. What it didn't list was consumed then, or removed: whether it is a chain, or
// was one before it became garbage. That holds if the index and the file belong together:
// every entry has to fit, because the records that one lacks could be in such garbage.
func (f *findings) settle(first, last []sighting) {
	for i, e := range f.index {
		if !first[i].fits(last[i], e) {
			return
		}
	}
	f.settled = f.survey.newest
}

// fits reports whether an entry has just the records that lie between its first and its last.
func (s sighting) fits(last sighting, e IndexEntry) bool {
	return s.chain != nil && s.chain == last.chain && s.segment == last.segment &&
		last.records-s.records == uint64(e.Records) && last.bytes-s.bytes == e.Bytes
}

// unknown returns the chains that may be those of storages whose names the index lacks.
func (f *findings) unknown() []*Chain {
	var chains []*Chain
	for _, c := range f.nameless {
		if !c.before(f.settled) {
			chains = append(chains, c)
		}
	}
	return chains
}

// matchEntries finds the live records of each entry and returns the ids that have a name.
func (f *findings) matchEntries(seen []sighting) map[uint32]bool {
	named := make(map[uint32]bool)
	names := make(map[string]bool)
	for i, e := range f.index {
		c := seen[i].chain
		switch {
		case names[e.Name]:
			f.doubt(e, "is listed twice")
			continue
		case c == nil:
			f.doubt(e, "has no record at its first offset, or another storage has it")
			continue
		case named[c.ID]:
			f.doubt(e, "has the records of another storage")
			continue
		case c.Gaps > 0, c.Strays > 0 && c.expected != 0:
			f.doubt(e, "lacks records")
		}
		named[c.ID], names[e.Name] = true, true
		state := seen[i].state(e.First)
		if state != (State{c.ID, e.First, e.Last, uint64(e.Records), e.Bytes}) {
			f.stale = append(f.stale, fmt.Sprintf("storage %s has %d records of %d bytes at offsets %d to %d, not %d of %d at %d to %d",
				e.Name, state.Records, state.Bytes, state.First, state.Last, e.Records, e.Bytes, e.First, e.Last))
		}
		f.live = append(f.live, Entry{e.Name, state})
		f.marked = append(f.marked, seen[i].marked())
	}
	return named
}

func (f *findings) doubt(e IndexEntry, what string) {
	f.doubts = append(f.doubts, fmt.Sprintf("storage %s (%d records, %d bytes, offsets %d to %d) %s",
		e.Name, e.Records, e.Bytes, e.First, e.Last, what))
}

// state returns the live records of the chain, if those before the one at first were
// consumed.
func (s sighting) state(first int64) State {
	c := s.chain
	if s.segment < c.Dead.Segments {
		// The storage was drained since the index was written, and pushed to again.
		return State{c.ID, c.First, c.Last, c.Records, c.Bytes}
	}
	return State{c.ID, first, c.Last, c.Records - s.records, c.Bytes - s.bytes}
}

// marked counts those of them that are marked as delivered.
func (s sighting) marked() count {
	if s.segment < s.chain.Dead.Segments {
		return s.chain.delivered
	}
	return s.chain.delivered.minus(s.delivered)
}
