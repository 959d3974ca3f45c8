package overflow

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/internal/storage/disk"
)

// findings is what a directory's data file and index tell together.
type findings struct {
	size     int64
	index    []IndexEntry
	survey   *survey  // nil if there is nothing in the data file
	live     []Entry  // storages and their records; positions are offsets
	nameless []*Chain // that no storage of the index has

	doubts []string // why live may not be all that is to be delivered
	stale  []string // how the index differs from the data file
}

// examine reads both files and changes nothing.
func examine(dir disk.Dir) (*findings, error) {
	index, bad, err := readIndex(dir, indexName)
	if err != nil {
		return nil, err
	}
	f := &findings{index: index}
	if bad != nil {
		f.stale = append(f.stale, fmt.Sprintf("%s: %v", indexName, bad))
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
	return f, f.compare(f.survey)
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

// sighting is the record at the first offset of an index entry.
type sighting struct {
	chain          *Chain // nil if no record is there
	segment        int    // number of the segment it lies in
	records, bytes uint64 // of that segment before it
	delivered      count  // of these, those that are marked as delivered
}

// compare goes through the data file and decides which records are live.
func (f *findings) compare(s *survey) error {
	seen := make([]sighting, len(f.index))
	for s.next() {
		if i, ok := s.entries[s.scanner.offset]; ok {
			c := s.chain
			seen[i] = sighting{chain: c, segment: c.Dead.Segments, records: c.Records - 1, bytes: c.Bytes - s.scanner.record.length}
		}
	}
	if s.scanner.err != nil {
		return s.scanner.err
	}
	named := f.matchEntries(seen)
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
	if len(f.nameless) > 0 {
		f.doubts = append(f.doubts, fmt.Sprintf("there are records of %d storages whose names are unknown", len(f.nameless)))
	}
	if s.wasted >= headerSize {
		f.doubts = append(f.doubts, fmt.Sprintf("%d bytes of %s are no records", s.wasted, dataName))
	}
	return nil
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
