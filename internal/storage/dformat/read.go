package dformat

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

const (
	dataName  = "overflow.dat"
	indexName = "ofchannels.csv"
)

// RunSize is the most bytes of a run of more than one record.
const RunSize = 1 << 20

// Read finds out what a directory holds and changes nothing. An error says why there must not
// be a start, and what to do.
func Read(dir disk.Dir) (*Directory, error) {
	d := &Directory{dir: dir}
	if err := d.read(); err != nil {
		d.Close()
		return nil, fmt.Errorf("%w. No file has been changed", err)
	}
	return d, nil
}

func (d *Directory) read() error {
	dumps, ignored, taken, err := scan(d.dir)
	if err != nil {
		return fmt.Errorf("look for dumps in %s: %w; let the node read all that is there", d.dir.Path(""), err)
	}
	d.Ignored, d.taken = ignored, taken
	if err := d.readOverflow(fileNames{dataName, indexName}); err != nil {
		return fmt.Errorf("%w; let the node read %s and %s", err, dataName, indexName)
	}
	if err := d.addOverflow(); err != nil {
		return err
	}
	for _, f := range dumps {
		if err := d.addDump(f); err != nil {
			return fmt.Errorf("dump %s: %w; let the node read it, or move it out of the directory: without its records the node can start",
				d.dir.Path(DumpFile(f.Storage)), err)
		}
	}
	return nil
}

// readOverflow notes the overflow files as sources and examines them.
func (d *Directory) readOverflow(names fileNames) (err error) {
	for _, name := range []string{names.data, names.index} {
		info, err := d.dir.Stat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case !info.Mode().IsRegular():
			return fmt.Errorf("%s is not a regular file: %w", d.dir.Path(name), fs.ErrInvalid)
		default:
			d.Sources = append(d.Sources, newSource(name, info))
		}
	}
	if d.overflow, err = examine(d.dir, names); err != nil {
		return err
	}
	if len(d.overflow.doubts) > 0 {
		d.setOverflowAside()
	}
	d.reportOverflow()
	return nil
}

// addOverflow makes queues of the live chains.
func (d *Directory) addOverflow() error {
	live := d.overflow.live
	slices.SortFunc(live, func(a, b chainOf) int { return cmp.Compare(a.id, b.id) })
	for _, c := range live {
		q := &Queue{Storage: c.storage}
		q.Subscriber, q.Channel, q.Subscribed, _ = names.ParseStorage(c.storage)
		if other := d.conflict(q); other != "" {
			return fmt.Errorf("%s lists %s beside %s, and a channel that has subscribers has no records of its own; to do: "+
				"find out which is right, and rename one of the two there, %s for example to NAME@%s",
				d.dir.Path(indexName), c.storage, other, q.Channel, q.Channel)
		}
		d.addChain(q, c)
	}
	return nil
}

// addChain adds a queue with the records of a chain.
func (d *Directory) addChain(q *Queue, c chainOf) {
	q.ID, q.First = c.id, c.first
	q.Overflow = Part{Records: c.records, Bytes: c.bytes + ring.HeaderSize*c.records}
	reported := false
	q.Overflow.read = func(yield func(Run, error) bool) {
		o := d.overflow
		r := chainReader{data: o.data, size: o.size, index: o.index, chain: c, yield: yield}
		r.block = block{data: o.data, size: o.size}
		if !r.all() {
			return
		}
		q.Overflow.Records, q.Overflow.Bytes = r.read.records, r.read.bytes+ring.HeaderSize*r.read.records
		if r.damage != "" && !reported {
			reported = true
			d.reportChain(q, r.damage, r.damaged)
		}
	}
	d.add(q)
}

// addDump adds the records of a dump to the queue of its storage.
func (d *Directory) addDump(f found) error {
	name := DumpFile(f.Storage)
	r, err := openDump(d.dir, name)
	if err != nil {
		return err
	}
	r.close()
	q := d.queue(f.Storage)
	if q == nil {
		q = &f.Queue
	}
	d.Sources = append(d.Sources, newSource(name, f.info))
	if other := d.conflict(q); other != "" {
		d.reportConflict(q, other, d.setAside(name))
		return nil
	}
	if q.ID == 0 {
		d.add(q)
	}
	return d.attachDump(q, name, r)
}

// attachDump lets a queue read a dump with that header. If it can't be intact, it is read now, to
// know how many records it has.
func (d *Directory) attachDump(q *Queue, name string, header *dumpReader) error {
	q.Dump = Part{Records: header.records, Bytes: header.bytes}
	reported := false
	q.Dump.read = func(yield func(Run, error) bool) {
		r, more, err := d.readDump(name, yield)
		switch {
		case !more:
			return
		case err != nil:
			yield(Run{}, fmt.Errorf("dump %s: %w", d.dir.Path(name), err))
			return
		}
		q.Dump.Records, q.Dump.Bytes = r.read, r.bytes-r.left
		if r.fault != "" && !reported {
			reported = true
			d.reportDump(q, name, r, d.setAside(name))
		}
	}
	if header.credible() {
		return nil
	}
	for _, err := range q.Dump.Runs() {
		if err != nil {
			return err
		}
	}
	return nil
}

// readDump hands out the records of a dump. more is false if the receiver wants no more.
func (d *Directory) readDump(name string, yield func(Run, error) bool) (r *dumpReader, more bool, err error) {
	if r, err = openDump(d.dir, name); err != nil {
		return nil, true, err
	}
	defer r.close()
	for {
		run, err := r.next()
		switch {
		case err != nil || run.Records == 0:
			return r, true, err
		case !yield(run, nil):
			return r, false, nil
		}
	}
}

func (d *Directory) add(q *Queue) {
	if d.byStorage == nil {
		d.byStorage, d.subscribed = make(map[string]*Queue), make(map[string]*Queue)
	}
	d.Queues = append(d.Queues, q)
	d.byStorage[q.Storage] = q
	if q.Subscribed {
		d.subscribed[q.Channel] = q
	}
}

func (d *Directory) queue(storage string) *Queue { return d.byStorage[storage] }

// conflict returns the name of a storage that can't be there beside q: a channel has either
// subscribers or records of its own.
func (d *Directory) conflict(q *Queue) string {
	if other := d.byStorage[q.Channel]; q.Subscribed && other != nil {
		return other.Storage
	}
	if other := d.subscribed[q.Channel]; !q.Subscribed && other != nil {
		return other.Storage
	}
	return ""
}

// setAside lets the dump of that name, if it is a source, be set aside, and returns the name
// that it gets.
func (d *Directory) setAside(name string) string {
	for i := range d.Sources {
		s := &d.Sources[i]
		if s.Name != name {
			continue
		}
		if s.Aside == "" {
			s.Aside = freeName(name, "", d.taken)
			d.taken[s.Aside] = true
		}
		return s.Aside
	}
	return ""
}

// setOverflowAside lets the overflow files be set aside, under names with the same number.
func (d *Directory) setOverflowAside() {
	files, number := d.overflow.names, 1
	for d.taken[asideName(files.data, number)] || d.taken[asideName(files.index, number)] {
		number++
	}
	for i := range d.Sources {
		if s := &d.Sources[i]; (s.Name == files.data || s.Name == files.index) && s.Aside == "" {
			s.Aside = asideName(s.Name, number)
			d.taken[s.Aside] = true
			d.aside = append(d.aside, s.Name+" as "+s.Aside)
		}
	}
}
