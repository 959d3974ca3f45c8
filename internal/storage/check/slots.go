package check

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/overflow"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/state"
)

// readState reads the state file; if there is none, or a damaged one, it returns nil.
func (c *checker) readState() (*state.Snapshot, error) {
	snapshot, err := state.Inspect(c.dir)
	if err == nil && !c.running {
		err = snapshot.Lost
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, state.ErrDamaged):
		snapshot = nil
		c.fault(Fault{File: state.FileName, Problem: strings.TrimPrefix(err.Error(), c.dir.Path(state.FileName)+": "),
			Meaning: "only this file tells where in ring files and overflow the records of each storage begin and end; a start fails",
			Remedy: "get its last good copy back. Without this file, a start goes on with the dumps " +
				"and with what the overflow index tells, and leaves ring files as they are"})
	case err != nil:
		return nil, err
	}
	switch {
	case c.running:
		c.report.Situation = Running
	case snapshot != nil && snapshot.Header.Phase != state.Running:
		c.report.Situation = Interrupted
	default:
		c.report.Situation = Killed
	}
	return snapshot, nil
}

// addSlots adds the storages that the state file knows.
func (c *checker) addSlots(snapshot *state.Snapshot) {
	for _, slot := range snapshot.Slots {
		id, at := slot.Identity(), slot.Positions()
		if id.Dumped {
			c.dumped[id.Storage] = fmt.Sprintf("dump-%06d.dat", slot.Index())
			c.ringFiles[ringFile(at.RingFile)] = true
			continue
		}
		s, problem := c.add(id.Storage)
		if s == nil {
			c.refused(state.FileName, id.Storage, problem)
			continue
		}
		c.imported[id.Storage] = at.Imported
		c.slots = append(c.slots, overflow.Entry{Name: id.Storage, State: overflow.State{
			ID: at.OverflowID, First: at.First, Last: at.Last, Records: at.Records, Bytes: at.PayloadBytes,
		}})
		c.checkRing(s, snapshot.Header.Instance, at)
	}
}

func ringFile(number uint64) string { return fmt.Sprintf("ring-%06d.dat", number) }

func (c *checker) checkRing(s *Storage, instance uint64, at state.Positions) {
	if at.RingFile == 0 {
		if at.Capacity > 0 {
			c.inMemory++
		}
		return
	}
	file := ringFile(at.RingFile)
	c.ringFiles[file] = true
	positions := ring.Positions{Read: at.Read, Write: at.Write, Gap: at.Gap, Held: at.Held}
	if c.running {
		s.Memory = Count{at.Held, min(positions.PayloadBytes(), at.Capacity)}
		return
	}
	intact, err := ring.Inspect(c.rings, file, ring.Owner{Instance: instance, Number: at.RingFile}, at.Capacity, positions)
	s.Memory = Count{intact.Records, intact.PayloadBytes}
	f := Fault{File: file, Offset: intact.End, Storage: s.Name,
		Meaning: fmt.Sprintf("of its %d records, the next start goes on with the first %d; the others are lost", at.Held, intact.Records),
		Remedy:  "keep a copy of storages.dat, which tells where its records begin and end; the next start sets the ring file aside"}
	var damage *ring.DamageError
	missing := errors.Is(err, fs.ErrNotExist)
	if errors.As(err, &damage) {
		f.Problem, missing = damage.Reason, damage.Foreign
	}
	switch {
	case err == nil, missing && at.Held == 0:
		return
	case missing:
		if f.Problem == "" {
			f.Problem = "the ring file is not there"
		}
		f.Meaning = fmt.Sprintf("a node does not start without its %d records, unless ring_dir is in memory", at.Held)
		f.Remedy = "if [Storage] ring_dir is set, check with --ring-dir; otherwise get the file back before the next start, " +
			"or make an empty one of that name to do without the records"
	case damage != nil && damage.Got == damage.Want:
		f.Meaning = "its records are intact"
		f.Remedy = "none; the next start moves them to another file and sets this one aside"
	case damage != nil:
	default:
		c.unreadable(err)
		return
	}
	c.fault(f)
}

// strayRing judges a ring file that no storage has, as a start does.
func (c *checker) strayRing(name string, instance uint64) {
	whose, err := ring.WhoseIs(c.rings, name)
	switch {
	case err != nil:
		c.unreadable(err)
	case whose.Blank, whose.Spare && whose.Intact && whose.Instance == instance:
		c.note(name, "a ring file of no storage, so of a channel that was being created or removed; the next start deletes it")
	case !whose.Intact:
		c.note(name, "not a ring file, or a damaged one, and no storage has it")
	case whose.Instance != instance:
		c.note(name, "a ring file of another node")
	default:
		c.fault(Fault{File: name, Problem: "a ring file with records, and no storage in storages.dat has it",
			Meaning: "storages.dat is damaged; the next start sets the ring file aside, because nothing tells its records from old bytes",
			Remedy:  "get the last good copy of storages.dat back before the next start"})
	}
}

// strayRings looks for ring files that no slot refers to.
func (c *checker) strayRings(snapshot *state.Snapshot) {
	entries, err := c.rings.List()
	if err != nil {
		c.unreadable(err)
	}
	if c.running {
		return // it may have made some since
	}
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, "ring-") || !strings.HasSuffix(name, ".dat") || c.ringFiles[name] {
			continue
		}
		if strings.HasSuffix(name, "-aside.dat") {
			c.note(name, "set aside by an earlier start, because it was damaged; the log of that start tells what was lost")
			continue
		}
		if snapshot != nil {
			c.strayRing(name, snapshot.Header.Instance)
			continue
		}
		c.report.Situation = Killed
		c.fault(Fault{File: name, Problem: "a ring file, and no intact storages.dat that tells what is in it",
			Meaning: "its records cannot be told from old bytes; the next start leaves the file as it is",
			Remedy:  "get storages.dat back before the next start, or move the file away if it is needed"})
	}
}
