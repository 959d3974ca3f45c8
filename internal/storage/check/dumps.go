package check

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/dump"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/state"
)

// checkDumps verifies the dumps, and tells what else is in the directory.
func (c *checker) checkDumps() {
	found, ignored, err := dump.Scan(c.dir)
	if err != nil {
		c.unreadable(err)
	}
	if c.running {
		for _, f := range found {
			c.note(f.File, "the node has not loaded it, or not deleted it yet; a clean stop may replace it")
		}
	} else {
		for _, f := range c.finished(found) {
			c.checkDump(f)
		}
	}
	for _, i := range ignored {
		c.checkIgnored(i)
	}
}

// finished returns the dumps that there are once an interrupted stop is finished: it had
// complete ones under temporary names.
func (c *checker) finished(found []dump.Found) []dump.Found {
	byStorage := make(map[string]dump.Found)
	for _, f := range found {
		byStorage[f.Storage] = f
	}
	for storage, temporary := range c.dumped {
		if _, err := c.dir.Stat(temporary); err == nil {
			byStorage[storage] = dump.Found{File: temporary, Storage: storage}
		} else if _, ok := byStorage[storage]; !ok {
			c.fault(Fault{File: dump.FileName(storage), Storage: storage,
				Problem: "by storages.dat this dump has been written, but it is not there",
				Meaning: "its records are lost",
				Remedy:  "get the file back before the next start"})
		}
	}
	var dumps []dump.Found
	for _, f := range byStorage {
		dumps = append(dumps, f)
	}
	slices.SortFunc(dumps, func(a, b dump.Found) int { return cmp.Compare(a.Storage+dump.Suffix, b.Storage+dump.Suffix) })
	return dumps
}

func (c *checker) checkDump(f dump.Found) {
	if c.storages[f.Storage] != nil && f.ID != (dump.ID{}) && c.imported[f.Storage] == state.DumpID(f.ID) {
		c.note(f.File, "its records have been loaded; only its deletion is missing")
		return
	}
	s, problem := c.add(f.Storage)
	if s == nil {
		c.fault(Fault{File: f.File, Storage: f.Storage, Problem: problem,
			Meaning: "the next start does not load this dump, but sets it aside as " + f.File + "-aside. An original node does not start",
			Remedy:  "find out where the file comes from; name it after another storage to have it loaded"})
		return
	}
	count, damage, err := readDump(c.dir, f.File, func([]byte) error { return nil })
	s.Memory.add(count)
	switch {
	case err != nil:
		c.unreadable(err)
	case damage != nil:
		c.fault(Fault{File: f.File, Offset: damage.Offset, Storage: f.Storage,
			Problem: fmt.Sprintf("%s; %d of %d records lie before that", damage.Reason, damage.Got, damage.Want),
			Meaning: "the next start loads the records that lie before that, and sets the file aside as " + f.File + "-aside. An original node does not start",
			Remedy:  "keep the file that is set aside as long as the other records may be needed"})
	}
}

// readDump hands out the records of a dump, in runs as they lie in a ring, as far as they
// are intact.
func readDump(dir disk.Dir, file string, emit func(run []byte) error) (count Count, damage *dump.DamageError, err error) {
	reader, err := dump.Open(dir, file)
	if err != nil {
		return Count{}, nil, err
	}
	defer reader.Close()
	for {
		run, records, err := reader.Next()
		switch {
		case err == io.EOF:
			return count, nil, nil
		case errors.As(err, &damage):
			return count, damage, nil
		case err != nil:
			return count, nil, err
		}
		count.add(Count{uint64(records), uint64(len(run) - records*ring.HeaderSize)})
		if err := emit(run); err != nil {
			return count, nil, err
		}
	}
}

// checkIgnored tells what is in a file that no start loads.
func (c *checker) checkIgnored(i dump.Ignored) {
	switch {
	case i.Severity == dump.Error:
		c.fault(Fault{File: i.Name, Problem: i.Reason,
			Meaning: "no node loads it; records that it may hold stay in it",
			Remedy:  i.Remedy})
	case strings.Contains(i.Name, dump.Suffix+"-aside"):
		c.noteAsideDump(i.Name)
	case isAsideData(i.Name):
		c.noteAsideData(i.Name)
	case strings.HasPrefix(i.Name, "falloctest_"):
		c.note(i.Name, "a probe of the file system that a killed node has left; it can be deleted")
	case i.Severity == dump.Warning:
		c.note(i.Name, "ignored: %s", i.Reason)
	}
}

func (c *checker) noteAsideDump(name string) {
	count, damage, err := readDump(c.dir, name, func([]byte) error { return nil })
	switch {
	case err != nil:
		c.unreadable(err)
	case damage != nil:
		c.note(name, "set aside by an earlier start, which has loaded the %s before the damage, unless its log tells otherwise. "+
			"At offset %d of the file, where %d records are missing: %s",
			count, damage.Offset, damage.Want-damage.Got, damage.Reason)
	default:
		c.note(name, "set aside by an earlier start, which has not loaded it; it has %s", count)
	}
}
