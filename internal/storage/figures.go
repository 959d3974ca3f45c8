package storage

import "sync/atomic"

// Moved counts records that were put into queues, or taken out of them.
type Moved struct{ Records, Bytes uint64 } // bytes of payload

func (m *Moved) add(records, bytes int) {
	m.Records += uint64(records)
	m.Bytes += uint64(bytes)
}

// Figures are what there is to tell of one storage at a moment.
type Figures struct {
	Channel    string
	Subscriber string
	Subscribed bool

	Capacity        uint64 // of the ring in bytes
	MemoryRecords   uint64
	MemoryBytes     uint64 // with 8 bytes a record (storage spec §1.5)
	OverflowRecords uint64
	OverflowBytes   uint64 // of payload

	Pushed, Popped Moved // since the node was started
}

// Figures returns the figures of all storages, those of a channel one after another, in
// order of creation.
func (cs *Channels) Figures() (all []Figures) {
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
	return Figures{
		Channel: s.channel.name, Subscriber: s.subscriber, Subscribed: s.channel.subscribed,
		Capacity:        uint64(s.ring.Capacity()),
		MemoryRecords:   uint64(s.ring.Held()),
		MemoryBytes:     uint64(s.ring.UsedSpace()),
		OverflowRecords: uint64(s.overflow.Held()),
		OverflowBytes:   s.overflow.PayloadBytes(),
		Pushed:          s.pushed,
		Popped:          s.popped,
	}
}

// removedFigures are those of storages that are gone, which still count in the totals.
type removedFigures struct {
	pushedRecords, pushedBytes, poppedRecords, poppedBytes atomic.Uint64
}

func (r *removedFigures) add(s *Storage) {
	r.pushedRecords.Add(s.pushed.Records)
	r.pushedBytes.Add(s.pushed.Bytes)
	r.poppedRecords.Add(s.popped.Records)
	r.poppedBytes.Add(s.popped.Bytes)
}

// Removed returns what was moved in storages that have been removed since.
func (cs *Channels) Removed() (pushed, popped Moved) {
	r := &cs.shared.removed
	return Moved{r.pushedRecords.Load(), r.pushedBytes.Load()}, Moved{r.poppedRecords.Load(), r.poppedBytes.Load()}
}
