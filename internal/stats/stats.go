// Package stats counts what the node does and writes log/stats.log (operations spec §8).
//
// Counters only ever grow. Whoever shows them keeps what it saw last and shows the
// difference, so that no reader disturbs another. What moves through storages and
// sockets is counted there; here are the requests. Sources.Read has it all together.
//
// The one exception is the most requests active at once, which starts again with each line
// of stats.log: only the Log may take it.
//
// The package imports storage and logging for the figures it shows, and config for where
// they go.
package stats

import (
	"sync/atomic"
	"time"
)

// Buckets of request durations: up to each of the Limits, and longer.
const buckets = 6

// Limits are the longest durations of all buckets but the last.
var Limits = [buckets - 1]time.Duration{
	10 * time.Microsecond, 100 * time.Microsecond, time.Millisecond, 10 * time.Millisecond, 100 * time.Millisecond,
}

// Requests counts the requests of one kind. It is safe for concurrent use.
type Requests struct {
	active  atomic.Int64
	most    atomic.Int64 // active at once since most was last taken
	handled atomic.Uint64
	nanos   atomic.Uint64 // of the timed ones
	timed   [buckets]atomic.Uint64
}

// Begin counts a request, or a batch of pipelined ones on one connection, as active.
func (r *Requests) Begin() {
	r.raise(r.active.Add(1))
}

// raise makes most at least that.
func (r *Requests) raise(active int64) {
	for {
		most := r.most.Load()
		if active <= most || r.most.CompareAndSwap(most, active) {
			return
		}
	}
}

// End counts the end of what Begin began: n requests that took a duration each.
func (r *Requests) End(n int, took time.Duration) {
	r.active.Add(-1)
	r.handled.Add(uint64(n))
	r.nanos.Add(uint64(n) * uint64(max(0, took)))
	r.timed[bucket(took)].Add(uint64(n))
}

// EndUntimed counts the end of a request whose duration means nothing, a stream.
func (r *Requests) EndUntimed() {
	r.active.Add(-1)
	r.handled.Add(1)
}

func bucket(d time.Duration) int {
	for i, limit := range Limits {
		if d <= limit {
			return i
		}
	}
	return buckets - 1
}

// Batch counts the requests of one kind that a connection has executed, but to which not
// all replies are sent. It belongs to one goroutine.
type Batch struct {
	of *Requests
	n  int
}

// Of returns an empty batch that is counted in r.
func Of(r *Requests) Batch { return Batch{of: r} }

// Add adds a request.
func (b *Batch) Add() {
	if b.n == 0 {
		b.of.Begin()
	}
	b.n++
}

// Empty reports whether there are no requests.
func (b *Batch) Empty() bool { return b.n == 0 }

// End counts all requests as ended; they began then.
func (b *Batch) End(began time.Time) {
	if b.n > 0 {
		b.of.End(b.n, time.Since(began))
		b.n = 0
	}
}

// counted is the counters at a moment.
type counted struct {
	handled, nanos uint64
	timed          [buckets]uint64
}

func (r *Requests) read() (c counted) {
	c.handled, c.nanos = r.handled.Load(), r.nanos.Load()
	for i := range c.timed {
		c.timed[i] = r.timed[i].Load()
	}
	return c
}

// takeMost returns how many were active at once since it was last called, when it was called
// included.
func (r *Requests) takeMost() int64 {
	most := r.most.Swap(0)
	r.raise(r.active.Load()) // what begins from here on raises it itself
	return most
}

// Legacy counts the requests of legacy connections.
type Legacy struct {
	Push, Pop, PushMulti, Produce, ProduceMulti, Consume Requests
	Refused                                              Refusals
}

// Neo counts the requests of neo connections.
type Neo struct {
	Push, Pop, Consume Requests
	Refused            Refusals
}
