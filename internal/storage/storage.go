package storage

import (
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// Storage is one queue of records: the plain one of a channel, or that of one
// subscriber. Everything in it is guarded by the lock of its channel.
type Storage struct {
	channel    *Channel
	subscriber string
	name       string // as in file names and statistics: [subscriber@]channel

	ring     *ring.Ring
	overflow Overflow
	kept     *kept // what survives a crash; nil = nothing does
	dirty    bool  // pushed to since it was saved

	// Runs that are handed out or given back, oldest record first.
	first, last *Run
	free        *Run // settled ones, for reuse
	out         int  // runs whose bytes a reader may be using
	returned    int  // records in runs that were given back
	behind      int  // runs that are delivered, but behind one that is not
	pinned      int  // bytes of those of them that are in the overflow
	unmovable   int  // how many those were when the ring had no room for what pins them

	// mayHoldEmpty is false only if there is certainly no record of length 0.
	mayHoldEmpty bool

	counters Counters

	// When the records of ring and overflow were first seen: see Channels.Mark.
	ringMarks, overflowMarks marks

	consumers []*Consumer // all that are attached
	waiting   waitingList // those of them that wait for a record
	woken     int         // those that were woken and have not yet come for records
	removed   bool
}

func newStorage(c *Channel, subscriber string, subscribed bool) (*Storage, error) {
	s := &Storage{channel: c, subscriber: subscriber, name: names.Storage(subscriber, c.name, subscribed)}
	capacity := c.shared.RingSize(c.name)
	if st := c.shared.store; st != nil {
		return s, st.fill(s, capacity)
	}
	var err error
	if s.ring, err = ring.New(capacity); err != nil {
		return nil, err
	}
	if s.overflow, err = c.shared.Overflow(s.name); err != nil {
		s.ring.Close()
		return nil, err
	}
	return s, nil
}

// push appends one record.
func (s *Storage) push(payload []byte) error {
	s.dirty = true
	if len(payload) == 0 {
		s.mayHoldEmpty = true
	}
	if s.overflow.Held() > 0 || !s.ring.Push(payload) {
		if err := s.overflow.Push(payload); err != nil {
			return err
		}
		s.counters.Overflowed.add(1, len(payload))
	}
	s.counters.Pushed.add(1, len(payload))
	return nil
}

// overflows reports whether some of the records that take size bytes of a ring would go to
// the overflow.
func (s *Storage) overflows(size int) bool {
	return s.overflow.Held() > 0 || !s.ring.Fits(size)
}

// pushRun appends several records, none of them empty, that are laid out as in the ring.
func (s *Storage) pushRun(run []byte, records int) error {
	s.dirty = true
	payloads := len(run) - records*ring.HeaderSize
	switch {
	case s.overflow.Held() > 0 && s.kept != nil:
		if err := s.kept.queue.PushRun(run, records); err != nil {
			return err
		}
		s.counters.Overflowed.add(records, payloads)
		s.counters.Pushed.add(records, payloads)
		return nil
	case s.overflow.Held() == 0 && s.ring.PushRun(run, records):
		s.counters.Pushed.add(records, payloads)
		return nil
	}
	for len(run) > 0 {
		record, _ := ring.Cut(run, 1, 1)
		if err := s.push(record[ring.HeaderSize:]); err != nil {
			return err
		}
		run = run[len(record):]
	}
	return nil
}

// rename makes the plain storage that of the first subscriber, or changes nothing.
func (s *Storage) rename(subscriber string) {
	s.subscriber = subscriber
	s.name = names.Storage(subscriber, s.channel.name, true)
	s.overflow.Rename(s.name)
	if s.kept != nil {
		s.kept.rename(s.name)
	}
}

// remove drops all records and sends the consumers home. The ring stays as long as
// readers use its memory.
func (s *Storage) remove() {
	s.removed = true
	s.channel.shared.removed.add(s.counters)
	for _, c := range s.consumers {
		s.waiting.drop(c)
		c.waker.Wake()
	}
	s.overflow.Remove()
	if s.kept != nil {
		s.ring.SetSpare(true)
		s.kept.remove()
		s.kept, s.dirty = nil, false
	}
	s.closeIfUnused()
}

func (s *Storage) closeIfUnused() {
	if s.removed && s.out == 0 {
		s.ring.Close()
	}
}
