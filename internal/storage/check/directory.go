package check

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/catalogue"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/dformat"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
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
	c := newChecker(dir, rings)
	if running {
		c.snapshot()
	} else {
		c.check()
	}
	if now, err := inUse(dir); err != nil {
		return nil, err
	} else if now != running {
		c.report.Incomplete = append(c.report.Incomplete, "a node has started or stopped while its files were being read: check again")
	}
	c.finish()
	return c.report, nil
}

// inUse reports whether a node of this version has locked the directory. Where there is no
// catalogue, none has got so far that its files change.
func inUse(dir disk.Dir) (bool, error) {
	if _, err := dir.Stat(catalogue.FileName); errors.Is(err, fs.ErrNotExist) {
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
	report     *Report
	storages   map[string]*Storage
}

func newChecker(dir, rings disk.Dir) *checker {
	return &checker{
		dir: dir, rings: rings,
		report: &Report{
			Directory: dir.Path(""), Situation: Stopped,
			Storages: []Storage{}, Faults: []Fault{}, Incomplete: []string{}, Notes: []Note{},
		},
		storages: make(map[string]*Storage),
	}
}

// check makes the plan of the next start, and reads what is in it.
func (c *checker) check() {
	plan, err := storage.MakePlan(c.dir, c.rings)
	if err != nil {
		c.unplanned(err)
		return
	}
	c.checkSpace(plan)
	for _, chain := range plan.Queues {
		s := c.add(chain.Name)
		for _, h := range chain.Files {
			c.checkRing(s, h)
		}
	}
	for _, q := range plan.Original.Queues {
		s := c.add(q.Storage)
		s.Memory.Add(q.Dump.Count())
		s.Overflow.Add(q.Overflow.Count())
	}
	c.report.Situation = situation(plan)
	for _, r := range plan.Refusals {
		c.fault(Fault{File: filepath.Base(r.File), Storage: r.Storage, Problem: r.Problem, Meaning: "no node starts without this file", Remedy: r.Remedy})
	}
	c.others(plan)
	for _, f := range plan.Findings {
		c.finding(f, "nothing")
	}
	for _, f := range plan.Original.Findings {
		c.finding(f, "nothing for this node. For an original one, start and stop this node first")
	}
}

// checkSpace finds out whether the next start has room for copies.
func (c *checker) checkSpace(plan *storage.Plan) {
	inDir, inRings := plan.Space()
	needs := map[disk.Dir]uint64{c.dir: inDir}
	needs[c.rings] += inRings
	for dir, need := range needs {
		if free, err := dir.Free(); err == nil && free < need {
			c.fault(Fault{File: dir.Path(""), Problem: fmt.Sprintf("%d bytes of disk space are free, and the next start needs %d", free, need),
				Meaning: "it copies the records of dumps and overflow into ring files: it fails, and changes nothing",
				Remedy:  "make room"})
		}
	}
}

// unplanned reports that there is no plan: a file can't be read, or there is something that no
// node leaves behind.
func (c *checker) unplanned(err error) {
	if content, e := catalogue.Read(c.dir); e == nil {
		c.report.Situation = Killed
		if content.Phase == catalogue.Kept {
			c.report.Situation = Kept
		}
	}
	var path *fs.PathError
	var number syscall.Errno
	if errors.As(err, &path) || errors.As(err, &number) || errors.Is(err, fs.ErrInvalid) {
		c.unreadable(err)
		return
	}
	c.fault(Fault{File: c.dir.Path(""), Problem: err.Error(),
		Meaning: "no node leaves that behind, and none starts with it",
		Remedy:  "keep a copy of the directory, and find out where the files come from"})
}

func situation(p *storage.Plan) Situation {
	outdated := slices.ContainsFunc(p.Original.Findings, func(f dformat.Finding) bool {
		return f.Severity >= dformat.Warning && (f.File == "overflow.dat" || f.File == "ofchannels.csv")
	})
	switch {
	case p.Phase == catalogue.Kept:
		return Kept
	case p.Phase == catalogue.Dumping, p.Phase == catalogue.Dumped, len(p.Catalogue.Sources) > 0,
		!p.Fresh && len(p.Queues) == 0 && len(p.Original.Queues) > 0:
		return Interrupted
	case !p.Fresh, p.Catalogue.Damage != nil, len(p.Queues) > 0:
		return Killed
	case outdated:
		return Outdated
	}
	return Stopped
}

// checkRing reads the records of a ring file.
func (c *checker) checkRing(s *Storage, h ring.Head) {
	dir, count := c.rings, &s.Memory
	if h.Kind == ring.Spill {
		dir, count = c.dir, &s.Overflow
	}
	intact, err := ring.Inspect(dir, h.FileName(), h, io.Discard)
	count.Add(Count{Records: intact.Records, Bytes: intact.Bytes})
	var damages ring.Damages
	switch {
	case err == nil:
	case errors.As(err, &damages):
		lost := h.Held - intact.Delivered - intact.Records
		for _, d := range damages {
			c.fault(Fault{File: h.FileName(), Offset: d.Offset, Storage: s.Name, Problem: d.Reason,
				Meaning: fmt.Sprintf("of its %d records, the next start goes on with %d; the other %d are lost, here and at any other damage of the file",
					h.Held-intact.Delivered, intact.Records, lost),
				Remedy: "keep a copy of the file, and look for disk errors; the node sets the file aside once its other records are delivered"})
		}
	default:
		c.unreadable(err)
	}
}

// finding reports what the plan tells. It is a fault without a remedy of its own if the next start
// gets over it.
func (c *checker) finding(f dformat.Finding, remedy string) {
	switch {
	case f.Problem == dformat.Ignored && c.noted(f.File):
	case f.Severity == dformat.Info, f.Problem == dformat.Ignored, f.Meaning == dformat.Ignored:
		c.note(f.File, "%s: %s", f.Problem, f.Meaning)
	default:
		if f.Remedy == "" {
			f.Remedy = remedy
		}
		c.fault(f)
	}
}

// add returns the storage of that name, which is added if necessary.
func (c *checker) add(name string) *Storage {
	if s := c.storages[name]; s != nil {
		return s
	}
	s := &Storage{Name: name, Kind: Plain}
	if _, _, subscribed, _ := names.ParseStorage(name); subscribed {
		s.Kind = Subscriber
	}
	c.storages[name] = s
	return s
}

func (c *checker) fault(f Fault) { c.report.Faults = append(c.report.Faults, f) }

func (c *checker) note(file, format string, arguments ...any) {
	c.report.Notes = append(c.report.Notes, Note{file, fmt.Sprintf(format, arguments...)})
}

func (c *checker) noted(file string) bool {
	return slices.ContainsFunc(c.report.Notes, func(n Note) bool { return n.File == file })
}

func (c *checker) unreadable(err error) {
	c.report.Incomplete = append(c.report.Incomplete, err.Error())
}

// finish brings the report into order.
func (c *checker) finish() {
	r := c.report
	for _, s := range c.storages {
		s.Total = s.Memory
		s.Total.Add(s.Overflow)
		r.Totals.Memory.Add(s.Memory)
		r.Totals.Overflow.Add(s.Overflow)
		r.Totals.Total.Add(s.Total)
		r.Storages = append(r.Storages, *s)
	}
	slices.SortFunc(r.Storages, func(a, b Storage) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortStableFunc(r.Notes, func(a, b Note) int { return cmp.Compare(a.File, b.File) })
	if r.Situation == Stopped && len(r.Storages) == 0 && len(r.Faults) == 0 && len(r.Incomplete) == 0 {
		r.Situation = Empty
	}
}
