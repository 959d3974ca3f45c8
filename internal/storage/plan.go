package storage

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/catalogue"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/dformat"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// Plan is what a start makes of a data directory. To make one changes nothing.
type Plan struct {
	// Catalogue is what counts of the catalogue, or what takes its place.
	Catalogue *catalogue.Content
	Fresh     bool // there is no catalogue to go on with
	Phase     catalogue.Phase

	Queues   []Chain            // what is in ring files, by number of the queue
	Original *dformat.Directory // what is in files of the original

	Unneeded []File // files that nobody needs, to be deleted
	Aside    []File // damaged ones, to be set aside
	Findings []dformat.Finding
	Refusals []*Refusal // why there must not be a start

	recovered uint64 // records that are there because they were durable
	lastFile  uint64 // the largest number of a ring file
	storages  map[string]bool
	channels  map[string]bool // names, and whether they have subscribers
}

// Chain is the files of a queue, in order.
type Chain struct {
	catalogue.Queue
	Files  []ring.Head
	Relink bool // they do not tell that order themselves
}

// Refusal is why a node does not start with a directory before an operator has decided something.
type Refusal struct {
	Storage string
	File    string // its path
	Problem string
	Remedy  string
}

func (r *Refusal) Error() string {
	return fmt.Sprintf("storage %s: %s: %s. %s", r.Storage, r.Problem, r.File, r.Remedy)
}

// Refused is why there must not be a start, or nil.
func (p *Plan) Refused() error {
	var all []error
	for _, r := range p.Refusals {
		all = append(all, r)
	}
	return errors.Join(all...)
}

// Space is the bytes of disk space that copies of what comes from the original need, in the data
// directory and in that of the rings.
func (p *Plan) Space() (dir, rings uint64) {
	const perFile = 64 << 10
	for _, q := range p.Original.Queues {
		if q.Dump.Records > 0 {
			rings += q.Dump.Bytes + perFile
		}
		if q.Overflow.Records > 0 {
			dir += q.Overflow.Bytes + perFile
		}
	}
	return dir, rings
}

// File is a file in one of the two directories.
type File struct {
	Dir  disk.Dir
	Name string
}

// Path is that of the file.
func (f File) Path() string { return f.Dir.Path(f.Name) }

// planner makes a plan.
type planner struct {
	Plan
	dir, rings disk.Dir
	inMemory   bool // the directory of the rings is, so that a reboot empties it
	heads      map[ring.Link]ring.Head
	damaged    map[ring.Link]error
	blank      map[ring.Link]bool // empty files
	unproved   map[ring.Link]bool // used before the machine was started again, and nothing of them is durable
	old        map[ring.Link]bool // those of the damaged that nobody is about to make
}

// makingTakes is how long a file may have no head yet, because another node, which has its rings
// in the same directory, is about to make it. One that has none any later is left from a kill.
const makingTakes = time.Hour

// MakePlan reads a data directory, and that of the ring files. An error says why a node could not
// start, and what to do about it; so does Refused, but then the plan tells what else is there.
func MakePlan(dir, rings disk.Dir) (*Plan, error) {
	p := &planner{
		dir: dir, rings: rings,
		inMemory: rings != dir && inMemory(rings.Path("")),
		heads:    make(map[ring.Link]ring.Head),
		damaged:  make(map[ring.Link]error),
		blank:    make(map[ring.Link]bool),
		old:      make(map[ring.Link]bool),
		unproved: make(map[ring.Link]bool),
	}
	p.storages, p.channels = make(map[string]bool), make(map[string]bool)
	for _, step := range []func() error{p.readCatalogue, p.readHeads, p.sort, p.chains, p.readOriginal} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return &p.Plan, nil
}

func (p *planner) find(severity dformat.Severity, storage, file, problem, meaning, remedy string) {
	p.Findings = append(p.Findings, dformat.Finding{
		Severity: severity, Storage: storage, File: file, Problem: problem, Meaning: meaning, Remedy: remedy,
	})
}

func (p *planner) readCatalogue() error {
	c, err := catalogue.Read(p.dir)
	if disk.IsUnreadable(err) { // or is it only now?
		c, err = catalogue.Read(p.dir)
	}
	switch {
	case disk.IsNotExist(err):
		p.Catalogue, p.Fresh = catalogue.New(), true
		return nil
	case disk.IsUnreadable(err):
		c = catalogue.New()
		c.Instance, c.Damage = 0, err
	case err != nil:
		return err
	}
	p.Catalogue, p.Phase = c, c.Phase
	if c.Damage != nil {
		p.Fresh = true
		p.Aside = append(p.Aside, File{p.dir, catalogue.FileName})
		p.find(dformat.Error, "", catalogue.FileName, c.Damage.Error(),
			"the ring files tell which queues there are. Subscriptions without records may be missing, and channels that were removed may be back",
			"look whether all channels and subscribers are there")
	}
	return nil
}

// readHeads reads the heads of all ring files.
func (p *planner) readHeads() error {
	for _, dir := range []disk.Dir{p.dir, p.rings} {
		entries, err := dir.List()
		if err != nil {
			return err
		}
		slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
		for _, e := range entries {
			p.noteNumber(e.Name())
			if dir == p.dir && e.Name() == catalogue.NewFileName {
				p.Unneeded = append(p.Unneeded, File{dir, e.Name()})
			}
			l, ok := ring.ParseFileName(e.Name())
			if !ok || e.IsDir() || dir == p.dir && p.rings != p.dir && l.Kind == ring.Main || dir != p.dir && l.Kind != ring.Main {
				continue
			}
			if err := p.readHead(dir, e, l); err != nil {
				return err
			}
		}
		if p.rings == p.dir {
			break
		}
	}
	return nil
}

// noteNumber keeps the numbers of files, also of those that were set aside, from being used again.
func (p *planner) noteNumber(name string) {
	if l, ok := ring.ParseFileName(strings.Replace(name, "-aside", "", 1)); ok {
		p.lastFile = max(p.lastFile, l.Number)
	}
}

func (p *planner) readHead(dir disk.Dir, e fs.DirEntry, l ring.Link) error {
	h, err := ring.ReadHead(dir, e.Name())
	if disk.IsUnreadable(err) { // or is it only now?
		h, err = ring.ReadHead(dir, e.Name())
	}
	damage := (*ring.DamageError)(nil)
	switch {
	case err == nil && h.Link != l:
		p.damaged[l] = &ring.DamageError{File: dir.Path(e.Name()), Reason: "it has the name of another file, " + h.FileName()}
	case err == nil:
		p.heads[l] = h
	case disk.IsNotExist(err): // deleted meanwhile, by a node with the same directory of rings
	case errors.As(err, &damage):
		info, err := e.Info()
		if err != nil {
			return err
		}
		p.damaged[l], p.blank[l] = damage, info.Size() == 0
		p.old[l] = time.Since(info.ModTime()) > makingTakes
	case disk.IsUnreadable(err):
		p.damaged[l] = fmt.Errorf("its head can't be read: %w", err)
	default:
		return err
	}
	return nil
}

// sort tells the files of this data directory from those of others, and drops those that no queue
// needs.
func (p *planner) sort() error {
	if p.Fresh {
		if err := p.rebuild(); err != nil {
			return err
		}
	}
	for l, h := range p.heads {
		_, known := p.Catalogue.Queues[h.Queue]
		file := File{p.dirOf(l), l.FileName()}
		switch {
		case h.Instance != p.Catalogue.Instance:
			delete(p.heads, l)
			if p.rings == p.dir || l.Kind != ring.Main { // else another node has its rings there, too
				p.find(dformat.Warning, h.Name, l.FileName(), "it belongs to another data directory", "ignored", "move it away")
			}
		case p.Phase == catalogue.Dumped || !known:
			delete(p.heads, l)
			p.Unneeded = append(p.Unneeded, file)
			p.Catalogue.Next = max(p.Catalogue.Next, h.Queue+1) // or it belongs to the queue that gets its number, until it is deleted
		case h.Rebooted && h.Durable.Loose:
			delete(p.heads, l)
			p.unproved[l] = true
			p.giveUp(h, file)
		case h.Rebooted:
			p.recovered += h.Held
			h.Unsure = p.Phase != catalogue.Kept // else all of the file was made durable together
			p.heads[l] = h
		}
	}
	if p.recovered > 0 {
		p.find(dformat.Info, "", catalogue.FileName, "the machine has been started again since the node ran",
			fmt.Sprintf("%d records are there that were durable; those of them come again that were delivered within the last [Storage] sync_ms", p.recovered), "")
	}
	for l, damage := range p.damaged {
		switch {
		case p.rings != p.dir && l.Kind == ring.Main && !p.wanted(l) && !(p.blank[l] && p.old[l]):
		case p.blank[l], p.halfMade(l):
			p.Unneeded = append(p.Unneeded, File{p.dirOf(l), l.FileName()})
		default:
			p.Aside = append(p.Aside, File{p.dirOf(l), l.FileName()})
			p.find(dformat.Error, "", l.FileName(), damage.Error(),
				"its records are lost to the node; the file is kept as "+asideName(l.FileName()), "")
		}
	}
	if p.Phase == catalogue.Dumped {
		p.Catalogue.Queues, p.Fresh = make(map[uint64]catalogue.Queue), true
	}
	compare := func(a, b File) int { return strings.Compare(a.Path(), b.Path()) }
	slices.SortFunc(p.Unneeded, compare)
	slices.SortFunc(p.Aside, compare)
	return nil
}

// giveUp sets a file aside of which nothing is known to be on the disk.
func (p *planner) giveUp(h ring.Head, file File) {
	if h.Held == 0 {
		p.Unneeded = append(p.Unneeded, file)
		return
	}
	p.Aside = append(p.Aside, file)
	p.find(dformat.Error, h.Name, file.Name,
		"the machine has been started again since the node ran, and [Storage] sync_ms was 0: nothing proves that its records are on the disk",
		fmt.Sprintf("up to %d records are not served; the file is kept as %s", h.Held, asideName(file.Name)),
		"dmq extract makes a dump of those that can be read. Look whether they are right, and push them again; "+
			"set [Storage] sync_ms, and the next time they are served")
}

// halfMade reports whether a file without a head is what a power failure leaves of one that has never
// been durable: nothing that is durable refers to it.
func (p *planner) halfMade(l ring.Link) bool {
	return p.Catalogue.Rebooted && !p.Catalogue.Loose && p.Catalogue.Damage == nil && !slices.ContainsFunc(slices.Collect(maps.Keys(p.damaged)), p.wanted)
}

func (p *planner) dirOf(l ring.Link) disk.Dir {
	if l.Kind == ring.Main {
		return p.rings
	}
	return p.dir
}

// wanted reports whether a file is the first, or the next one, of a queue.
func (p *planner) wanted(l ring.Link) bool {
	for _, q := range p.Catalogue.Queues {
		if q.First == l {
			return true
		}
	}
	for _, h := range p.heads {
		if h.Next == l {
			return true
		}
	}
	return false
}

var errWhose = errors.New("there is no " + catalogue.FileName + ", and the ring files are of several data directories. " +
	"Leave only those in the directory that belong to it, or get the last copy of that file")

// rebuild makes a catalogue from what the files tell, if there is none that could be read. Without
// any files there is nothing to be told.
func (p *planner) rebuild() error {
	c := p.Catalogue
	if c.Damage == nil || c.Instance == 0 {
		if c.Instance == 0 {
			c.Instance = catalogue.NewInstance()
		}
		instances := make(map[uint64]bool)
		for l, h := range p.heads {
			if h.Held > 0 && (p.rings == p.dir || l.Kind == ring.Spill) {
				instances[h.Instance] = true
				c.Instance = h.Instance
			}
		}
		if len(instances) > 1 {
			return errWhose
		}
	}
	lost := false
	for _, h := range slices.SortedFunc(maps.Values(p.heads), older) { // the first one has the newest name
		if h.Instance != c.Instance || h.Queue == 0 {
			continue
		}
		c.Next = max(c.Next, h.Queue+1)
		if q, known := c.Queues[h.Queue]; h.Held > 0 && (!known || q.First == (ring.Link{})) {
			lost = true
			c.Queues[h.Queue] = catalogue.Queue{Number: h.Queue, Name: h.Name, First: h.Link}
		}
	}
	if lost && c.Damage == nil {
		p.find(dformat.Error, "", catalogue.FileName, "it is missing",
			"the ring files tell which queues there are. Subscriptions without records are lost", "")
	}
	return nil
}

// chains puts the files of each queue in order.
func (p *planner) chains() error {
	of := make(map[uint64][]ring.Head)
	for _, h := range p.heads {
		of[h.Queue] = append(of[h.Queue], h)
	}
	for _, q := range p.Catalogue.Sorted() {
		if err := p.note(q.Name); err != nil {
			return err
		}
		p.Queues = append(p.Queues, p.chain(q, of[q.Number]))
	}
	return nil
}

// note notes that there is a storage.
func (p *planner) note(name string) error {
	_, channel, subscribed, ok := names.ParseStorage(name)
	if !ok {
		return fmt.Errorf("%s tells of a queue with the invalid name %q", p.dir.Path(catalogue.FileName), name)
	}
	if other, known := p.channels[channel]; known && other != subscribed {
		return fmt.Errorf("%s tells of channel %s both with and without subscribers, which no node leaves behind",
			p.dir.Path(catalogue.FileName), channel)
	}
	p.storages[name], p.channels[channel] = true, subscribed
	return nil
}

func (p *planner) chain(q catalogue.Queue, files []ring.Head) Chain {
	c := Chain{Queue: q, Relink: p.Fresh && len(files) > 0}
	of := make(map[ring.Link]ring.Head)
	for _, h := range files {
		of[h.Link] = h
	}
	follow := func(l ring.Link) (end ring.Link) {
		for {
			h, ok := of[l]
			if !ok {
				return l
			}
			c.Files = append(c.Files, h)
			delete(of, l)
			l = h.Next
		}
	}
	if !c.Relink {
		if end := follow(q.First); end != (ring.Link{}) {
			c.Relink = true
			p.missing(q, end)
		}
	}
	whole := !c.Relink && p.Catalogue.Rebooted && !p.Catalogue.Loose // then what is not in the chain has been taken out
	for _, h := range starts(of) {                                   // of what is not in the chain
		if _, leads := of[h.Next]; whole || h.Held == 0 && !leads {
			p.Unneeded = append(p.Unneeded, File{p.dirOf(h.Link), h.FileName()})
			continue
		}
		c.Relink = true
		follow(h.Link)
	}
	if p.Fresh { // the catalogue that is made now says so at once
		c.First = ring.Link{}
		if len(c.Files) > 0 {
			c.First = c.Files[0].Link
		}
		p.Catalogue.Queues[q.Number] = c.Queue
	}
	return c
}

// starts returns the files that none of the others names as its next one, in the order in which
// they follow each other, as far as that can be told. Those without records come last: they may
// have been taken out of the chain, and still name a file in it.
func starts(files map[ring.Link]ring.Head) (all []ring.Head) {
	named := make(map[ring.Link]bool)
	for _, h := range files {
		named[h.Next] = true
	}
	for _, h := range files {
		if !named[h.Link] {
			all = append(all, h)
		}
	}
	slices.SortFunc(all, func(a, b ring.Head) int {
		if (a.Held == 0) != (b.Held == 0) {
			return int(min(b.Held, 1)) - int(min(a.Held, 1))
		}
		return older(a, b)
	})
	return all
}

// older compares files of a queue by their places in it, as far as these can be told without a
// chain.
func older(a, b ring.Head) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Number, b.Number))
}

// missing decides what to do about a file of a queue that is not there.
func (p *planner) missing(q catalogue.Queue, l ring.Link) {
	switch {
	case p.blank[l]:
		p.find(dformat.Warning, q.Name, l.FileName(), "it is empty", "the records that it had are given up", "")
	case p.damaged[l] != nil, p.unproved[l]: // which has been said
	case p.Catalogue.Rebooted && p.Catalogue.Loose && p.dirOf(l) == p.dir:
		p.find(dformat.Error, q.Name, l.FileName(), "it is missing: the machine has been started again, and [Storage] sync_ms was 0",
			"the records that it had are lost, if it had any", "set [Storage] sync_ms, and the next time they are there")
	case l.Kind == ring.Main && p.inMemory:
		p.find(dformat.Warning, q.Name, l.FileName(), "it is gone, as it was in memory",
			"the records that it had are lost, if it had any", "")
	default:
		p.Refusals = append(p.Refusals, &Refusal{q.Name, p.dirOf(l).Path(l.FileName()), "a file that its records are in is missing",
			"Are the data directory and [Storage] ring_dir what they were, and mounted? If the file is lost for good, make an empty one " +
				"of that name: then the node starts without these records"})
	}
}

// readOriginal reads what is there in the formats of the original, except for what a clean stop or
// a start has left that was interrupted.
func (p *planner) readOriginal() (err error) {
	p.Original, err = dformat.Read(p.dir, dformat.Left{
		Storages: p.storages, Stopping: p.Phase == catalogue.Dumping, Sources: p.Catalogue.Sources,
	})
	if err != nil {
		return err
	}
	for _, name := range p.Original.Unneeded {
		p.Unneeded = append(p.Unneeded, File{p.dir, name})
	}
	return nil
}
