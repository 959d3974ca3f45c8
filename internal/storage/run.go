package storage

import (
	"math"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/overflow"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// Run is some consecutive records that a Storage has handed out. Whoever took it
// settles it once: by Deliver, GiveBack, or Consumer.Next or Leave.
type Run struct {
	storage    *Storage
	prev, next *Run

	bytes      []byte // the records, for the reader; nil once delivered
	size       int    // of them in bytes
	records    int
	inOverflow bool
	state      runState

	inRing []byte         // where the records lie, if in the ring
	place  overflow.Place // where the records lie, if in the overflow
	marked bool           // they are known there to be delivered
}

type runState uint8

const (
	out       runState = iota // a reader has it
	delivered                 // settled, waits until all older runs are
	returned                  // given back, to be handed out again
)

// Bytes returns the records: each an 8-byte little-endian length and its payload. They
// must not be changed, and not be read after the run is settled.
func (r *Run) Bytes() []byte { return r.bytes }

// Payload returns the payload of the first record.
func (r *Run) Payload() []byte {
	record, _ := ring.Cut(r.bytes, 1, 1)
	return record[ring.HeaderSize:]
}

// Records is the number of records in the run.
func (r *Run) Records() int { return r.records }

// Deliver settles the run: its records have reached the reader and are dropped.
func (r *Run) Deliver() {
	c := r.storage.channel
	c.mu.Lock()
	r.storage.deliver(r)
	c.mu.Unlock()
}

// GiveBack settles the run: the records that lie completely in the first sent bytes
// have reached the reader, the others go back to the head of the storage.
func (r *Run) GiveBack(sent int) {
	c := r.storage.channel
	c.mu.Lock()
	r.storage.giveBack(r, sent)
	c.Unlock()
}

// take hands out the oldest records: at most maxRecords, and none after enough bytes
// have been reached. It returns nil if there are none. With skipEmpty, records of
// length 0 are dropped on the way.
func (s *Storage) take(enough, maxRecords int, skipEmpty bool) (*Run, error) {
	for {
		r, err := s.takeAny(enough, maxRecords)
		if r == nil || err != nil {
			return nil, err
		}
		if !skipEmpty || !s.mayHoldEmpty {
			return r, nil
		}
		if full := s.cutAtEmpty(r); full != nil {
			return full, nil
		}
	}
}

func (s *Storage) takeAny(enough, maxRecords int) (*Run, error) {
	if s.returned > 0 {
		return s.takeReturned(enough, maxRecords), nil
	}
	for {
		r, err := s.takeWaiting(enough, maxRecords)
		if r != nil || err != nil {
			return r, err
		}
		if r = s.takeMarked(); r == nil {
			return nil, nil
		}
		s.deliver(r)
	}
}

// takeWaiting hands out records that nobody has had since the start.
func (s *Storage) takeWaiting(enough, maxRecords int) (*Run, error) {
	if s.ring.Waiting() > 0 {
		bytes, n := s.ring.Take(enough, maxRecords)
		if n == 0 {
			return nil, nil // a marked one is next
		}
		return s.handOut(Run{bytes: bytes, size: len(bytes), records: n, inRing: bytes}), nil
	}
	bytes, n, err := s.overflow.Take(enough, maxRecords)
	if n == 0 || err != nil {
		return nil, err
	}
	r := s.handOut(Run{bytes: bytes, size: len(bytes), records: n, inOverflow: true})
	if s.kept != nil {
		r.place = s.kept.queue.Handed(n)
	}
	return r, nil
}

// takeReturned hands out the oldest records of those that were given back.
func (s *Storage) takeReturned(enough, maxRecords int) *Run {
	r := s.first
	for r.state != returned {
		r = r.next
	}
	head, n := ring.Cut(r.bytes, enough, maxRecords)
	if n < r.records {
		s.split(r, len(head), n)
	}
	r.state = out
	s.out++
	s.returned -= n
	return r
}

// cutAtEmpty drops the empty records at the front of a run that was just taken and
// gives back what follows from the next empty one on. It returns nil if nothing is left.
func (s *Storage) cutAtEmpty(r *Run) *Run {
	size, n := leading(r.bytes, true)
	if n == r.records {
		s.deliver(r)
		return nil
	}
	if n > 0 {
		rest := s.split(r, size, n)
		rest.state = out
		s.out++
		s.deliver(r)
		r = rest
	}
	if size, n = leading(r.bytes, false); n < r.records {
		rest := s.split(r, size, n)
		rest.state = returned
		s.returned += rest.records
	}
	return r
}

// leading measures the records at the front of a run that are all empty, or all not.
func leading(run []byte, empty bool) (size, records int) {
	for size < len(run) {
		record, _ := ring.Cut(run[size:], 1, 1)
		if (len(record) == ring.HeaderSize) != empty {
			break
		}
		size += len(record)
		records++
	}
	return size, records
}

// handOut appends a run to the list.
func (s *Storage) handOut(run Run) *Run {
	r := s.newRun()
	*r = run
	r.storage, r.prev = s, s.last
	s.counters.Popped.add(r.records, r.size-r.records*ring.HeaderSize)
	if s.last != nil {
		s.last.next = r
	} else {
		s.first = r
	}
	s.last = r
	s.out++
	return r
}

// split cuts a run after its first records and returns the rest, which keeps the state
// of the run but counts as nobody's: the caller sets its state.
func (s *Storage) split(r *Run, size, records int) (rest *Run) {
	rest = s.newRun()
	*rest = *r
	rest.bytes, rest.size, rest.records = r.bytes[size:], r.size-size, r.records-records
	r.bytes, r.size, r.records = r.bytes[:size], size, records
	if r.inOverflow {
		rest.place = r.place.After(records)
	} else {
		rest.inRing, r.inRing = r.inRing[size:], r.inRing[:size]
	}
	rest.prev = r
	if r.next != nil {
		r.next.prev = rest
	} else {
		s.last = rest
	}
	r.next = rest
	return rest
}

// newRun returns a run to be filled in.
func (s *Storage) newRun() *Run {
	r := s.free
	if r == nil {
		return new(Run)
	}
	s.free = r.next
	return r
}

func (s *Storage) deliver(r *Run) {
	s.settle(r)
	s.settled()
}

// settle counts a run as delivered. One or several calls are followed by one of settled.
func (s *Storage) settle(r *Run) {
	s.out--
	if !s.removed {
		s.setDelivered(r)
	}
}

// settled frees and stores what follows from calls of settle.
func (s *Storage) settled() {
	if s.removed {
		s.closeIfUnused()
		return
	}
	s.dropDelivered()
}

// setDelivered marks a run. Neighbours that are delivered too become one, so that a
// reader which does not settle its run for long costs the memory of no more runs than
// there are readers.
func (s *Storage) setDelivered(r *Run) {
	s.counters.Delivered.add(r.records, r.size-r.records*ring.HeaderSize)
	if !r.marked && !s.canBeFreed(r) {
		s.mark(r)
	}
	r.state, r.bytes, r.inRing = delivered, nil, nil
	s.behind++
	if r.inOverflow {
		s.pinned += r.size
	}
	if p := r.prev; p != nil && p.state == delivered && p.inOverflow == r.inOverflow {
		s.absorb(p, r)
		r = p
	}
	if n := r.next; n != nil && n.state == delivered && n.inOverflow == r.inOverflow {
		s.absorb(r, n)
	}
}

// canBeFreed reports whether nothing older in the same place is still needed.
func (s *Storage) canBeFreed(r *Run) bool {
	older := r.prev
	if older != nil && older.state == delivered && older.inOverflow == r.inOverflow {
		older = older.prev
	}
	return older == nil || older.inOverflow != r.inOverflow
}

// absorb makes two neighbours one.
func (s *Storage) absorb(r, next *Run) {
	r.size += next.size
	r.records += next.records
	s.behind--
	s.unlink(next)
	s.recycle(next)
}

func (s *Storage) recycle(r *Run) {
	*r = Run{storage: s, next: s.free}
	s.free = r
}

func (s *Storage) giveBack(r *Run, sent int) {
	if s.removed {
		s.out--
		s.closeIfUnused()
		return
	}
	size, n := 0, 0
	for size < len(r.bytes) {
		record, _ := ring.Cut(r.bytes[size:], 1, 1)
		if size+len(record) > sent {
			break
		}
		size, n = size+len(record), n+1
	}
	s.out--
	s.counters.Redelivered.add(r.records-n, r.size-size-(r.records-n)*ring.HeaderSize)
	switch n {
	case r.records:
		s.setDelivered(r)
	case 0:
		r.state = returned
		s.returned += r.records
	default:
		rest := s.split(r, size, n)
		rest.state = returned
		s.returned += rest.records
		s.setDelivered(r)
	}
	s.dropDelivered()
}

// dropDelivered frees the memory of delivered runs as far as no older record in the same
// place is still needed: a run in the ring that is not settled for long does not pin the
// overflow. It is saved at once: a push might use the memory again.
func (s *Storage) dropDelivered() {
	freed := s.drop(s.first)
	if s.overflow.Held() > 0 {
		freed = s.drop(s.firstInOverflow()) || freed
	}
	if !freed && s.behind == 0 {
		return
	}
	if s.mayHoldEmpty && s.ring.Held() == 0 && s.overflow.Held() == 0 {
		s.mayHoldEmpty = false
	}
	s.save()
	s.unpin()
}

func (s *Storage) firstInOverflow() *Run {
	r := s.first
	for r != nil && !r.inOverflow {
		r = r.next
	}
	return r
}

// drop frees a run, the first in its place, and those behind it as far as they are
// delivered.
func (s *Storage) drop(r *Run) (freed bool) {
	for r != nil && r.state == delivered {
		if r.inOverflow {
			s.pinned -= r.size
			s.overflow.Free(r.size, r.records)
		} else {
			s.ring.Free(r.size, r.records)
		}
		next := r.next
		s.behind--
		s.unlink(r)
		s.recycle(r)
		r, freed = next, true
	}
	return freed
}

func (s *Storage) unlink(r *Run) {
	if r.prev != nil {
		r.prev.next = r.next
	} else {
		s.first = r.next
	}
	if r.next != nil {
		r.next.prev = r.prev
	} else {
		s.last = r.prev
	}
}

// available is the number of records that can be handed out.
func (s *Storage) available() int {
	return s.returned + s.ring.Waiting() + s.overflow.Waiting()
}

// everything is a Take limit that does not limit.
const everything = math.MaxInt
