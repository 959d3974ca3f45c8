package client

import (
	"context"
	"fmt"
	"sync"
	"time"

	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// Defaults of [ProducerOptions].
const (
	DefaultMaxPendingRecords = 4000
	DefaultMaxPendingBytes   = 64 << 20
	DefaultRetry             = 30 * time.Second
)

// recordOverhead is what a record costs besides its message, in bytes, roughly.
const recordOverhead = 192

// ProducerOptions are the options of a Producer. A zero value means the default.
type ProducerOptions struct {
	// MaxPendingRecords and MaxPendingBytes bound what is pushed and not yet confirmed.
	// Push waits while either is reached. Defaults 4000 and 64 MiB. The bytes count the
	// channel names, and 256 a record for housekeeping, too. What waits to be sent is
	// held twice.
	MaxPendingRecords int
	MaxPendingBytes   int

	// Retry is how long the producer goes on trying to store a record after it has
	// failed everywhere, for example while no node is connected. Default 30 s. If it is
	// negative, each connected node is asked once, as Push does.
	Retry time.Duration

	// OnError is told of each record that was given up. err is as from Client.Push.
	// The slices are valid until it returns. It is called from goroutines of the client,
	// also at the same time, must not block, nor call the producer or close the client.
	OnError func(value []byte, channels []string, err error)

	// OnStored is told of each record that a node has confirmed, under the same rules.
	OnStored func(value []byte, channels []string)
}

// Producer stores records like Client.Push, many at a time: Push returns as soon as there
// is room for the record, Flush tells what became of all. Records that one goroutine pushes
// reach each node in their order, as long as nothing fails.
//
//	       room               connection           answer
//	Push ────────▶ pending ───────────────▶ sent ──────────▶ stored
//	                  ▲                      │ failed everywhere
//	                  └──────── parked ◀─────┤
//	                 try again    │          ▼
//	                              └──────▶ given up
type Producer struct {
	client  *Client
	options ProducerOptions
	wake    chan struct{} // one token: something is parked, or the producer is to end
	ended   chan struct{} // closed when the goroutine has ended
	room    signal

	mu       sync.Mutex
	closed   bool // no more records are taken
	over     bool // no more records are tried again
	blocked  bool // somebody waits for room
	retrying bool // what was parked is being tried
	state    ProducerState
	failed   uint64    // since the last Flush
	first    error     // of these
	parked   []*record // to be tried again, oldest first
	group    *group    // that new records belong to
	groups   []*group  // with pending records, that one included
}

// ProducerState counts what became of the records of a producer.
type ProducerState struct {
	Pending      int    // records taken and neither stored nor given up
	PendingBytes int    // of these, as MaxPendingBytes counts
	Stored       uint64 // records
	Failed       uint64 // records given up
	Retried      uint64 // times that a record was tried again after it failed everywhere
}

// ProduceError says how many records a producer has given up, and why the first of them.
type ProduceError struct {
	Failed uint64 // records
	First  error
}

// Error implements error.
func (e *ProduceError) Error() string {
	if e.Failed == 1 {
		return fmt.Sprintf("1 record was not stored: %v", e.First)
	}
	return fmt.Sprintf("%d records were not stored, the first: %v", e.Failed, e.First)
}

// Unwrap returns First.
func (e *ProduceError) Unwrap() error { return e.First }

// group is the records pushed between two calls of Flush.
type group struct {
	pending int
	done    chan struct{} // closed when none is pending and no more will come
}

// Producer returns a new producer. A client can have any number. It has to be closed, or the
// client.
func (c *Client) Producer(options ProducerOptions) *Producer {
	if options.MaxPendingRecords <= 0 {
		options.MaxPendingRecords = DefaultMaxPendingRecords
	}
	if options.MaxPendingBytes <= 0 {
		options.MaxPendingBytes = DefaultMaxPendingBytes
	}
	setDefault(&options.Retry, DefaultRetry)
	p := &Producer{client: c, options: options, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.consumers == nil { // the client is closed
		p.closed, p.over = true, true
		close(p.ended)
		return p
	}
	c.routines.Go(p.run)
	return p
}

// Push takes over a record to store in all the channels, on one node. It keeps neither
// slice. It waits while the producer is full; an error means that the record was not taken:
// ErrClosed, that of ctx, or one of the arguments.
func (p *Producer) Push(ctx context.Context, value []byte, channels ...string) error {
	err := p.client.checkPush(value, channels)
	size := pushSize(value, channels) + recordOverhead
	if err == nil && size > p.options.MaxPendingBytes {
		err = fmt.Errorf("%w: %d bytes, the producer may hold %d", ErrTooLarge, size, p.options.MaxPendingBytes)
	}
	var r *record
	if err == nil {
		r, err = p.take(ctx, size)
	}
	if err != nil {
		return &Error{Request: "Push", Channel: joined(channels), Err: err}
	}
	r.frame, _ = wire.AppendPush(r.frame[:0], 0, channels, value) // the number of channels is checked
	p.submit(r)
	return nil
}

// take waits for room and returns a record that has it.
func (p *Producer) take(ctx context.Context, size int) (*record, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.closed:
			return nil, ErrClosed
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case p.state.Pending < p.options.MaxPendingRecords && p.state.PendingBytes+size <= p.options.MaxPendingBytes:
			return p.admit(size), nil
		}
		p.blocked = true
		room := p.room.wait()
		p.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
		}
		p.mu.Lock()
	}
}

// admit counts a new record. p.mu is held.
func (p *Producer) admit(size int) *record {
	if p.group == nil {
		p.group = &group{done: make(chan struct{})}
		p.groups = append(p.groups, p.group)
	}
	p.group.pending++
	p.state.Pending++
	p.state.PendingBytes += size
	r := newRecord(p)
	r.group, r.size = p.group, size
	return r
}

// settle ends a record: err is nil if it is stored.
func (p *Producer) settle(r *record, err error) {
	p.report(r, err)
	p.mu.Lock()
	p.state.Pending--
	p.state.PendingBytes -= r.size
	if err == nil {
		p.state.Stored++
	} else {
		if p.failed == 0 {
			p.first = err
		}
		p.failed++
		p.state.Failed++
	}
	if r.group.pending--; r.group.pending == 0 && r.group != p.group {
		p.finish(r.group)
	}
	// Those who wait come back for many records, not for one.
	notify := p.blocked && p.state.Pending <= p.options.MaxPendingRecords*3/4 &&
		p.state.PendingBytes <= p.options.MaxPendingBytes/4*3
	if notify {
		p.blocked = false
	}
	p.mu.Unlock()
	r.release()
	if notify {
		p.room.notify()
	}
}

// report calls the hook.
func (p *Producer) report(r *record, err error) {
	switch {
	case err != nil && p.options.OnError != nil:
		channels, value := r.content()
		p.options.OnError(value, channels, err)
	case err == nil && p.options.OnStored != nil:
		channels, value := r.content()
		p.options.OnStored(value, channels)
	}
}

// finish ends a group. p.mu is held.
func (p *Producer) finish(g *group) {
	close(g.done)
	for i := range p.groups {
		if p.groups[i] == g {
			p.groups = append(p.groups[:i], p.groups[i+1:]...)
			return
		}
	}
}

// Flush waits until each record pushed before the call is stored or given up. The error
// is that of ctx, or a *ProduceError if records were given up since the last Flush.
func (p *Producer) Flush(ctx context.Context) error {
	for _, g := range p.seal() {
		select {
		case <-g.done:
		case <-ctx.Done():
			return &Error{Request: "Flush", Err: context.Cause(ctx)}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed == 0 {
		return nil
	}
	e := &ProduceError{p.failed, p.first}
	p.failed, p.first = 0, nil
	return e
}

// seal ends the current group and returns all that have pending records.
func (p *Producer) seal() []*group {
	p.mu.Lock()
	defer p.mu.Unlock()
	groups := append([]*group(nil), p.groups...)
	if g := p.group; g != nil {
		p.group = nil
		if g.pending == 0 {
			p.finish(g)
		}
	}
	return groups
}

// Close takes no more records, does a Flush and ends the producer. If ctx ends before, the
// records not sent yet are given up, and the error says so; those under way are reported to
// the hooks when their fate is known.
func (p *Producer) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.room.notify()
	err := p.Flush(ctx)
	p.mu.Lock()
	p.over = true
	p.mu.Unlock()
	p.poke()
	<-p.ended
	return err
}

// State returns the current counts.
func (p *Producer) State() ProducerState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}
