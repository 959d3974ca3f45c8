package overflow

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"syscall"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// examineStates finds out what a start makes of States, by going its way: it attaches them,
// and if the file does not have the newest record of one, they become an index.
func examineStates(dir disk.Dir, g Global, states []Entry) (*findings, error) {
	f := &findings{}
	data, err := dir.Open(dataName)
	if errors.Is(err, fs.ErrNotExist) {
		f.allMissing(states)
		return f, nil
	}
	if err != nil {
		return nil, err
	}
	defer data.Close()
	if f.size, err = data.Size(); err != nil {
		return nil, err
	}
	base, err := finishCut(g, f.size)
	if err != nil {
		return examineInstead(dir, fmt.Sprintf("%s: %v", dataName, err))
	}
	if ok, err := hasMagic(data, f.size); err != nil {
		return nil, err
	} else if !ok {
		f.allMissing(states)
		return f, nil
	}
	r := rehearsal{overlay: overlay{File: data}, base: base, size: f.size}
	if err := r.attach(dir, states); err != nil {
		return nil, err
	}
	if len(r.lost) > 0 {
		return f, f.leave(&r)
	}
	return f, f.compareStates(&r)
}

// examineInstead examines the files without States, which are worth nothing.
func examineInstead(dir disk.Dir, why string) (*findings, error) {
	f, err := examine(dir)
	if err == nil {
		f.doubts = slices.Insert(f.doubts, 0, why)
	}
	return f, err
}

// allMissing reports all records as missing.
func (f *findings) allMissing(states []Entry) {
	for _, e := range states {
		if e.Records > 0 {
			f.doubts = append(f.doubts, fmt.Sprintf("storage %s: none of its %d records is in %s", e.Name, e.Records, dataName))
		}
	}
}

// rehearsal is what a start has attached and changed, without changing anything.
type rehearsal struct {
	overlay    overlay
	base, size int64

	states   []Entry // that hold records, as they were
	attached []Entry // what became of them; those that are not lost
	lost     []Entry
}

// attach attaches all States.
func (r *rehearsal) attach(dir disk.Dir, states []Entry) error {
	f := &File{
		dir: dir, names: fileNames{dataName, indexName}, data: &r.overlay, log: zap.NewNop(),
		queues: make(map[uint32]*Queue), base: r.base, end: r.base, size: r.size, hasMagic: true,
	}
	for _, e := range states {
		q, err := f.Attach(e.Name, e.State)
		if unreadable := syscall.Errno(0); errors.As(err, &unreadable) {
			return err
		}
		switch {
		case e.Records == 0:
			continue
		case err != nil:
			r.lost = append(r.lost, e)
		default:
			r.attached = append(r.attached, Entry{e.Name, q.State()})
		}
		r.states = append(r.states, e)
	}
	return nil
}

// entry returns a State as a line of an index.
func (r *rehearsal) entry(e Entry) IndexEntry {
	return IndexEntry{e.Name, uint32(e.Records), e.Bytes, e.First - r.base, e.Last - r.base}
}

// leave examines the file with an index of all States, as [File.Leave] writes it.
func (f *findings) leave(r *rehearsal) (err error) {
	for _, e := range r.lost {
		f.doubt(r.entry(e), "has no record at its last offset")
	}
	var text []byte
	for _, e := range slices.Concat(r.attached, r.lost) {
		text = appendLine(text, e, r.base)
	}
	var bad *IndexError
	if f.index, err = ParseIndex(bytes.NewReader(text)); errors.As(err, &bad) {
		f.stale = append(f.stale, bad.Error())
	} else if err != nil {
		return err
	}
	f.survey = newSurvey(&r.overlay, r.size, f.index)
	if err := f.compare(f.survey, false); err != nil {
		return err
	}
	for i := range f.live {
		f.live[i].State = f.live[i].without(f.marked[i])
	}
	return nil
}

// compareStates counts the records that lie between the first and the last of each State.
func (f *findings) compareStates(r *rehearsal) error {
	ends := make(map[uint32]int64, len(r.attached))
	for _, e := range r.attached {
		f.index = append(f.index, r.entry(e))
		ends[e.ID] = e.Last - r.base
	}
	f.survey = newSurvey(&r.overlay, r.size, f.index)
	f.survey.ends = ends
	first, last := f.survey.sight(f.index)
	for i, e := range r.states {
		f.compareState(r.entry(e), f.index[i].First, first[i], last[i])
	}
	return f.survey.scanner.err
}

// compareState compares the records that lie between two places with what e says there are.
func (f *findings) compareState(e IndexEntry, from int64, first, last sighting) {
	if first.chain == nil || first.chain != last.chain || first.segment != last.segment {
		f.doubt(e, "has no chain of records from the first offset to the last")
		return
	}
	there := State{first.chain.ID, from, e.Last, last.records - first.records, last.bytes - first.bytes}
	f.live = append(f.live, Entry{e.Name, there.without(last.delivered.minus(first.delivered))})
	if there.Records != uint64(e.Records) || there.Bytes != e.Bytes {
		f.doubt(e, fmt.Sprintf("has %d records of %d bytes there", there.Records, there.Bytes))
	}
}

// overlay is a data file over which is laid what is written to it.
type overlay struct {
	disk.File
	written []patch // in that order
}

// WriteAt changes what is read from now on.
func (o *overlay) WriteAt(b []byte, offset int64) (int, error) {
	o.written = append(o.written, patch{offset, slices.Clone(b)})
	return len(b), nil
}

// ReadAt implements io.ReaderAt.
func (o *overlay) ReadAt(b []byte, offset int64) (int, error) {
	n, err := o.File.ReadAt(b, offset)
	for _, p := range o.written {
		from, to := max(p.offset, offset), min(p.offset+int64(len(p.bytes)), offset+int64(n))
		if from < to {
			copy(b[from-offset:], p.bytes[from-p.offset:to-p.offset])
		}
	}
	return n, err
}
