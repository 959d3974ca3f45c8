package storage

import (
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/overflow"
)

// startTicking starts the periodic work: writing the overflow index, cutting the head off
// the overflow, and, if wanted, making everything durable.
func (st *Store) startTicking(cs *Channels) {
	st.every(st.options.WriteIndex, cs.writeIndex)
	st.every(st.options.Sync, func() {
		if err := cs.sync(); err != nil {
			st.log.Error("records could not be made durable", zap.Error(err))
		}
	})
}

func (cs *Channels) writeIndex() {
	st := cs.shared.store
	if _, err := st.overflow.CutHead(); err != nil {
		st.log.Error("the overflow file could not be made smaller", zap.Error(err))
	}
	if err := st.overflow.WriteIndex(cs.entries()); err != nil {
		st.log.Error("the overflow index could not be written", zap.Error(err))
	}
}

func (st *Store) every(period time.Duration, work func()) {
	if period <= 0 {
		return
	}
	st.ticking.Go(func() {
		t := time.NewTicker(period)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				work()
			case <-st.stop:
				return
			}
		}
	})
}

// entries returns what the index is to tell: all storages as they were last saved.
func (cs *Channels) entries() (entries []overflow.Entry) {
	for _, c := range cs.All() {
		c.mu.Lock()
		for _, s := range c.storages {
			if s.kept != nil {
				entries = append(entries, overflow.Entry{Name: s.name, State: s.kept.queue.State()})
			}
		}
		c.mu.Unlock()
	}
	return entries
}

// sync makes everything durable that has been saved when it is called. A ring that is
// being written stays open meanwhile. Should the power fail, what has been saved since may
// be in part on the disk: then ring or overflow turn out to be damaged at their end.
func (cs *Channels) sync() (err error) {
	for _, c := range cs.All() {
		c.mu.Lock()
		storages := slices.Clone(c.storages)
		for _, s := range storages {
			s.out++
		}
		c.mu.Unlock()
		for _, s := range storages {
			err = errors.Join(err, s.ring.Sync())
		}
		c.mu.Lock()
		for _, s := range storages {
			s.out--
			s.closeIfUnused()
		}
		c.mu.Unlock()
	}
	st := cs.shared.store
	return errors.Join(err, st.overflow.Sync(), st.state.Sync(), st.rings.Sync(), st.dir.Sync())
}
