package dformat

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

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
func Read(dir disk.Dir, left Left) (*Directory, error) {
	d := newDirectory(dir)
	for _, storage := range slices.Sorted(maps.Keys(left.Storages)) {
		_, channel, _, _ := names.ParseStorage(storage)
		d.channels[channel] = storage
	}
	if err := d.read(left); err != nil {
		return nil, err
	}
	return d, nil
}

// unreadable is what an operator can do about a file that cannot be read.
const unreadable = "No file has been changed. Let the node read this one; " +
	"or move it out of the directory: without its records the node can start"

func newDirectory(dir disk.Dir) *Directory {
	return &Directory{dir: dir, taken: make(map[string]bool), byStorage: make(map[string]*Queue), channels: make(map[string]string)}
}

func (d *Directory) read(left Left) error {
	dumps, err := d.scan(left)
	if err != nil {
		return fmt.Errorf("look for dumps in %s: %w. No file has been changed. Let the node read all that is there", d.dir.Path(""), err)
	}
	if err := d.readOverflow(fileNames{dataName, indexName}); err != nil {
		return fmt.Errorf("%w. %s", err, unreadable)
	}
	if err := d.addOverflow(); err != nil {
		return err
	}
	for _, f := range dumps {
		if err := d.addDump(f); err != nil {
			return fmt.Errorf("dump %s: %w. %s", d.dir.Path(DumpFile(f.Storage)), err, unreadable)
		}
	}
	return nil
}

// readOverflow notes the overflow files as sources and examines them.
func (d *Directory) readOverflow(names fileNames) (err error) {
	written := make(map[string]time.Time)
	for _, name := range []string{names.data, names.index} {
		info, err := d.dir.Stat(name)
		switch {
		case disk.IsNotExist(err), slices.Contains(d.Unneeded, name), slices.Contains(d.Loaded, name):
		case err != nil:
			return err
		case !info.Mode().IsRegular():
			return fmt.Errorf("%s is not a regular file: %w", d.dir.Path(name), fs.ErrInvalid)
		default:
			d.Sources = append(d.Sources, newSource(name, info))
			written[name] = info.ModTime()
		}
	}
	if d.overflow, err = examine(d.dir, names, written); err != nil {
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
			return fmt.Errorf("%s lists %s, but there is %s, too, and a channel that has subscribers has no records of its own; to do: "+
				"find out where they come from; then rename one of the two, %s for example to NAME@%s, or move the files of one of them out of the directory. "+
				"No file has been changed",
				d.dir.Path(indexName), c.storage, other, q.Channel, q.Channel)
		}
		d.add(q)
	}
	return nil
}

// String describes the records in the overflow.
func (q *Queue) String() string {
	text := fmt.Sprintf("id %d, %v", q.ID, q.Overflow.Count())
	if q.Storage != "" {
		text += " of storage " + q.Storage
	}
	return text
}

// queueOf is the queue with the records of a chain.
func (d *Directory) queueOf(c chainOf) *Queue {
	q := &Queue{Storage: c.storage, ID: c.id, First: c.first}
	q.Subscriber, q.Channel, q.Subscribed, _ = names.ParseStorage(c.storage)
	q.Overflow = Part{Records: c.Records, Bytes: c.Bytes + ring.HeaderSize*c.Records,
		dir: d.dir, file: d.overflow.names.data, trail: trail{lengthOffset, c.first, c.jumps}}
	return q
}

// addDump adds the records of a dump to the queue of its storage.
func (d *Directory) addDump(f *found) error {
	name := DumpFile(f.Storage)
	dump, err := readDump(d.dir, name)
	if err != nil {
		return err
	}
	source := newSource(name, f.info)
	conflict := d.conflict(&f.Queue)
	if conflict != "" || dump.fault != "" {
		source.Aside = freeName(name, "", d.taken)
		d.taken[source.Aside] = true
	}
	d.Sources = append(d.Sources, source)
	if conflict != "" {
		d.reportConflict(f.Storage, conflict, source.Aside)
		return nil
	}
	q := d.byStorage[f.Storage]
	if q == nil {
		q = &f.Queue
		d.add(q)
	}
	q.Dump = dump.Part
	if dump.fault != "" {
		d.reportDump(q, dump, source.Aside)
	}
	return nil
}

func (d *Directory) add(q *Queue) {
	d.Queues = append(d.Queues, q)
	d.byStorage[q.Storage] = q
	d.channels[q.Channel] = q.Storage
}

// conflict returns the name of a storage that can't be there beside q: a channel has either
// subscribers or records of its own.
func (d *Directory) conflict(q *Queue) string {
	other := d.channels[q.Channel]
	if other != "" && (other == q.Channel) == q.Subscribed {
		return other
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
