package check

import (
	"fmt"
	"io/fs"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/overflow"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/state"
)

// Files of the overflow. While they are set aside, new ones have the names of rebuilt.
const (
	dataFile     = "overflow.dat"
	indexFile    = "ofchannels.csv"
	rebuiltData  = "overflow-rebuilt.dat"
	rebuiltIndex = "ofchannels-rebuilt.csv"
)

// countOverflow takes over the numbers of a running node.
func (c *checker) countOverflow() {
	for _, e := range c.slots {
		c.storages[e.Name].Overflow = Count{e.Records, e.Bytes}
	}
}

// checkOverflow compares the data file with the slots, and with the index if that counts.
func (c *checker) checkOverflow(snapshot *state.Snapshot) {
	dir := c.overflowDir()
	if snapshot == nil || snapshot.Header.Phase != state.Running {
		c.compareIndex(dir)
		return
	}
	if len(c.slots) > 0 {
		h := snapshot.Header
		g := overflow.Global{Base: h.OverflowBase, Cut: h.OverflowCut, CutSize: h.OverflowSize}
		c.compareSlots(dir, g)
	}
}

func (c *checker) compareSlots(dir disk.Dir, g overflow.Global) {
	r, err := overflow.Check(dir, g, c.slots)
	if err != nil {
		c.unreadable(err)
		return
	}
	c.takeOver(r)
	for _, problem := range r.Faults {
		c.fault(Fault{File: dataFile, Problem: problem,
			Meaning: "the next start delivers what the file proves, the numbers above, and logs what is lost. If it is not certain " +
				"which records those are, it keeps the files as overflow-aside-N.dat and ofchannels-aside-N.csv",
			Remedy: "keep a copy of the directory before the next start"})
	}
}

// compareIndex takes over what the index tells, and adds the storages that only it knows.
func (c *checker) compareIndex(dir disk.Dir) {
	r, err := overflow.Check(dir, overflow.Global{}, nil)
	if err != nil {
		c.unreadable(err)
		return
	}
	c.takeOver(r)
	if len(r.Faults) == 0 {
		c.noteUnused(r)
		return
	}
	if c.report.Situation == Stopped {
		c.report.Situation = Outdated
	}
	doubts, err := overflow.Doubts(dir)
	switch {
	case err != nil:
		c.unreadable(err)
	case len(doubts) == 0:
		c.outdated(r)
	default:
		c.doubtful(r)
	}
}

// takeOver counts the records of the overflow that are to be delivered.
func (c *checker) takeOver(r *overflow.Report) {
	for _, e := range r.Live {
		s, problem := c.add(e.Name)
		if s == nil {
			c.refused(indexFile, e.Name, problem)
			continue
		}
		s.Overflow = Count{e.Records, e.Bytes}
	}
}

// noteUnused tells what lies in the data file beside the records of storages.
func (c *checker) noteUnused(r *overflow.Report) {
	var texts []string
	for _, chain := range nameless(r) {
		texts = append(texts, describe(chain))
	}
	if len(texts) > 0 {
		c.note(dataFile, "of no storage, so consumed before or of a channel that was removed: %s", brief(texts))
	}
	if r.Wasted > 0 {
		c.note(dataFile, "%d bytes are no records", r.Wasted)
	}
}

// outdated reports an index that the data file corrects.
func (c *checker) outdated(r *overflow.Report) {
	for _, problem := range r.Faults {
		c.fault(Fault{File: indexFile, Problem: problem,
			Meaning: "the next start corrects the index by the data file, and goes on with the numbers above; " +
				"records that were consumed after the index was written may be delivered again. " +
				"An original node may not start, or miss records",
			Remedy: "nothing for this node. For an original one, start and stop this node first"})
	}
}

// doubtful reports files that the next start sets aside.
func (c *checker) doubtful(r *overflow.Report) {
	aside := Fault{File: dataFile,
		Meaning: "it is not certain which records are still to be delivered, or to whom: the next start moves " + dataFile + " and " + indexFile +
			" aside, as overflow-aside-N.dat and ofchannels-aside-N.csv, and goes on with those that are certain, the numbers above. " +
			"An original node may not start, or lose records",
		Remedy: "records of a file set aside are delivered once 'dmq extract' has made a dump of them in the data directory of a stopped node, " +
			"named after their storage: dmq extract overflow-aside-N.dat ID > STORAGE.rq"}
	report := func(offset int64, problem string) {
		f := aside
		f.Offset, f.Problem = offset, problem
		c.fault(f)
	}
	for _, problem := range r.Faults {
		report(0, problem)
	}
	for _, chain := range r.Unknown {
		report(chain.First, describe(chain)+": of no storage whose name is known")
	}
	for _, g := range r.Garbage {
		if g.To <= r.Settled {
			continue
		}
		report(g.From, fmt.Sprintf("%d bytes that are no records", g.To-g.From))
	}
}

// nameless returns the chains that no storage has.
func nameless(r *overflow.Report) (chains []*overflow.Chain) {
	live := make(map[uint32]bool)
	for _, e := range r.Live {
		live[e.ID] = true
	}
	for _, chain := range r.Chains {
		if !live[chain.ID] {
			chains = append(chains, chain)
		}
	}
	return chains
}

func describe(c *overflow.Chain) string {
	return fmt.Sprintf("id %d, %s, offsets %d to %d", c.ID, Count{c.Records, c.Bytes}, c.First, c.Last)
}

// overflowDir shows the files of the overflow as the next start will find them, if it has
// to finish setting them aside.
func (c *checker) overflowDir() disk.Dir {
	there := func(name string) bool {
		_, err := c.dir.Stat(name)
		return err == nil
	}
	data, index := there(rebuiltData), there(rebuiltIndex)
	if data || index {
		c.note(dataFile, "setting the overflow files aside was interrupted; the next start finishes that")
	}
	names := map[string]string{rebuiltData: "", rebuiltIndex: ""}
	switch {
	case data && index && !there(dataFile):
		names[dataFile], names[indexFile] = rebuiltData, rebuiltIndex
	case index && !data:
		names[indexFile] = rebuiltIndex
	}
	return renamed{c.dir, names}
}

// renamed is a directory in which some files are found under other names, or not at all.
type renamed struct {
	disk.Dir
	names map[string]string // what is really there; "" = nothing
}

func (d renamed) Open(name string) (disk.File, error) {
	name, err := d.real("open", name)
	if err != nil {
		return nil, err
	}
	return d.Dir.Open(name)
}

func (d renamed) Stat(name string) (fs.FileInfo, error) {
	name, err := d.real("stat", name)
	if err != nil {
		return nil, err
	}
	return d.Dir.Stat(name)
}

func (d renamed) Path(name string) string {
	if real := d.names[name]; real != "" {
		name = real
	}
	return d.Dir.Path(name)
}

func (d renamed) real(operation, name string) (string, error) {
	real, ok := d.names[name]
	switch {
	case !ok:
		return name, nil
	case real == "":
		return "", &fs.PathError{Op: operation, Path: d.Path(name), Err: fs.ErrNotExist}
	}
	return real, nil
}
