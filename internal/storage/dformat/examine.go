package dformat

import (
	"fmt"
	"io"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// overflow is what a data file and its index tell together.
//
// The data file decides; the index names the chains and says how far they were consumed. An index
// that tells something else is corrected as far as the file proves it. If there are records of
// which neither file can tell whether they are still to be delivered, or to whom, there are
// doubts.
type overflow struct {
	names  fileNames
	index  []entry
	survey *survey // nil if there is nothing in the data file

	live     []chainOf // storages and their records
	nameless []*chain  // that no storage of the index has
	settled  int64     // see settle

	doubts []string // why live may not be all that is to be delivered
	stale  []string // how the index differs from the data file
}

// fileNames is the names of a data file and its index.
type fileNames struct{ data, index string }

// chainOf is the live records of a storage.
type chainOf struct {
	storage string // "" = unknown
	id      uint32
	segment
	jumps map[int64]int64
}

// examine reads the files that are there, of which it is known when they were written.
func examine(dir disk.Dir, names fileNames, written map[string]time.Time) (*overflow, error) {
	o := &overflow{names: names}
	indexed, hasIndex := written[names.index]
	if hasIndex {
		index, bad, err := readIndex(dir, names.index)
		if err != nil {
			return nil, err
		}
		o.index = index
		if bad != nil {
			o.stale = append(o.stale, fmt.Sprintf("%s: %v", names.index, bad))
		}
	}
	data, size, err := openData(dir, names.data, written)
	if err != nil {
		return nil, err
	}
	if size == 0 {
		if len(o.index) > 0 || len(o.stale) > 0 {
			o.doubts = append(o.doubts, fmt.Sprintf("%s is empty, but %s is not", names.data, names.index))
		}
		return o, nil
	}
	defer data.Close()
	if ok, err := hasMagic(data); err != nil {
		return nil, err
	} else if !ok {
		o.doubts = append(o.doubts, fmt.Sprintf("%s doesn't begin with %s", names.data, magic))
		return o, nil
	}
	snapshot := len(o.stale) == 0
	if !hasIndex || written[names.data].Sub(indexed) > tolerance {
		o.stale = append(o.stale, fmt.Sprintf("%s was written before %s", names.index, names.data))
	}
	if o.survey, err = newSurvey(data, size, o.index); err != nil {
		return nil, err
	}
	return o, o.compare(&block{file: data, size: size}, snapshot)
}

// tolerance is how much older than the data file an index may be that belongs to it: it covers a
// clean stop, and copying both.
const tolerance = time.Second

// openData opens a data file; without one, or anything in it, the size is 0.
func openData(dir disk.Dir, name string, written map[string]time.Time) (data disk.File, size int64, err error) {
	if _, ok := written[name]; !ok {
		return nil, 0, nil
	}
	if data, err = disk.OpenToRead(dir, name); err != nil {
		return nil, 0, err
	}
	if size, err = data.Size(); size == 0 || err != nil {
		data.Close()
	}
	return data, size, err
}

// hasMagic reports whether a file begins as a data file does.
func hasMagic(file io.ReaderAt) (bool, error) {
	var b [magicSize]byte
	n, err := file.ReadAt(b[:], 0)
	if n == len(b) || err == io.EOF {
		err = nil
	}
	return string(b[:n]) == magic, err
}

// compare compares the index with what is in the data file. snapshot says that it lists all storages
// that had records at one moment.
func (o *overflow) compare(data *block, snapshot bool) error {
	s := o.survey
	named, err := o.matchEntries(data)
	if err != nil {
		return err
	}
	if snapshot && len(o.doubts) == 0 {
		o.settle()
	}
	for _, c := range s.sorted() {
		if !named[c.id] {
			o.nameless = append(o.nameless, c)
		}
	}
	if len(o.index) == 0 && len(o.nameless) > 0 {
		o.stale = append(o.stale, fmt.Sprintf("%s is empty", o.names.index))
	}
	// A correct index knows all that is live. Any other may have missed something.
	if len(o.stale) == 0 && len(o.doubts) == 0 {
		return nil
	}
	unknown := 0
	for _, c := range o.nameless {
		if o.unknown(c) {
			unknown++
		}
	}
	if unknown > 0 {
		o.doubts = append(o.doubts, fmt.Sprintf("there are records of %d storages whose names are unknown", unknown))
	}
	wasted := s.wasted
	if o.settled > 0 {
		wasted = s.wastedBehind
	}
	if wasted >= headerSize {
		o.doubts = append(o.doubts, fmt.Sprintf("%d bytes of %s are no records", wasted, o.names.data))
	}
	return nil
}

// settle finds the offset up to which an outdated index is as good as a correct one. Records
// are only ever appended, so those in front of one that the index lists were there when it
// was written. What it didn't list was consumed then, or removed: whether it is a chain, or
// was one before it became garbage. That holds if the index and the file belong together:
// every entry has to fit, because the records that one lacks could be in such garbage.
func (o *overflow) settle() {
	seen := o.survey.seen
	for _, e := range o.index {
		if n, ok := seen[e.first].between(seen[e.last]); !ok || n != e.count() {
			return
		}
	}
	o.settled = o.survey.newest
}

// unknown reports whether a chain may be that of a storage whose name the index lacks.
func (o *overflow) unknown(c *chain) bool { return c.latest >= o.settled }

// matchEntries finds the live records of each entry and returns the ids that have a name.
func (o *overflow) matchEntries(data *block) (named map[uint32]bool, err error) {
	named = make(map[uint32]bool)
	storages := make(map[string]bool)
	for _, e := range o.index {
		first, last := o.survey.seen[e.first], o.survey.seen[e.last]
		c := first.chain
		if c == nil {
			c = last.chain // whose records behind a damaged first one are its own, too
		}
		switch {
		case storages[e.name]:
			o.doubt(e, "is listed twice")
			continue
		case c == nil:
			o.doubt(e, "has no record at its first offset, or another storage has it")
			continue
		case named[c.id]:
			o.doubt(e, "has the records of another storage")
			continue
		case first.chain == nil:
			o.doubt(e, "has no record at its first offset")
		case c.gaps > 0, c.strays > 0:
			o.doubt(e, "lacks records")
		}
		named[c.id], storages[e.name] = true, true
		if first.chain == nil {
			behind, err := c.behind(e.first, data)
			if err != nil {
				return nil, err
			}
			o.live = append(o.live, chainOf{e.name, c.id, behind, c.jumps})
			continue
		}
		live := first.live(e.first)
		if n, ok := first.between(last); ok && n != e.count() && live.Count != e.count() {
			o.doubt(e, fmt.Sprintf("has %v there", n))
		}
		if live != (segment{e.first, e.last, e.count()}) {
			o.stale = append(o.stale, fmt.Sprintf("storage %s has %d records of %d bytes at offsets %d to %d, not %d of %d at %d to %d",
				e.name, live.Records, live.Bytes, live.first, live.last, e.records, e.bytes, e.first, e.last))
		}
		o.live = append(o.live, chainOf{e.name, c.id, live, c.jumps})
	}
	return named, nil
}

func (o *overflow) doubt(e entry, what string) {
	o.doubts = append(o.doubts, fmt.Sprintf("storage %s (%v) %s", e.name, e, what))
}
