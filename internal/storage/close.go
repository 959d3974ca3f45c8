package storage

import (
	"errors"
	"fmt"
	"iter"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/dump"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/state"
)

// Close ends a clean stop. It leaves the data directory as the original expects it
// (storage spec §9): a dump of each ring that holds records, or of a subscription that
// holds none, and the overflow with its index. All runs must be settled and all consumers
// have left.
//
// The overflow and its index come first, then the dumps. Whatever cannot be written stays
// in its ring file, which the next start of this node finds; the others are not affected.
func (cs *Channels) Close() error {
	st := cs.shared.store
	if st == nil {
		return nil
	}
	close(st.stop)
	st.ticking.Wait()
	storages := cs.storages()
	err := st.closeOverflow(storages)
	indexed := err == nil
	for _, k := range st.imported {
		err = errors.Join(err, k.deleteDump())
	}
	var saved []*Storage
	for _, s := range storages {
		// Without an index, only the slot knows what is in the overflow.
		slotCounts := !indexed && s.kept.slot.Positions().Records > 0
		if s.ring.InFile() && (slotCounts || s.kept.dump != "") {
			held, size := s.undelivered()
			s.unsaved(held, size, errSlotCounts)
			continue // it knows what is in the ring, too
		}
		if e := s.saveDump(slotCounts); e != nil {
			err = errors.Join(err, e)
		} else if !slotCounts {
			saved = append(saved, s)
		}
	}
	if e := st.dir.Sync(); e != nil {
		err, saved = errors.Join(err, e), nil // the dumps may not last; the rings do
	}
	for _, s := range saved {
		s.ring.SetSpare(true)
		st.state.Free(s.kept.slot)
		err = errors.Join(err, st.removeRing(s.kept.ringFile))
	}
	for _, s := range storages {
		err = errors.Join(err, s.ring.Close())
	}
	return errors.Join(err, st.state.Close(), st.dir.Sync(), st.lock.Close())
}

// closeOverflow leaves the overflow to the index. If that fails, the slots go on to count.
func (st *Store) closeOverflow(storages []*Storage) (err error) {
	for _, s := range storages {
		err = errors.Join(err, s.closeGaps())
	}
	if err != nil {
		err = errors.Join(err, st.overflow.Abandon())
	} else {
		err = st.overflow.Close()
	}
	if err != nil {
		return fmt.Errorf("the overflow could not be closed: %w", err)
	}
	st.stopRunning()
	return nil
}

// closeGaps drops delivered records of the overflow that lie behind others, which the files
// of the original cannot express. The others go to the ring or, if it has no room for them,
// to the front of a new chain.
func (s *Storage) closeGaps() error {
	if !s.hasOverflowGaps() {
		return nil
	}
	var needed []byte
	records := 0
	for r := s.firstInOverflow(); r != nil; r = r.next {
		if r.state != delivered {
			needed = append(needed, r.bytes...)
			records += r.records
		}
	}
	if !s.ring.InFile() || !s.ring.PushRun(needed, records) {
		return s.refill(func() error { return nil })
	}
	for r := s.firstInOverflow(); r != nil; r = s.firstInOverflow() {
		s.overflow.Free(r.size, r.records)
		s.forget(r)
	}
	s.save()
	return nil
}

// hasOverflowGaps reports whether records in the overflow are delivered behind others that
// are not, which the original's files cannot express.
func (s *Storage) hasOverflowGaps() bool {
	for r := s.firstInOverflow(); r != nil; r = r.next {
		if r.state == delivered {
			return true
		}
	}
	return false
}

// saveDump writes the dump of a storage if it needs one. The slot may go on to count, for what
// is in the overflow.
func (s *Storage) saveDump(slotCounts bool) error {
	st := s.kept.store
	log := st.options.Logs("storage:" + s.name)
	held, size := s.undelivered()
	if held == 0 && (!s.channel.subscribed || s.overflow.Held() > 0) {
		log.Info("nothing to save")
		return nil
	}
	if err := s.writeDump(held, size, slotCounts); err != nil {
		s.unsaved(held, size, err)
		return err
	}
	log.Info("saved to dump file", zap.String("file", st.dir.Path(dump.FileName(s.name))),
		zap.Uint64("records", held), zap.Uint64("bytes", size))
	return nil
}

var errSlotCounts = errors.New("the overflow could not be closed, or the dump that was loaded could not be deleted, so " +
	state.FileName + " goes on to count")

// unsaved tells what becomes of the records of a ring that has no dump.
func (s *Storage) unsaved(records, size uint64, why error) {
	st, file := s.kept.store, s.kept.ringFile
	log := st.options.Logs("storage:"+s.name).With(zap.Uint64("records", records), zap.Uint64("bytes", size))
	switch {
	case records == 0:
		log.Error("a queue without records in its ring could not be saved; "+state.FileName+" has it for the next start", zap.Error(why))
	case file > 0:
		log.Error("the records of the ring could not be saved; they stay in its file, and the next start has them",
			zap.String("file", st.rings.Path(ringFile(file))), zap.Error(why))
	default:
		log.Error("the records of the ring could not be saved and are LOST: the ring was in memory", zap.Error(why))
	}
}

// writeDump makes the dump complete and durable under another name; then the slot says so,
// unless it goes on to count, and from then on the dump counts, renamed or not. If it can't be
// renamed, the ring goes on to count.
func (s *Storage) writeDump(held, size uint64, slotCounts bool) error {
	st, slot := s.kept.store, s.kept.slot
	temporary := temporaryDump(slot)
	if err := dump.Write(st.dir, temporary, held, size, s.ringRuns()); err != nil {
		return err
	}
	if _, err := st.dir.Stat(dump.FileName(s.name)); err == nil {
		st.options.Logs("storage:"+s.name).Warn("a dump file of that name exists, it is replaced",
			zap.String("file", st.dir.Path(dump.FileName(s.name))))
	}
	slot.SetIdentity(state.Identity{Storage: s.name, Dumped: !slotCounts})
	err := dump.Commit(st.dir, temporary, s.name)
	if err != nil {
		slot.SetIdentity(state.Identity{Storage: s.name})
		err = errors.Join(err, st.dir.Remove(temporary))
	}
	return err
}

// undelivered measures the records of the ring that have not been delivered.
func (s *Storage) undelivered() (records, size uint64) {
	records, size = uint64(s.ring.Held()), uint64(s.ring.UsedSpace())
	for r := s.first; r != nil; r = r.next {
		if r.state == delivered && !r.inOverflow {
			records -= uint64(r.records)
			size -= uint64(r.size)
		}
	}
	return records, size
}

// ringRuns yields these records in order.
func (s *Storage) ringRuns() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for r := s.first; r != nil; r = r.next {
			if r.state == returned && !r.inOverflow && !yield(r.bytes) {
				return
			}
		}
		for {
			run, n := s.ring.Take(everything, everything)
			if n == 0 || !yield(run) {
				return
			}
		}
	}
}
