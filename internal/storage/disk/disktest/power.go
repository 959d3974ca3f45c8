package disktest

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// sectorSize is what a disk writes as a whole.
const sectorSize = 512

// stable is which files have which names on the disk for certain.
type stable struct {
	files   map[string]*inode
	changes []entryChange // since the directory was last synced
}

// entryChange is a change of a directory, which happens at once or not at all.
type entryChange struct {
	from, to string // "" = none
	file     *inode
}

// KeepStable makes the directory know what of it a power failure leaves for certain: nothing of what
// there is, before it is synced. It is to be called while the directory is empty.
func (d *Dir) KeepStable() { d.stable = &stable{files: make(map[string]*inode)} }

func (s *stable) entry(from, to string, f *inode) {
	if s != nil {
		s.changes = append(s.changes, entryChange{from, to, f})
	}
}

// syncEntries makes those changes happen that are wanted; nil means all.
func (s *stable) syncEntries(wanted func() bool) {
	if s == nil {
		return
	}
	for _, c := range s.changes {
		if wanted != nil && !wanted() {
			continue
		}
		delete(s.files, c.from)
		if c.to != "" {
			s.files[c.to] = c.file
		}
	}
	s.changes = nil
}

func (d *Dir) syncEntries() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stable.syncEntries(nil)
}

func (s *stable) clone(copied func(*inode) *inode) *stable {
	if s == nil {
		return nil
	}
	c := &stable{files: make(map[string]*inode)}
	for name, f := range s.files {
		c.files[name] = copied(f)
	}
	for _, change := range s.changes {
		if change.file != nil {
			change.file = copied(change.file)
		}
		c.changes = append(c.changes, change)
	}
	return c
}

// synced notes that some bytes are on the disk.
func (f *inode) synced(from, to int64) {
	if !f.kept {
		return
	}
	for _, w := range f.writtenOut {
		f.stable = append(f.stable, make([]byte, max(0, w.at+int64(len(w.bytes))-int64(len(f.stable))))...)
		for i := 0; i < len(w.bytes); i += sectorSize {
			at, to := w.at+int64(i), min(i+sectorSize, len(w.bytes))
			if on := f.stable[at:][:to-i]; !bytes.Equal(on, f.memory[at:][:to-i]) { // else it has drifted there since
				copy(on, w.bytes[i:to])
			}
		}
	}
	f.writtenOut = nil
	if to = min(to, f.size); to >= f.size {
		f.stable = f.stable[:min(int64(len(f.stable)), f.size)]
	}
	if from >= to {
		return
	}
	f.stable = append(f.stable, make([]byte, max(0, to-int64(len(f.stable))))...)
	f.eachDirty(from, to, func(from, to int64) { copy(f.stable[from:to], f.memory[from:to]) })
}

// notSynced notes that some bytes could not be written: as a system does, it takes them for written from
// then on.
func (f *file) notSynced(ranges ...disk.Range) {
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	for _, r := range ranges {
		f.eachDirty(r.From, r.To, func(from, _ int64) {
			if f.unwritten == nil {
				f.unwritten = make(map[int64][]byte)
			}
			from -= from % pageSize
			f.unwritten[from/pageSize] = slices.Clone(f.memory[from:min(from+pageSize, f.size)])
		})
	}
}

// eachDirty calls a function for the parts of some bytes that would be written, a page at a time.
func (f *inode) eachDirty(from, to int64, do func(from, to int64)) {
	if !f.kept {
		return
	}
	for to = min(to, f.size); from < to; {
		next := min(to, (from/pageSize+1)*pageSize)
		if f.isDirty(from / pageSize) {
			do(from, next)
		}
		from = next
	}
}

func (f *inode) isDirty(page int64) bool {
	was, ok := f.unwritten[page]
	return !ok || !bytes.Equal(was, f.memory[page*pageSize:min((page+1)*pageSize, f.size)])
}

// touch makes some bytes be written again.
func (f *inode) touch(from, to int64) {
	for page := from / pageSize; page*pageSize < to; page++ {
		delete(f.unwritten, page)
	}
}

// Drift lets the system write some of what is not synced to the disk, as it does when it likes.
func (d *Dir) Drift(random *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		if random.IntN(4) == 0 {
			d.files[name].drift(random)
		}
	}
}

// drift writes a random subset of sectors, and perhaps the length.
func (f *inode) drift(random *rand.Rand) {
	all, none := random.IntN(4) == 0, random.IntN(4) == 0
	end := int64(len(f.stable))
	if random.IntN(2) == 0 {
		end = f.size
	}
	f.stable = append(f.stable[:min(end, int64(len(f.stable)))], make([]byte, max(0, end-int64(len(f.stable))))...)
	if none {
		return
	}
	for at := int64(0); at < end; at += sectorSize {
		to := min(at+sectorSize, end, f.size)
		if at < to && (all || random.IntN(2) == 0) && !bytes.Equal(f.stable[at:to], f.memory[at:to]) && f.isDirty(at/pageSize) {
			copy(f.stable[at:to], f.memory[at:to])
		}
	}
}

// PowerCut returns a directory as it might be found after the power has failed: what was synced,
// and of all else, sector by sector and name by name, what the random numbers say. The machine has
// been started again.
func (d *Dir) PowerCut(random *rand.Rand) *Dir {
	c := d.Clone()
	c.stable.syncEntries(func() bool { return random.IntN(2) == 0 })
	c.boot = d.boot + 1
	after := NewDir()
	after.boot, after.clock, after.number = c.boot, c.clock, c.number
	after.KeepStable()
	for _, name := range slices.Sorted(maps.Keys(c.stable.files)) {
		f := c.stable.files[name]
		f.drift(random)
		after.Put(name, f.stable)
		after.files[name].number = f.number
	}
	c.Release()
	return after
}
