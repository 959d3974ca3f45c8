package check

import (
	"fmt"
	"strings"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/overflow"
)

// isAsideData reports whether a file is an overflow data file that was set aside.
func isAsideData(name string) bool {
	return strings.HasPrefix(name, "overflow-aside-") && strings.HasSuffix(name, ".dat")
}

// asOverflow shows a directory in which the overflow is a data file of that name with the
// index that belongs to it.
func asOverflow(dir disk.Dir, data string) disk.Dir {
	names := map[string]string{dataFile: data, rebuiltData: ""}
	names[indexFile] = strings.Replace(strings.TrimSuffix(data, ".dat"), "overflow", "ofchannels", 1) + ".csv"
	return renamed{dir, names}
}

// part is the records that Extract makes a dump of: those of a storage that may not have
// been delivered.
type part struct {
	overflow.State
	storage string // "" = unknown
}

func (p part) String() string {
	text := fmt.Sprintf("id %d, %s", p.ID, Count{p.Records, p.Bytes})
	if p.storage != "" {
		text += " of storage " + p.storage
	}
	return text
}

// parts lists what is in the overflow of a directory, those with names first.
func parts(dir disk.Dir) (all []part, err error) {
	r, err := overflow.Check(dir, overflow.Global{}, nil)
	if err != nil {
		return nil, err
	}
	for _, e := range r.Live {
		all = append(all, part{e.State, e.Name})
	}
	for _, c := range nameless(r) {
		all = append(all, part{State: overflow.State{ID: c.ID, First: c.First, Last: c.Last, Records: c.Records, Bytes: c.Bytes}})
	}
	return all, nil
}

func lines(all []part) (texts []string) {
	for _, p := range all {
		texts = append(texts, p.String())
	}
	return texts
}

func (c *checker) noteAsideData(name string) {
	all, err := parts(asOverflow(c.dir, name))
	if err != nil {
		c.unreadable(err)
		return
	}
	c.note(name, "overflow records that an earlier start has set aside, delivered or not; see 'dmq extract --help'. %s",
		brief(lines(all)))
}
