package dformat

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// overflow is what a data file and its index tell together.
//
// If the index is younger than the data file, and its entries account for every byte of that,
// both are as a clean stop has left them: nothing else can be there, and what is there proves
// itself when it is read. Otherwise the data file is read from start to end and decides; the
// index names the chains and says how far they were consumed. An index that is older than the
// file is corrected as far as the file proves it. If there are records of which neither file
// can tell whether they are still to be delivered, or to whom, there are doubts.
type overflow struct {
	names  fileNames
	data   disk.File // nil if there is nothing in the data file
	size   int64
	index  []entry
	survey *survey // nil if the data file was not read

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
	broken bool // some are missing in between
}

// examine reads both files.
func examine(dir disk.Dir, names fileNames) (o *overflow, err error) {
	o = &overflow{names: names}
	var bad error
	if o.index, bad, err = readIndex(dir, names.index); err != nil {
		return nil, err
	}
	if bad != nil {
		o.stale = append(o.stale, fmt.Sprintf("%s: %v", names.index, bad))
	}
	o.data, err = disk.OpenToRead(dir, names.data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		o.data = nil
	case err != nil:
		return nil, err
	}
	if err := o.compareFiles(dir, bad == nil); err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

func (o *overflow) close() error {
	if o.data == nil {
		return nil
	}
	return o.data.Close()
}

// compareFiles decides which records are live. snapshot says that the index lists all storages
// that had records at one moment.
func (o *overflow) compareFiles(dir disk.Dir, snapshot bool) (err error) {
	if o.data != nil {
		if o.size, err = o.data.Size(); err != nil {
			return err
		}
	}
	if o.size == 0 {
		if len(o.index) > 0 || len(o.stale) > 0 {
			o.doubts = append(o.doubts, fmt.Sprintf("%s is empty, but %s is not", o.names.data, o.names.index))
		}
		return nil
	}
	if ok, err := hasMagic(o.data); err != nil {
		return err
	} else if !ok {
		o.doubts = append(o.doubts, fmt.Sprintf("%s doesn't begin with %s", o.names.data, magic))
		return nil
	}
	if err := o.checkAge(dir); err != nil {
		return err
	}
	if len(o.stale) == 0 {
		if complete, err := o.trust(); complete || err != nil {
			return err
		}
	}
	o.survey = newSurvey(o.data, o.size, o.index)
	return o.compare(snapshot)
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

// checkAge compares the times of the files, with a tolerance that covers a clean stop, and
// copying both.
func (o *overflow) checkAge(dir disk.Dir) error {
	data, err := dir.Stat(o.names.data)
	if err != nil {
		return err
	}
	index, err := dir.Stat(o.names.index)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err != nil || data.ModTime().Sub(index.ModTime()) > time.Second {
		o.stale = append(o.stale, fmt.Sprintf("%s was written before %s", o.names.index, o.names.data))
	}
	return nil
}

// trust takes the entries of the index for the live records if they fill the data file, and the
// first and last record of each are there.
func (o *overflow) trust() (complete bool, err error) {
	var live []chainOf
	storages, ids := make(map[string]bool), make(map[uint32]bool)
	left := uint64(o.size - magicSize)
	for _, e := range o.index {
		if e.bytes > left || e.records > (left-e.bytes)/headerSize {
			return false, nil
		}
		left -= e.bytes + e.records*headerSize
		first, isFirst, err := o.header(e.first)
		if err != nil {
			return false, err
		}
		last, isLast, err := o.header(e.last)
		id := first.channel
		if !isFirst || !isLast || err != nil || id == 0 || last.channel != id || last.next != 0 || storages[e.name] || ids[id] {
			return false, err
		}
		storages[e.name], ids[id] = true, true
		live = append(live, chainOf{e.name, id, segment{e.first, e.last, e.records, e.bytes}, false})
	}
	if left == 0 {
		o.live = live
	}
	return left == 0, nil
}

// header reads the header at offset. ok is false if there is none.
func (o *overflow) header(offset int64) (h header, ok bool, err error) {
	var b [headerSize]byte
	if offset < magicSize || offset > o.size-headerSize {
		return h, false, nil
	}
	if err := readFull(o.data, b[:], offset); err != nil {
		return h, false, err
	}
	h, ok = parseHeader(b[:], o.size-offset)
	return h, ok, nil
}

// compare goes through the data file.
func (o *overflow) compare(snapshot bool) error {
	s := o.survey
	first, last := s.sight(o.index)
	if s.scanner.err != nil {
		return s.scanner.err
	}
	named := o.matchEntries(first, last)
	if snapshot && len(o.doubts) == 0 {
		o.settle(first, last)
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
func (o *overflow) settle(first, last []sighting) {
	for i, e := range o.index {
		if !first[i].fits(last[i], e) {
			return
		}
	}
	o.settled = o.survey.newest
}

// unknown reports whether a chain may be that of a storage whose name the index lacks.
func (o *overflow) unknown(c *chain) bool { return c.latest >= o.settled }

// matchEntries finds the live records of each entry and returns the ids that have a name.
func (o *overflow) matchEntries(first, last []sighting) map[uint32]bool {
	named := make(map[uint32]bool)
	storages := make(map[string]bool)
	for i, e := range o.index {
		seen := first[i]
		if seen.chain == nil {
			seen = last[i] // whose records behind a damaged first one are its own, too
		}
		c := seen.chain
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
		case first[i].chain == nil:
			o.doubt(e, "has no record at its first offset")
		case c.gaps > 0, c.strays > 0 && c.expected != 0:
			o.doubt(e, "lacks records")
		}
		named[c.id], storages[e.name] = true, true
		if first[i].chain == nil {
			o.live = append(o.live, chainOf{e.name, c.id, segment{max(e.first, c.first), c.last, c.records, c.bytes}, true})
			continue
		}
		live := seen.live(e.first)
		if live != (segment{e.first, e.last, e.records, e.bytes}) {
			o.stale = append(o.stale, fmt.Sprintf("storage %s has %d records of %d bytes at offsets %d to %d, not %d of %d at %d to %d",
				e.name, live.records, live.bytes, live.first, live.last, e.records, e.bytes, e.first, e.last))
		}
		o.live = append(o.live, chainOf{e.name, c.id, live, c.gaps > 0})
	}
	return named
}

func (o *overflow) doubt(e entry, what string) {
	o.doubts = append(o.doubts, fmt.Sprintf("storage %s (%v) %s", e.name, e, what))
}

// readFull reads all of b, or fails.
func readFull(r io.ReaderAt, b []byte, offset int64) error {
	n, err := r.ReadAt(b, offset)
	switch {
	case n == len(b):
		return nil
	case err == nil || err == io.EOF:
		return io.ErrUnexpectedEOF // io.EOF would mean that all is well
	}
	return err
}
