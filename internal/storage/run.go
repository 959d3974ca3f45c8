package storage

import (
	"math"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// Run is some consecutive records that a Storage has handed out. Whoever took it
// settles it once: by Deliver, GiveBack, Fail, or Consumer.Next or Leave. All its records
// have been delivered in vain equally often.
type Run struct {
	storage    *Storage
	prev, next *Run

	part    *part
	bytes   []byte // the records, where they lie; nil once delivered
	size    int    // of them in bytes
	records int
	since   int64 // when they were handed out, by the clock of Channels
	due     int64 // when they are to be handed out again; if delayed
	tries   int   // deliveries of them that have failed: see Fail
	state   runState
	marked  bool // they are known in the part to be delivered
}

type runState uint8

const (
	out       runState = iota // a reader has it
	delivered                 // settled, waits until all older runs are
	returned                  // given back, to be handed out again
	delayed                   // given back, to be handed out again when it is due
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

// Tries is how often the records have been delivered in vain: see Fail.
func (r *Run) Tries() int { return r.tries }

// Since is when the run was handed out, as of the last Channels.Mark; zero if nobody calls that.
func (r *Run) Since() time.Time {
	if r.since == 0 {
		return time.Time{}
	}
	return time.Unix(0, r.since)
}

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
	c.Commit()
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
	if s.paused {
		return nil, nil
	}
	for s.returned > 0 {
		if r := s.takeReturned(enough, maxRecords); r != nil {
			return r, nil
		}
	}
	for {
		p := s.front()
		if p == nil {
			return nil, nil
		}
		if !p.Attached() || !p.Fetched() {
			if err := s.fetch(p); err != nil {
				return nil, err
			}
		}
		bytes, n, err := p.Take(enough, maxRecords)
		switch {
		case n > 0:
			s.fetchAhead(p)
			return s.handOut(Run{part: p, bytes: bytes, size: len(bytes), records: n}), nil
		case isDamage(err):
			s.lose(p, err)
			continue
		case err != nil:
			return nil, err
		}
		bytes, n = p.TakeMarked()
		s.deliver(s.handOut(Run{part: p, bytes: bytes, size: len(bytes), records: n, marked: true}))
	}
}

// takeReturned hands out the oldest records of those that were given back. It returns nil if they
// can't be read any more, and are lost.
func (s *Storage) takeReturned(enough, maxRecords int) *Run {
	r := s.first
	for r.state != returned {
		r = r.next
	}
	if r.part.InFile() && !r.part.Readable(r.bytes) {
		s.returned -= r.records
		s.handedOut(r)
		r.part.damaged, r.marked = true, true
		s.noteLoss(r.part, r.records, r.part.Unreadable())
		s.loseRun(r)
		return nil
	}
	head, n := ring.Cut(r.bytes, enough, maxRecords)
	if n < r.records {
		s.split(r, len(head), n)
	}
	s.returned -= n
	s.handedOut(r)
	return r
}

// handedOut counts a run that a reader has from now on.
func (s *Storage) handedOut(r *Run) {
	r.state, r.since = out, s.channel.shared.clock.Load()
	s.out++
	s.unsettled.add(r.records, r.size-r.records*ring.HeaderSize)
}

// settled counts a run that no reader has any more.
func (s *Storage) noLongerOut(r *Run) {
	s.out--
	s.unsettled.subtract(r.records, r.size-r.records*ring.HeaderSize)
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
		s.out++ // r and rest are both a reader's
		s.deliver(r)
		r = rest
	}
	if size, n = leading(r.bytes, false); n < r.records {
		rest := s.split(r, size, n)
		s.unsettled.subtract(rest.records, rest.size-rest.records*ring.HeaderSize)
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
	s.unread -= r.records
	s.counters.Popped.add(r.records, r.size-r.records*ring.HeaderSize)
	if s.last != nil {
		s.last.next = r
	} else {
		s.first = r
	}
	s.last = r
	s.handedOut(r)
	return r
}

// split cuts a run after its first records and returns the rest, which keeps the state
// of the run but counts as nobody's: the caller sets its state.
func (s *Storage) split(r *Run, size, records int) (rest *Run) {
	rest = s.newRun()
	*rest = *r
	rest.bytes, rest.size, rest.records = r.bytes[size:], r.size-size, r.records-records
	r.bytes, r.size, r.records = r.bytes[:size], size, records
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
	s.publishFreed()
}

// settle counts a run as delivered. One or several calls are followed by one of publishFreed.
func (s *Storage) settle(r *Run) {
	s.noLongerOut(r)
	if !s.removed {
		s.setDelivered(r)
	}
}

// setDelivered frees a run if nothing older in the same part is still needed, and else marks
// it. Neighbours that are delivered too become one, so that a reader which does not settle its
// run for long costs the memory of no more runs than there are readers.
func (s *Storage) setDelivered(r *Run) {
	s.counters.Delivered.add(r.records, r.size-r.records*ring.HeaderSize)
	s.bytes -= r.size
	first := r.prev == nil || r.prev.part != r.part
	if !first {
		if !r.marked && r.part.InFile() {
			if err := r.part.Mark(r.bytes, r.records); err != nil {
				s.failed(r.part, err)
			}
		}
		r.part.Behind(r.size, r.records)
	}
	r.state, r.bytes = delivered, nil
	if n := r.next; n != nil && n.state == delivered && n.part == r.part {
		if first {
			r.part.Behind(-n.size, -n.records)
		}
		s.absorb(r, n)
	}
	s.touch(r.part)
	if first {
		r.part.Free(r.size, r.records)
		s.unlink(r)
		s.recycle(r)
	} else if p := r.prev; p.state == delivered {
		s.absorb(p, r)
	}
}

// touch notes that what has become of a part is to be published.
func (s *Storage) touch(p *part) {
	if n := len(s.touched); n == 0 || s.touched[n-1] != p {
		s.touched = append(s.touched, p)
	}
}

// publishFreed stores what follows from calls of setDelivered, at once: a push might use the
// memory again.
func (s *Storage) publishFreed() {
	if s.removed {
		s.closeIfUnused()
		return
	}
	s.changed()
	for i, p := range s.touched {
		s.publish(p)
		if p.Held() == 0 && p.isOf(s) {
			s.drained(p)
		}
		s.touched[i] = nil
	}
	s.touched = s.touched[:0]
	s.watched()
	if s.mayHoldEmpty && s.unread == 0 && s.first == nil {
		s.mayHoldEmpty = false
	}
}

// isOf reports whether a part is still in the list: it may have been published twice.
func (p *part) isOf(s *Storage) bool {
	for _, other := range s.parts {
		if other == p {
			return true
		}
	}
	return false
}

// absorb makes two neighbours one.
func (s *Storage) absorb(r, next *Run) {
	r.size += next.size
	r.records += next.records
	s.unlink(next)
	s.recycle(next)
}

func (s *Storage) recycle(r *Run) {
	*r = Run{storage: s, next: s.free}
	s.free = r
}

func (s *Storage) giveBack(r *Run, sent int) {
	s.noLongerOut(r)
	if s.removed {
		s.closeIfUnused()
		return
	}
	size, n := 0, 0
	if r.part.InFile() && !r.part.Readable(r.bytes[:min(sent, len(r.bytes))]) {
		sent = 0
	}
	for size < min(sent, len(r.bytes)) {
		record, found := ring.Cut(r.bytes[size:], 1, 1)
		if found == 0 || size+len(record) > sent {
			break
		}
		size, n = size+len(record), n+1
	}
	s.counters.Redelivered.add(r.records-n, r.size-size-(r.records-n)*ring.HeaderSize)
	rest := r
	if n > 0 && n < r.records {
		rest = s.split(r, size, n)
	}
	if n < r.records || rest != r {
		rest.state = returned
		s.returned += rest.records
	}
	if n > 0 {
		s.setDelivered(r)
	}
	s.publishFreed()
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
	if s.stalled {
		return s.returned
	}
	return s.returned + s.unread
}

// everything is a Take limit that does not limit.
const everything = math.MaxInt
