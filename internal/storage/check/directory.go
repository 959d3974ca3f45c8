package check

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/overflow"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/state"
)

// Directory checks a data directory. ringPath is that of ring files if it is another one
// ([Storage] ring_dir), else "". It fails only if a directory cannot be looked at; what
// cannot be read in it is in the report.
func Directory(path, ringPath string) (*Report, error) {
	dir, err := disk.OpenDirReadOnly(path)
	if err != nil {
		return nil, err
	}
	rings := dir
	if ringPath != "" {
		if rings, err = disk.OpenDirReadOnly(ringPath); err != nil {
			return nil, err
		}
	}
	running, err := inUse(dir)
	if err != nil {
		return nil, err
	}
	c := newChecker(dir, rings, running)
	c.check()
	if now, err := inUse(dir); err != nil {
		return nil, err
	} else if now != running {
		c.report.Incomplete = append(c.report.Incomplete, "a node has started or stopped while its files were being read: check again")
	}
	c.finish()
	return c.report, nil
}

// inUse reports whether a node of this version has locked the directory. Where no state
// file is, none has got so far that its files change.
func inUse(dir disk.Dir) (bool, error) {
	if _, err := dir.Stat(state.FileName); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	f, err := os.Open(dir.Path(""))
	if err != nil {
		return false, err
	}
	defer f.Close() // and unlock it
	err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if err != nil && !errors.Is(err, unix.EWOULDBLOCK) {
		return false, fmt.Errorf("%s: flock: %w", dir.Path(""), err)
	}
	return err != nil, nil
}

// checker collects a report.
type checker struct {
	dir, rings disk.Dir
	running    bool
	report     *Report

	storages   map[string]*Storage
	subscribed map[string]bool // channels: whether their storages are those of subscribers
	slots      []overflow.Entry
	imported   map[string]state.DumpID // dumps that storages with a slot have already
	dumped     map[string]string       // files of interrupted stops, by storage
	ringFiles  map[string]bool         // those in use
	inMemory   int                     // rings without file
}

func newChecker(dir, rings disk.Dir, running bool) *checker {
	return &checker{
		dir: dir, rings: rings, running: running,
		report: &Report{
			Directory: dir.Path(""), Situation: Stopped,
			Storages: []Storage{}, Faults: []Fault{}, Incomplete: []string{}, Notes: []Note{},
		},
		storages:   make(map[string]*Storage),
		subscribed: make(map[string]bool),
		imported:   make(map[string]state.DumpID),
		dumped:     make(map[string]string),
		ringFiles:  make(map[string]bool),
	}
}

// check goes through the files in the order of a start.
func (c *checker) check() {
	snapshot, err := c.readState()
	if err != nil {
		c.unreadable(err)
		return
	}
	if snapshot != nil {
		c.addSlots(snapshot)
	}
	if c.running {
		c.countOverflow()
	} else {
		c.checkOverflow(snapshot)
	}
	c.checkDumps()
	c.strayRings(snapshot)
}

// add returns the storage of that name, which is added if necessary, or why no node has it
// beside those that are there.
func (c *checker) add(name string) (s *Storage, problem string) {
	if s := c.storages[name]; s != nil {
		return s, ""
	}
	_, channel, subscribed, ok := names.ParseStorage(name)
	if !ok {
		return nil, fmt.Sprintf("%q is not the name of a storage", name)
	}
	if other, known := c.subscribed[channel]; known && other != subscribed {
		return nil, fmt.Sprintf("channel %s has storages both with and without subscriber", channel)
	}
	c.subscribed[channel] = subscribed
	s = &Storage{Name: name, Kind: Plain}
	if subscribed {
		s.Kind = Subscriber
	}
	c.storages[name] = s
	return s, ""
}

// refused reports a storage that makes the next start fail.
func (c *checker) refused(file, storage, problem string) {
	c.fault(Fault{File: file, Storage: storage, Problem: problem,
		Meaning: "no node leaves that behind, and none starts with it",
		Remedy:  "keep a copy of the directory, and find out where the file comes from"})
}

func (c *checker) fault(f Fault) { c.report.Faults = append(c.report.Faults, f) }

func (c *checker) note(file, format string, arguments ...any) {
	c.report.Notes = append(c.report.Notes, Note{file, fmt.Sprintf(format, arguments...)})
}

func (c *checker) unreadable(err error) {
	c.report.Incomplete = append(c.report.Incomplete, err.Error())
}

// finish brings the report into order.
func (c *checker) finish() {
	r := c.report
	for _, s := range c.storages {
		s.Total = s.Memory
		s.Total.add(s.Overflow)
		r.Totals.Memory.add(s.Memory)
		r.Totals.Overflow.add(s.Overflow)
		r.Totals.Total.add(s.Total)
		r.Storages = append(r.Storages, *s)
	}
	slices.SortFunc(r.Storages, func(a, b Storage) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortStableFunc(r.Notes, func(a, b Note) int { return cmp.Compare(a.File, b.File) })
	if c.inMemory > 0 {
		c.note(state.FileName, "%d rings have no file ([Storage] ring = memory, or it could not be made): "+
			"what they hold is not counted, and ends with the process", c.inMemory)
	}
	if r.Situation == Stopped && len(r.Storages) == 0 && len(r.Faults) == 0 && len(r.Incomplete) == 0 {
		r.Situation = Empty
	}
}
