package client

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/dmq"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/internal/core"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// recordOverhead is what a record costs besides its message, in bytes, roughly.
const recordOverhead = 192

// producer implements [dmq.Producer].
//
//	       room               connection           answer
//	Push ────────▶ pending ───────────────▶ sent ──────────▶ stored
//	                  ▲                      │ failed everywhere
//	                  └──────── parked ◀─────┤
//	                 try again    │          ▼
//	                              └──────▶ given up
type producer struct {
	*core.Ledger
	client *Client
	wake   chan struct{} // one token: something is parked, or the producer is to end
	barren atomic.Int64  // when records began to fail everywhere, none being stored; 0 if they don't

	// Guarded by the lock of the ledger.
	retrying bool      // what was parked is being tried
	parked   []*record // to be tried again, oldest first
}

// Producer implements [dmq.Client]. It is so short that compilers see what it returns: then a Push
// that lists its channels needs no memory for the list.
func (c *Client) Producer(options ProducerOptions) Producer { return c.newProducer(options) }

func (c *Client) newProducer(options ProducerOptions) *producer {
	p := &producer{client: c, wake: make(chan struct{}, 1)}
	p.Ledger = core.NewLedger(c.cluster, options, dmq.DefaultMaxPendingRecords, func() {}, p.poke)
	p.Run(p.run)
	return p
}

// Push implements [dmq.Producer].
func (p *producer) Push(ctx context.Context, value []byte, channels ...string) error {
	if err := p.client.checkPush(value, channels); err != nil {
		return core.Fail("Push", channels, err)
	}
	size := pushSize(value, channels) + recordOverhead
	group, err := p.Take(ctx, size)
	if err != nil {
		return core.Fail("Push", channels, err)
	}
	behind := p.retrying || len(p.parked) > 0
	p.Unlock()
	r := newRecord(p)
	r.group, r.size = group, size
	r.frame, _ = wire.AppendPush(r.frame[:0], 0, channels, value) // the number of channels is checked
	if p.barren.Load() != 0 {
		r.began = time.Now()
	}
	if behind {
		p.park(r)
	} else {
		p.advance(r)
	}
	return nil
}

// settle ends a record: err is nil if it is stored.
func (p *producer) settle(r *record, err error) {
	if p.Reports(err) {
		channels, value := r.content()
		p.Report(value, channels, err)
	}
	if err == nil && p.barren.Load() != 0 {
		p.barren.Store(0)
	}
	p.Settle(r.group, 1, r.size, err)
	r.release()
}

// retryPause is how long a record is left alone that has failed at every node.
const retryPause = 100 * time.Millisecond

// advance gives a record to the next connection. If none has room, or all have failed, it
// is parked or given up.
func (p *producer) advance(r *record) {
	sent, full := p.attempt(r)
	if sent {
		return
	}
	if full || p.exhausted(r) {
		p.park(r)
		return
	}
	p.settle(r, r.outcome())
}

// attempt offers a record to the connections of those nodes that it was not tried at. full
// tells that one of them had no room.
func (p *producer) attempt(r *record) (sent, full bool) {
	conns := p.client.connections()
	start := p.client.rotation.Start(len(conns))
	for i := range conns {
		conn := conns[(start+i)%len(conns)]
		if r.tried.Contain(conn.link.Address) {
			continue
		}
		r.node = conn.link.Address
		switch conn.pushFrame(&r.call, r.frame) {
		case nil:
			return true, false
		case errFull:
			full = true
		}
	}
	return false, full
}

// exhausted notes that a record has failed at every connected node, and tells whether it is
// to be tried again.
func (p *producer) exhausted(r *record) bool {
	if p.Options.Retry < 0 {
		return false
	}
	now := time.Now()
	p.barren.CompareAndSwap(0, now.UnixNano())
	if r.began.IsZero() {
		r.began = now
		if all := p.barren.Load(); all != 0 {
			r.began = time.Unix(0, all)
		}
	}
	r.exhausted = true
	if len(r.tried) > 0 {
		p.Refused(r.outcome())
		r.notBefore = now.Add(retryPause)
	}
	return !p.late(r, now)
}

// late tells whether a record has been tried for long enough: since it has failed everywhere
// for the first time, and since then none was stored; or else since all have begun to fail, if
// it was under way then.
func (p *producer) late(r *record, now time.Time) bool {
	began := r.began
	if all := p.barren.Load(); began.IsZero() && all != 0 {
		began = time.Unix(0, all)
	}
	return !began.IsZero() && now.Sub(began) >= p.Options.Retry
}

// park keeps a record to be tried again.
func (p *producer) park(r *record) {
	if p.Over() {
		p.settle(r, r.abandoned())
		return
	}
	p.Lock()
	p.parked = append(p.parked, r)
	p.Unlock()
	p.poke()
}

// poke wakes run.
func (p *producer) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run tries parked records again: when a connection was made or has room, and from time to
// time those that have failed. It ends when the producer has ended, or the client.
func (p *producer) run() {
	look := time.NewTicker(core.LookInterval)
	defer look.Stop()
	for {
		change := p.client.cluster.Change.Wait()
		if p.Over() {
			p.giveUp()
			return
		}
		var due <-chan time.Time
		if p.retry() {
			due = time.After(retryPause)
		}
		select {
		case <-change:
		case <-due:
		case <-p.wake:
		case <-look.C:
			p.Look()
		case <-p.client.cluster.Done():
			p.End()
		}
	}
}

// retry tries parked records again, in their order, and tells whether any are left.
func (p *producer) retry() bool {
	p.Lock()
	parked := p.parked
	p.parked, p.retrying = nil, true
	p.Unlock()

	kept := parked[:0]
	now := time.Now()
	nobody, full := len(p.client.connections()) == 0, false
	for _, r := range parked {
		switch {
		case p.late(r, now):
			p.settle(r, r.outcome())
			continue
		case now.Before(r.notBefore) || full || nobody && r.exhausted:
		default:
			gone, room := p.again(r)
			if gone {
				continue
			}
			full = !room && len(r.tried) == 0 // so no node has room
		}
		kept = append(kept, r)
	}
	clear(parked[len(kept):])

	p.Lock()
	defer p.Unlock()
	p.parked, p.retrying = append(kept, p.parked...), false
	return len(p.parked) > 0
}

// again tries a parked record. gone tells that it need not be kept, room that it was not for
// lack of that.
func (p *producer) again(r *record) (gone, room bool) {
	if r.exhausted {
		if len(r.tried) > 0 {
			p.Retried(1)
			r.last = r.tried
		}
		r.tried, r.exhausted = nil, false
	}
	sent, full := p.attempt(r)
	if sent || full || p.exhausted(r) {
		return sent, !full
	}
	p.settle(r, r.outcome())
	return true, true
}

// giveUp gives up what is parked. No more will be.
func (p *producer) giveUp() {
	p.Lock()
	parked := p.parked
	p.parked = nil
	p.Unlock()
	for _, r := range parked {
		p.settle(r, r.abandoned())
	}
}
