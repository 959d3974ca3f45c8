package storage

import (
	"errors"
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/state"
)

// Load takes over a data directory: one that this node left behind, after a clean stop,
// an interrupted one or none, or that of an original node (storage spec §9). Records go
// to the new node; dump files are not deleted before Commit is called. If Load fails,
// all files are as they were, or as a further Load needs them.
//
// What is found wrong is logged. Records are recovered as far as the files prove them;
// what they don't prove is kept in files set aside.
func Load(options StoreOptions) (*Channels, error) {
	dir, err := disk.OpenDir(options.Dir)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	rings := dir
	if options.RingDir != "" {
		if rings, err = disk.OpenDir(options.RingDir); err != nil {
			return nil, fmt.Errorf("[Storage] ring_dir: %w", err)
		}
	}
	lock, err := lockDir(options.Dir, time.Sleep)
	if err != nil {
		return nil, err
	}
	return load(options, dir, rings, lock)
}

// load is Load in directories that are open and locked.
func load(options StoreOptions, dir, rings disk.Dir, lock io.Closer) (*Channels, error) {
	l := &loader{store: &Store{
		options: options,
		dir:     dir,
		rings:   rings,
		log:     options.Logs("dmqnode.storage"),
		lock:    lock,
		stop:    make(chan struct{}),

		mostPinned: mostPinned,
	}}
	l.channels = NewChannels(Options{RingSize: options.RingSize})
	l.channels.shared.store = l.store
	if err := l.load(); err != nil {
		l.abandon()
		return nil, err
	}
	l.store.overflow.Release()
	l.store.startTicking(l.channels)
	return l.channels, nil
}

// Commit ends the start: it deletes the dump files that have been taken over, and what else
// nobody needs any more. It is to be called when nothing can keep the node from serving any
// more, and before it does: what clients change must not be undone by a dump that a crash has
// left behind.
func (cs *Channels) Commit() {
	st := cs.shared.store
	if st == nil {
		return
	}
	st.deleteDumps(cs)
	st.tidy()
	if !st.options.RingInFile {
		st.forgetRings(cs)
	}
}

// deleteDumps deletes the dump files that have been taken over.
func (st *Store) deleteDumps(cs *Channels) {
	// Dumps and index are durable, so what takes their place has to be, too.
	if len(st.imported) > 0 || st.newState || st.options.Sync > 0 {
		if err := cs.sync(); err != nil {
			st.log.Error("dump files that have been loaded are kept, because the records could not be made durable elsewhere",
				zap.Error(err))
			return
		}
	}
	for _, k := range st.imported {
		if err := k.deleteDump(); err != nil {
			becomes := "it is not loaded again"
			if k.imported == (state.DumpID{}) {
				becomes = "its records are in memory, and after a crash it is loaded again"
			}
			st.log.Error("a dump file that has been loaded could not be deleted; "+becomes, zap.Error(err))
		}
	}
}

// forgetRings moves rings from files to memory, where nothing survives: so it is done last.
func (st *Store) forgetRings(cs *Channels) {
	for _, c := range cs.All() {
		c.mu.Lock()
		for _, s := range c.storages {
			if s.kept.dump != "" {
				continue // a crash must find the ring, or load the dump again
			}
			counted := s.counters
			if err := st.refit(s); err != nil {
				st.log.Warn("a ring stays in its file", zap.String("storage", s.name), zap.Error(err))
			}
			s.counters = counted
		}
		c.mu.Unlock()
	}
}

// deleteDump deletes the dump file whose records the storage has.
func (k *kept) deleteDump() error {
	if k.dump == "" {
		return nil
	}
	if err := removeFile(k.store.dir, k.dump); err != nil {
		return err
	}
	k.dump = ""
	return nil
}

// loader takes over a data directory.
type loader struct {
	store    *Store
	channels *Channels

	// The state file said nothing: as long as no file has been changed, all that was made
	// can be deleted again.
	fresh   bool
	resumed bool // the slots told what is in the overflow, not the index
	aside   []damagedDump
}

// load does everything that may fail because of what is in the directory before it stores
// anything, and imports dumps last: they stay what they are until Commit.
func (l *loader) load() (err error) {
	st := l.store
	st.state, err = state.Open(st.dir)
	if errors.Is(err, state.ErrDamaged) {
		return fmt.Errorf("%w; it tells which records lie where in the ring files. If it is moved away, the node starts "+
			"with what dumps and overflow index tell, and leaves the ring files as they are", err)
	}
	if err != nil {
		return err
	}
	l.fresh = st.state.Empty()
	st.newState = l.fresh
	if err := st.lockRings(); err != nil {
		return err
	}
	if err := l.checkDumps(); err != nil {
		return err
	}
	slots, err := l.finishStop()
	if err != nil {
		return err
	}
	if err := l.noteStrays(slots); err != nil {
		return err
	}
	queues, err := l.openOverflow(slots)
	if err != nil {
		return err
	}
	if err := l.restore(slots, queues); err != nil {
		return err
	}
	if l.resumed {
		if err := st.overflow.Renew(l.channels.entries()); err != nil {
			st.log.Error("the overflow index could not be written", zap.Error(err))
		}
	}
	l.setPhase(state.Running)
	if err := l.importDumps(); err != nil {
		return err
	}
	for _, s := range l.channels.storages() {
		if st.options.RingInFile {
			if err := st.refit(s); err != nil {
				return err
			}
		}
		s.counters = Counters{}
	}
	return l.setAside()
}

func (l *loader) setPhase(phase state.Phase) {
	h := l.store.state.Header()
	h.Phase = phase
	l.store.state.SetHeader(h)
}

// abandon closes everything and leaves the files for another try.
func (l *loader) abandon() {
	st := l.store
	storages := l.channels.storages()
	if l.fresh && st.state != nil {
		l.undo(storages)
	}
	for _, s := range storages {
		if s.ring != nil {
			s.ring.Close()
		}
	}
	if st.overflow != nil {
		st.overflow.Abandon()
	}
	if st.state != nil {
		st.state.Close()
	}
	st.lock.Close()
}

// undo deletes what was made from other files. The state file goes first, at once: without it,
// these count.
func (l *loader) undo(storages []*Storage) {
	st := l.store
	for _, s := range storages {
		if s.ring != nil {
			s.ring.SetSpare(true)
		}
	}
	err := st.state.Discard()
	st.state = nil
	if err != nil {
		st.log.Error("what a start that failed has made stays, for the next one", zap.Error(err))
		return
	}
	for _, s := range storages {
		if s.kept == nil {
			continue
		}
		st.removeRing(s.kept.ringFile)
	}
	if st.overflow == nil {
		return
	}
	if err := st.overflow.Undo(); err != nil {
		st.log.Error("the overflow file could not be made again what it was before this start. If the next one sets it aside, "+
			"do not deliver what is in it: these are copies of records that are still in service", zap.Error(err))
	}
	st.overflow = nil
}

// storages returns all storages. Nobody else may be using them.
func (cs *Channels) storages() (all []*Storage) {
	for _, c := range cs.All() {
		all = append(all, c.storages...)
	}
	return all
}
