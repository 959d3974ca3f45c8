package check

import (
	"fmt"
	"strings"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/dformat"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// others tells what else is in the directories, and what becomes of it.
func (c *checker) others(plan *storage.Plan) {
	for i, f := range plan.Unneeded {
		if more := len(plan.Unneeded) - i; i == mostListed {
			c.note(f.Name, "nobody needs it and %d other files any more; the next start deletes them", more-1)
			break
		}
		c.note(f.Name, "nobody needs it any more; the next start deletes it")
	}
	for _, name := range plan.Original.Loaded {
		c.note(name, "its records have been loaded; only its deletion is missing")
	}
	dirs := []disk.Dir{c.dir, c.rings}
	if c.rings == c.dir {
		dirs = dirs[:1]
	}
	for _, dir := range dirs {
		entries, err := dir.List()
		if err != nil {
			c.unreadable(err)
		}
		for _, e := range entries {
			switch name := e.Name(); {
			case isAsideRing(name):
				c.note(name, "set aside because it was damaged; the log tells what was lost. See 'dmq extract --help'")
			case strings.Contains(name, ".rq-aside"):
				c.asideDump(name)
			case strings.HasPrefix(name, "overflow-aside-") && strings.HasSuffix(name, ".dat"):
				c.asideOverflow(name)
			case strings.HasPrefix(name, "falloctest_"):
				c.note(name, "a probe of the file system that a killed node has left; it can be deleted")
			}
		}
	}
}

// isAsideRing reports whether a file is a ring file, or the catalogue, that was set aside.
func isAsideRing(name string) bool {
	for _, prefix := range []string{"ring-", "spill-", "catalogue-"} {
		if strings.HasPrefix(name, prefix) && strings.HasSuffix(name, "aside.dat") {
			return true
		}
	}
	return false
}

func (c *checker) asideDump(name string) {
	d, err := dformat.ReadFile(c.dir, name)
	if err != nil {
		c.unreadable(err)
		return
	}
	count := d.Queues[0].Dump.Count()
	if len(d.Findings) == 0 {
		c.note(name, "set aside by an earlier start, which has not loaded it; it has %s", count)
		return
	}
	f := d.Findings[0]
	c.note(name, "set aside by an earlier start, which has loaded the %s before the damage, unless its log tells otherwise. "+
		"At offset %d of the file it is %s", count, f.Offset, f.Problem)
}

func (c *checker) asideOverflow(name string) {
	d, err := dformat.ReadFile(c.dir, name)
	if err != nil {
		c.unreadable(err)
		return
	}
	var all []string
	for _, q := range d.Queues {
		all = append(all, fmt.Sprint(q))
	}
	c.note(name, "overflow records that an earlier start has set aside, delivered or not; see 'dmq extract --help'. %s", brief(all))
}
