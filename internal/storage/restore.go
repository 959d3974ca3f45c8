package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/dump"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/overflow"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/state"
)

// finishStop completes a clean stop that was interrupted and returns the slots of the
// storages that it had not come to.
func (l *loader) finishStop() (slots []*state.Slot, err error) {
	st := l.store
	for _, slot := range st.state.Used() {
		if !slot.Identity().Dumped {
			slots = append(slots, slot)
			continue
		}
		if err := st.finishDump(slot); err != nil {
			return nil, err
		}
		st.state.Free(slot)
	}
	return slots, nil
}

// finishDump gives a dump that is complete its name, unless it has it, and then deletes the
// ring file with the same records.
func (st *Store) finishDump(slot *state.Slot) error {
	storage, number := slot.Identity().Storage, slot.Positions().RingFile
	_, err := st.dir.Stat(temporaryDump(slot))
	if err == nil {
		err = dump.Commit(st.dir, temporaryDump(slot), storage)
	} else if errors.Is(err, fs.ErrNotExist) {
		_, err = st.dir.Stat(dump.FileName(storage))
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		st.options.Logs("storage:"+storage).Error("the dump file that the last stop has written is gone; "+
			"if its records were not loaded elsewhere, put it back",
			zap.String("file", st.dir.Path(dump.FileName(storage))), zap.String("ring file kept as", st.keepRing(number)))
		return nil
	case err != nil:
		return err
	}
	return st.removeRing(number)
}

// noteStrays finds files that no slot refers to: rings of channels that were being
// created or removed when the process ended, and dumps that were being written.
func (l *loader) noteStrays(slots []*state.Slot) error {
	st := l.store
	known := make(map[uint64]bool)
	for _, slot := range slots {
		number := slot.Positions().RingFile
		known[number] = true
		st.lastRing = max(st.lastRing, number)
	}
	entries, err := st.rings.List()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if number, ok := numbered(e.Name(), asideFormat); ok {
			st.lastRing = max(st.lastRing, number)
		}
		if number, ok := numbered(e.Name(), ringFormat); ok && !known[number] {
			st.lastRing = max(st.lastRing, number)
			st.strayRings = append(st.strayRings, number)
		}
	}
	if l.fresh {
		return nil
	}
	if entries, err = st.dir.List(); err != nil {
		return err
	}
	for _, e := range entries {
		if _, ok := numbered(e.Name(), dumpFormat); ok {
			st.strayDumps = append(st.strayDumps, e.Name())
		}
	}
	return nil
}

// tidy deletes the strays that nobody needs.
func (st *Store) tidy() {
	for _, name := range st.strayDumps {
		if err := st.dir.Remove(name); err != nil {
			st.log.Warn("an incomplete dump could not be deleted", zap.Error(err))
		}
	}
	for _, number := range st.strayRings {
		if err := st.tidyRing(number); err != nil {
			st.log.Warn("a stray ring file could not be deleted, or kept under another name", zap.Error(err))
		}
	}
}

// tidyRing deletes a ring file if it is one of this data directory, and spare. One that is
// not has records, and their storage is not in the state file any more. In a directory of rings
// there may be those that other nodes are making.
func (st *Store) tidyRing(number uint64) error {
	name := ringFile(number)
	whose, err := ring.WhoseIs(st.rings, name)
	path, ours := zap.String("file", st.rings.Path(name)), st.rings == st.dir
	switch {
	case err != nil:
		return err
	case whose.Blank && ours, whose.Spare && whose.Intact && (ours || whose.Instance == st.instance()):
		return st.rings.Remove(name)
	case !whose.Intact:
		st.log.Warn("ignored: not a ring file, or an unfinished or damaged one", path)
	case whose.Owner != st.owner(number):
		st.log.Warn("ignored: the ring file of another node, or one whose "+state.FileName+" is lost", path)
	default:
		st.log.Error("a ring file has records of a storage that "+state.FileName+" does not tell of any more: that file is damaged. "+
			"Get its last copy, if there is one, and the ring file under its old name into an empty directory, and start a node there",
			path, zap.String("kept as", st.keepRing(number)))
	}
	return nil
}

// chain is the records of a storage in the overflow.
type chain struct {
	storage string
	queue   *overflow.Queue
}

// openOverflow opens the overflow and finds the chains of all storages: by the slots as long
// as these count, else by the index.
func (l *loader) openOverflow(slots []*state.Slot) (chains []chain, err error) {
	st := l.store
	if h := st.state.Header(); h.Phase == state.Running {
		at := overflow.Global{Base: h.OverflowBase, Cut: h.OverflowCut, CutSize: h.OverflowSize}
		chains, lost, err := l.attach(chainsOf(slots), at)
		switch {
		case errors.Is(err, overflow.ErrResized):
			st.log.Error("what "+state.FileName+" tells about the overflow is worth nothing; its index counts", zap.Error(err))
			st.stopRunning()
		case err != nil || lost == nil:
			l.resumed = true
			return chains, err
		default:
			if err := l.leaveOverflow(chains, lost); err != nil {
				return nil, err
			}
		}
	}
	entries, err := overflow.Recover(st.dir, st.options.Logs)
	if err != nil {
		return nil, err
	}
	chains, lost, err := l.attach(entries, overflow.Global{})
	if err == nil && lost != nil {
		err = fmt.Errorf("records of storage %s are not in the overflow, although they were just found there", lost[0].Name)
	}
	return chains, err
}

// chainsOf returns where the slots say that the records in the overflow are.
func chainsOf(slots []*state.Slot) (entries []overflow.Entry) {
	for _, slot := range slots {
		at := slot.Positions()
		entries = append(entries, overflow.Entry{Name: slot.Identity().Storage, State: overflow.State{
			ID: at.OverflowID, First: at.First, Last: at.Last, Records: at.Records, Bytes: at.PayloadBytes,
		}})
	}
	return entries
}

// attach opens the overflow file and attaches chains to it. Those that are not there are
// lost.
func (l *loader) attach(entries []overflow.Entry, at overflow.Global) (chains []chain, lost []overflow.Entry, err error) {
	st := l.store
	st.overflow, err = overflow.Open(st.dir, st.options.Logs, at, func(g overflow.Global) {
		h := st.state.Header()
		h.OverflowBase, h.OverflowCut, h.OverflowSize = g.Base, g.Cut, g.CutSize
		st.state.SetHeader(h)
	})
	if err != nil {
		return nil, nil, err
	}
	if l.fresh {
		if err := st.overflow.Hold(); err != nil {
			return nil, nil, err
		}
	}
	for _, e := range entries {
		queue, err := st.overflow.Attach(e.Name, e.State)
		if unreadable := syscall.Errno(0); errors.As(err, &unreadable) {
			return nil, nil, err // they may be there
		}
		if err != nil {
			st.options.Logs("storage:"+e.Name).Error("records in the overflow are not where they should be",
				zap.Uint64("expected", e.Records), zap.Error(err))
			lost = append(lost, e)
			continue
		}
		chains = append(chains, chain{e.Name, queue})
	}
	return chains, lost, nil
}

// leaveOverflow closes an overflow that the slots do not fit. From now on the index counts,
// which is what they say, so that the overflow can find out what the file proves.
func (l *loader) leaveOverflow(chains []chain, lost []overflow.Entry) error {
	st := l.store
	var entries []overflow.Entry
	for _, c := range chains {
		entries = append(entries, overflow.Entry{Name: c.storage, State: c.queue.State()})
	}
	err := st.overflow.Leave(append(entries, lost...))
	st.overflow = nil
	if err == nil {
		st.stopRunning()
	}
	return err
}

// stopRunning makes the index count, whose positions are offsets.
func (st *Store) stopRunning() {
	st.state.SetHeader(state.Header{Phase: state.Stopped, Instance: st.state.Header().Instance})
}

// restore makes the storages of all slots and chains. Nothing is stored before all their
// names are known to be good.
func (l *loader) restore(slots []*state.Slot, chains []chain) error {
	l.store.overflow.Report()
	for _, slot := range slots {
		s, err := l.add(slot.Identity().Storage)
		if err != nil {
			return err
		}
		at := slot.Positions()
		s.kept = &kept{store: l.store, slot: slot, imported: at.Imported}
		s.mayHoldEmpty = at.MayHoldEmpty
	}
	for _, c := range chains {
		s := l.find(c.storage)
		if s == nil {
			var err error
			if s, err = l.add(c.storage); err != nil {
				return err
			}
			s.kept, s.mayHoldEmpty = &kept{store: l.store}, true
		}
		s.kept.queue = c.queue
	}
	for _, s := range l.channels.storages() {
		if err := l.place(s); err != nil {
			return err
		}
	}
	return nil
}

// place gives a storage a ring and, if it has none, a chain and a slot.
func (l *loader) place(s *Storage) (err error) {
	st, k := l.store, s.kept
	if k.queue == nil {
		if k.queue, err = st.overflow.Create(s.name); err != nil {
			return err
		}
	}
	s.overflow = k.queue
	if k.slot != nil && k.slot.Positions().RingFile > 0 {
		return l.openRing(s)
	}
	if s.ring, k.ringFile, err = st.newRing(s.name, st.options.RingSize(s.channel.name)); err != nil {
		return err
	}
	if k.slot == nil {
		st.options.Logs("scan-diskoverflow").Info("storage created", zap.String("storage", s.name))
		err = k.register(s)
	} else {
		err = s.resume() // what the ring in memory had is gone
	}
	s.ring.SetSpare(false)
	return err
}

// openRing opens the ring of a slot. What is intact in a damaged one goes to another, and the
// file is kept.
func (l *loader) openRing(s *Storage) error {
	st, k, at := l.store, s.kept, s.kept.slot.Positions()
	k.ringFile = at.RingFile
	found, err := ring.Open(st.rings, st.ringName(at.RingFile), st.owner(at.RingFile), at.Capacity,
		ring.Positions{Read: at.Read, Write: at.Write, Gap: at.Gap, Held: at.Held})
	var damage *ring.DamageError
	damaged, missing := errors.As(err, &damage), errors.Is(err, fs.ErrNotExist)
	switch {
	case err == nil:
		s.ring = found
		return s.resume()
	case !damaged && !missing:
		return err
	case (missing || damaged && damage.Foreign) && at.Held > 0 && !st.ringsForgotten():
		return fmt.Errorf("storage %s has %d records in a ring file that is not there: %w. Is [Storage] ring_dir what it was, "+
			"and mounted? If the file is lost for good, make an empty one of that name: then the node starts without these records",
			s.name, at.Held, err)
	}
	return l.replaceRing(s, found, err)
}

// ringsForgotten reports whether the ring files are in memory, and so may be gone since the
// machine was started.
func (st *Store) ringsForgotten() bool {
	var fs unix.Statfs_t
	if st.options.RingDir == "" || unix.Statfs(st.options.RingDir, &fs) != nil {
		return false
	}
	return fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC
}

// replaceRing gives a storage whose ring is damaged another one, with what was found.
func (l *loader) replaceRing(s *Storage, found *ring.Ring, reason error) (err error) {
	st, k, at := l.store, s.kept, s.kept.slot.Positions()
	capacity := st.options.RingSize(s.channel.name)
	if found != nil {
		capacity = at.Capacity
		s.ring = found
		defer found.Close()
	}
	runs := s.takeRing()
	if s.ring, k.ringFile, err = st.newRing(s.name, capacity); err != nil {
		return err
	}
	if found != nil && found.Held() > 0 && k.ringFile == 0 && st.options.RingInFile {
		err := fmt.Errorf("storage %s: %w. Make room for another ring file of %d bytes: its intact records would not survive in memory",
			s.name, reason, capacity)
		return errors.Join(err, s.ring.Close())
	}
	if found != nil {
		if err := pushAll(runs, s.pushRunToRing); err != nil {
			return err
		}
	}
	if at.Held > 0 || !errors.Is(reason, fs.ErrNotExist) {
		what := "records of a ring are lost: look what the file that is kept still has of them"
		if found != nil && damageOf(reason).Got == at.Held {
			what = "the file of a ring is damaged, but its records are not: they are in another now"
		}
		st.options.Logs("storage:"+s.name).Error(what,
			zap.Uint64("expected", at.Held), zap.Int("found", s.ring.Held()), zap.Error(reason),
			zap.String("file kept as", st.keepRing(at.RingFile)))
	}
	err = s.resume()
	s.ring.SetSpare(false)
	return err
}

// damageOf returns the damage that an error tells of, or none.
func damageOf(err error) (damage ring.DamageError) {
	if d := (*ring.DamageError)(nil); errors.As(err, &d) {
		damage = *d
	}
	return damage
}

// ringName returns the name of a ring file. A start that was killed may have set it aside
// already.
func (st *Store) ringName(number uint64) string {
	name := ringFile(number)
	if _, err := st.rings.Stat(name); errors.Is(err, fs.ErrNotExist) {
		if _, err := st.rings.Stat(asideRing(number)); err == nil {
			return asideRing(number)
		}
	}
	return name
}

// keepRing renames a damaged ring file, so that what is in it can be examined, and returns
// where it is. No other ring file gets its number.
func (st *Store) keepRing(number uint64) string {
	name, aside := st.ringName(number), asideRing(number)
	if whose, err := ring.WhoseIs(st.rings, name); err != nil || whose.Intact && whose.Owner != st.owner(number) {
		return "" // it is not there, or another one's
	}
	if name != aside {
		if err := st.rings.Rename(name, aside); err != nil {
			st.log.Error("a damaged ring file could not be set aside", zap.Error(err))
			return ""
		}
	}
	return st.rings.Path(aside)
}

var errMixed = errors.New("a channel has storages with and without a subscriber, which no node leaves behind")

// add makes a storage without places and puts it into its channel.
func (l *loader) add(name string) (*Storage, error) {
	subscriber, channel, subscribed, ok := names.ParseStorage(name)
	if !ok {
		return nil, fmt.Errorf("a storage has the invalid name %q", name)
	}
	cs := l.channels
	c := cs.byName[channel]
	switch {
	case c == nil:
		c = &Channel{name: channel, shared: &cs.shared, subscribed: subscribed}
		cs.byName[channel] = c
		cs.all = append(cs.all, c)
	case c.subscribed != subscribed:
		return nil, fmt.Errorf("storages %s and %s: %w", c.storages[0].name, name, errMixed)
	case l.find(name) != nil:
		return nil, fmt.Errorf("there are two storages %s", name)
	}
	s := &Storage{channel: c, subscriber: subscriber, name: name}
	c.storages = append(c.storages, s)
	return s, nil
}

// find returns the storage of that name, or nil.
func (l *loader) find(name string) *Storage {
	_, channel, _, _ := names.ParseStorage(name)
	if c := l.channels.byName[channel]; c != nil {
		for _, s := range c.storages {
			if s.name == name {
				return s
			}
		}
	}
	return nil
}
