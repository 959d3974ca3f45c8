package stats

import (
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// Reading is the figures of a moment, for whoever shows them. What counts, counts from the
// start of the node: nothing is reset, and readers do not notice each other.
type Reading struct {
	At               time.Time
	Process          Process
	Received, Sent   uint64 // bytes of both protocols
	Legacy, Neo      Connections
	Budgets          Budgets
	Refused          Refused // pushes of both protocols
	Storages         []storage.Figures
	storage.Counters // of all storages, also of those that have been removed
}

// Connections is the state of a listener.
type Connections struct {
	Open  int64
	Limit uint32 // 0 = none

	// Closed at once so far: because of the limit, because their address had as many as it may
	// have, was not allowed, or because of the descriptors that are kept for other things.
	Refused, RefusedAddress, RefusedNetwork, RefusedDescriptors int64
}

// AllRefused is how many were closed at once so far.
func (c Connections) AllRefused() int64 {
	return c.Refused + c.RefusedAddress + c.RefusedNetwork + c.RefusedDescriptors
}

// Budgets is how much is left of what all clients have together.
type Budgets struct {
	Queues, QueueLimit  int // a limit of 0 is none
	Input, InputLimit   int64
	Output, OutputLimit int64
	Waiting             int64 // connections that wait for memory for their input

	PutOff uint64 // turns of connections that were used up with requests left, so far
	Reaped uint64 // connections ended because others waited for the memory of their unfinished requests
	Idled  uint64 // connections ended because they were idle and there were as many as there may be
}

// Read reads the figures. It may be called from any goroutine, and locks each channel for a
// moment. If some figures of the process are not to be had, they are zero and the error says
// why; the others are there nevertheless.
func (s *Sources) Read() (Reading, error) { return s.ReadInto(nil) }

// ReadInto is Read, but for whoever reads often: it uses the memory of storages that were
// read before.
func (s *Sources) ReadInto(storages []storage.Figures) (Reading, error) {
	r := Reading{At: time.Now()}
	var err error
	r.Process, err = readProcess(sizes)
	r.Received, r.Sent = s.Traffic()
	r.Legacy, r.Neo = s.LegacyConnections(), s.NeoConnections()
	r.Budgets = s.Budgets()
	r.Refused = s.Legacy.Refused.read().plus(s.Neo.Refused.read())
	r.Counters = s.Channels.Removed()
	r.Storages = s.Channels.AppendFigures(storages[:0])
	for i := range r.Storages {
		r.Counters = r.Plus(r.Storages[i].Counters)
	}
	return r, err
}

// Stored is what is in all queues.
func (r *Reading) Stored() (records, bytes uint64) {
	for i := range r.Storages {
		f := &r.Storages[i]
		records += f.MemoryRecords + f.OverflowRecords
		bytes += f.MemoryBytes + f.OverflowBytes
	}
	return records, bytes
}

// UnconfirmedAge is how long ago the oldest record that clients have got and not confirmed was
// handed out, as far as that is known.
func (r *Reading) UnconfirmedAge(f *storage.Figures) time.Duration {
	if f.UnsettledSince.IsZero() {
		return 0
	}
	return max(0, r.At.Sub(f.UnsettledSince))
}

// Fullness is the part of a queue's room in memory that is taken, 0 to 1. One that has no room
// there is full as soon as it holds a record.
func Fullness(f *storage.Figures) float64 {
	switch {
	case f.MemoryRecords+f.OverflowRecords == 0:
		return 0
	case f.Capacity == 0:
		return 1
	}
	return float64(f.MemoryBytes) / float64(f.Capacity)
}
