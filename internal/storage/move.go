package storage

import (
	"errors"
	"fmt"
	"iter"

	"go.uber.org/zap"
)

// Records are moved from one place of a storage to another while nobody uses the storage.
// Until the new places are saved, a crash finds everything in the old ones.

// moveSize is how many bytes are moved at a time.
const moveSize = 1 << 20

// refill gives a storage a new chain in the overflow, for what fill appends to the storage
// and then the records that it has in the overflow, as far as they are not delivered. If it
// fails, the storage is not to be used any more, because its old chain is partly read.
func (s *Storage) refill(fill func() error) error {
	k, old := s.kept, s.kept.queue
	queue, err := k.store.overflow.Create(s.name)
	if err != nil {
		return err
	}
	var runs []*Run
	for r := s.firstInOverflow(); r != nil; r = r.next {
		runs = append(runs, r)
	}
	k.queue, s.overflow = queue, queue
	if err := fill(); err != nil {
		return err
	}
	for _, r := range runs {
		if r.state != delivered {
			if err := s.pushDurably(r.bytes, r.records); err != nil {
				return err
			}
		}
		old.Free(r.size, r.records)
		s.forget(r)
	}
	for old.Waiting() > 0 {
		run, n, err := old.Take(moveSize, everything)
		if err != nil {
			return err
		}
		if n == 0 {
			old.Free(old.TakeMarked())
			continue
		}
		if err := s.pushDurably(run, n); err != nil {
			return err
		}
		old.Free(len(run), n)
	}
	s.save()
	old.Remove()
	old.Published()
	return nil
}

var errNoRoom = errors.New("its records do not fit a ring in memory of the size that is configured")

// refit gives a storage the ring that is configured now, if it has another.
func (st *Store) refit(s *Storage) error {
	k, old := s.kept, s.ring
	oldFile, oldSize := k.ringFile, uint64(old.Capacity())
	capacity := st.options.RingSize(s.channel.name)
	if oldSize == capacity && (st.options.RingInFile || !old.InFile()) {
		return nil
	}
	r, number, err := st.newRing(s.name, capacity)
	if err != nil {
		return err
	}
	if st.options.RingInFile && capacity > 0 && number == 0 && old.InFile() {
		return r.Close() // the old one is better than one in memory
	}
	_, size := s.undelivered()
	if !st.options.RingInFile && size > capacity {
		return errors.Join(errNoRoom, r.Close())
	}
	runs := s.takeRing()
	s.ring, k.ringFile = r, number
	old.SetSpare(true)
	if size <= capacity {
		if err = pushAll(runs, s.pushRunToRing); err == nil {
			s.returnRing()
			s.save()
		}
	} else {
		err = s.refill(func() error { return pushAll(runs, s.pushRun) })
	}
	if err = errors.Join(err, old.Close()); err != nil {
		return err
	}
	r.SetSpare(false)
	if err := st.removeRing(oldFile); err != nil {
		st.log.Warn("a ring file that is not needed any more stays", zap.Error(err))
	}
	return nil
}

// returnRing puts what waits in the ring in front of the runs of the overflow, if there are
// any, as records that were given back: these are handed out before any that wait.
func (s *Storage) returnRing() {
	first, last := s.first, s.last
	if first == nil {
		return
	}
	s.first, s.last = nil, nil
	for {
		bytes, n := s.ring.Take(everything, everything)
		if n == 0 {
			break
		}
		r := s.handOut(Run{bytes: bytes, size: len(bytes), records: n, inRing: bytes})
		r.state = returned
		s.out--
		s.returned += n
	}
	if s.last == nil {
		s.first, s.last = first, last
		return
	}
	s.last.next, first.prev = first, s.last
	s.last = last
}

// takeRing yields the records of the ring that are not delivered, in order, and forgets its
// runs on the way.
func (s *Storage) takeRing() iter.Seq2[[]byte, int] {
	r := s.ring
	return func(yield func([]byte, int) bool) {
		for s.first != nil && !s.first.inOverflow {
			if s.first.state != delivered && !yield(s.first.bytes, s.first.records) {
				return
			}
			s.forget(s.first)
		}
		for r.Waiting() > 0 {
			run, n := r.Take(moveSize, everything)
			if n == 0 {
				r.TakeMarked()
			} else if !yield(run, n) {
				return
			}
		}
	}
}

// forget takes a run that is given back, or delivered, out of the list.
func (s *Storage) forget(r *Run) {
	if r.state == delivered {
		s.behind--
		if r.inOverflow {
			s.pinned -= r.size
		}
	} else {
		s.returned -= r.records
	}
	s.unlink(r)
	s.recycle(r)
}

func pushAll(runs iter.Seq2[[]byte, int], push func(run []byte, records int) error) error {
	for run, n := range runs {
		if err := push(run, n); err != nil {
			return err
		}
	}
	return nil
}

// pushRunToRing appends records that fit the ring, past those in the overflow.
func (s *Storage) pushRunToRing(run []byte, records int) error {
	if !s.ring.PushRun(run, records) {
		return fmt.Errorf("storage %s: %d records of %d bytes do not fit the ring", s.name, records, len(run))
	}
	return nil
}

// pushDurably appends records that survive a crash once the storage is saved: not to a ring
// in memory.
func (s *Storage) pushDurably(run []byte, records int) error {
	if !s.ring.InFile() {
		return s.kept.queue.PushRun(run, records)
	}
	return s.pushRun(run, records)
}
