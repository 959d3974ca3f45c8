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

// Read finds out what a directory holds and changes nothing. An error says why there must not
// be a start, and what to do.
func Read(dir disk.Dir) (*Directory, error) {
	d := &Directory{dir: dir}
	if err := d.read(); err != nil {
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
		q := d.queueOf(c)
		if other := d.conflict(q); other != "" {
			return fmt.Errorf("%s lists %s beside %s, and a channel that has subscribers has no records of its own; to do: "+
				"find out which is right, and rename one of the two there, %s for example to NAME@%s",
				d.dir.Path(indexName), c.storage, other, q.Channel, q.Channel)
		}
		d.add(q)
	}
	return nil
}

// queueOf is the queue with the records of a chain.
func (d *Directory) queueOf(c chainOf) *Queue {
	q := &Queue{Storage: c.storage, ID: c.id, First: c.first}
	q.Subscriber, q.Channel, q.Subscribed, _ = names.ParseStorage(c.storage)
	q.Overflow = Part{Records: c.records, Bytes: c.bytes + ring.HeaderSize*c.records,
		dir: d.dir, file: d.overflow.names.data, trail: trail{lengthOffset, c.first, c.jumps}}
	return q
}

// addDump adds the records of a dump to the queue of its storage.
func (d *Directory) addDump(f found) error {
	name := DumpFile(f.Storage)
	dump, err := readDump(d.dir, name)
	if err != nil {
		return err
	}
	q := d.byStorage[f.Storage]
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
	q.Dump = dump.Part
	if dump.fault != "" {
		d.reportDump(q, dump, d.setAside(name))
	}
	return nil
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
