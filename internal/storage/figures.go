package storage

import (
	"sync"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// Moved counts records that were put into queues, or taken out of them.
type Moved struct{ Records, Bytes uint64 } // bytes of payload

func (m *Moved) add(records, bytes int) {
	m.Records += uint64(records)
	m.Bytes += uint64(bytes)
}

func (m *Moved) subtract(records, bytes int) {
	m.Records -= uint64(records)
	m.Bytes -= uint64(bytes)
}

func (m Moved) minus(o Moved) Moved { return Moved{m.Records - o.Records, m.Bytes - o.Bytes} }

func (m Moved) plus(o Moved) Moved { return Moved{m.Records + o.Records, m.Bytes + o.Bytes} }

func (m Moved) atLeast(o Moved) Moved {
	return Moved{max(m.Records, o.Records), max(m.Bytes, o.Bytes)}
}

// Counters count what happened to records since the node was started. Records that it
// found then have not been pushed.
type Counters struct {
	Pushed      Moved // put into the queue
	Popped      Moved // handed out; those that came back are not counted again
	Delivered   Moved // handed out, and settled as delivered
	Redelivered Moved // came back, because a client did not take them, to be handed out again
	Overflowed  Moved // of the pushed ones, those that went to the overflow
	Failed      Moved // were delivered in vain too often, and moved to the failed channel
	Cleared     Moved // dropped by an operator
}

// Plus returns the sums.
func (c Counters) Plus(o Counters) Counters {
	return Counters{
		c.Pushed.plus(o.Pushed), c.Popped.plus(o.Popped), c.Delivered.plus(o.Delivered),
		c.Redelivered.plus(o.Redelivered), c.Overflowed.plus(o.Overflowed), c.Failed.plus(o.Failed),
		c.Cleared.plus(o.Cleared),
	}
}

// AtLeast returns the larger of each.
func (c Counters) AtLeast(o Counters) Counters {
	return Counters{
		c.Pushed.atLeast(o.Pushed), c.Popped.atLeast(o.Popped), c.Delivered.atLeast(o.Delivered),
		c.Redelivered.atLeast(o.Redelivered), c.Overflowed.atLeast(o.Overflowed), c.Failed.atLeast(o.Failed),
		c.Cleared.atLeast(o.Cleared),
	}
}

// Figures are what there is to tell of one storage at a moment.
type Figures struct {
	Channel    string
	Subscriber string
	Subscribed bool

	Capacity        uint64 // of the ring in bytes
	MemoryRecords   uint64 // records that are not delivered
	MemoryBytes     uint64 // with 8 bytes a record (storage spec §1.5)
	OverflowRecords uint64
	OverflowBytes   uint64 // of payload

	// Unsettled is those of them that clients have got, or are getting, and have not confirmed,
	// and UnsettledSince when the oldest of these was handed out; zero if there is none, or if
	// nobody calls Channels.Mark.
	Unsettled      Moved
	UnsettledSince time.Time

	Delayed Moved // those that were given back and are not due

	Paused    bool // it hands out nothing
	Consumers int  // that are attached
	Waiting   int  // those of them that wait for a record

	// Oldest is when the oldest record was first seen: see Channels.Mark. Zero if there is
	// none that has been seen.
	Oldest time.Time

	// Latency is how long the last record took, of those that were awaited, from push to delivery.
	Latency time.Duration

	Counters
}

// Figures returns the figures of all storages, those of a channel one after another, in
// order of creation.
func (cs *Channels) Figures() []Figures { return cs.AppendFigures(nil) }

// AppendFigures appends what Figures returns.
func (cs *Channels) AppendFigures(all []Figures) []Figures {
	for _, c := range cs.All() {
		c.mu.Lock()
		for _, s := range c.storages {
			if !s.removed {
				all = append(all, s.figures())
			}
		}
		c.mu.Unlock()
	}
	return all
}

func (s *Storage) figures() Figures {
	f := Figures{
		Channel: s.channel.name, Subscriber: s.subscriber, Subscribed: s.channel.subscribed,
		Capacity:       s.channel.store.options.RingSize(s.channel.name),
		Unsettled:      s.unsettled,
		UnsettledSince: s.unsettledSince(),
		Delayed:        s.notDue,
		Paused:         s.paused,
		Consumers:      len(s.consumers),
		Waiting:        s.waiting.len,
		Oldest:         s.oldest(),
		Latency:        s.latency,
		Counters:       s.counters,
	}
	for _, p := range s.parts {
		records, size := uint64(p.Records()), uint64(p.Size())
		if p.Kind() == ring.Main {
			f.Capacity = uint64(p.Capacity())
			f.MemoryRecords += records
			f.MemoryBytes += size
		} else {
			f.OverflowRecords += records
			f.OverflowBytes += size - records*ring.HeaderSize
		}
	}
	return f
}

func (s *Storage) unsettledSince() time.Time {
	for r := s.first; r != nil; r = r.next {
		if r.state == out {
			return r.Since()
		}
	}
	return time.Time{}
}

// removedCounters are those of storages that are gone, which still count in the totals.
type removedCounters struct {
	mu sync.Mutex
	Counters
}

func (r *removedCounters) add(c Counters) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Counters = r.Plus(c)
}

// Removed returns what was counted in storages that have been removed since.
func (cs *Channels) Removed() Counters {
	r := &cs.shared.removed
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.Counters
}
