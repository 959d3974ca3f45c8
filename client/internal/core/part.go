package core

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/nodes"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// Part is the part of one node in a Consume: a Consume on a connection to it, again and again
// until it is over.
//
//	            Link.Consume         Started             Received
//	away ─────────────────▶ starting ───────▶ idle ─────────────▶ batch in hand
//	 ▲                         │              │ ▲                  │
//	 └─────────────────────────┴──────────────┘ └──────────────────┘
//	             connection lost: from anywhere     all handled: Acknowledge
type Part struct {
	Node     *Node
	Starting context.Context // ends when it is pointless to connect
	consumer *Consumer
	giveUp   context.CancelFunc // ends Starting

	// Guarded by Consumer.mu.
	session  Session // nil unless the Consume runs
	stopping bool
	batch    *batch // in hand, to be acknowledged; nil if there is none
	err      error  // why there is no connection; that of the last one if there is
}

// Session is a Consume that runs. Its methods are called with the lock of the consumer held:
// they must not block.
type Session interface {
	// Acknowledge tells that what was received is handled, and no more is to come if stop.
	Acknowledge(stop bool)

	// Stop is called when nothing is in hand.
	Stop()
}

// batch is the records of one message.
type batch struct {
	part    *Part
	records wire.Arrays // not yielded yet
	left    int         // of these
	pending int         // not handled yet
	final   bool        // these records do not come again
}

// Channel and Subscriber are those of the Consume.
func (p *Part) Channel() string    { return p.consumer.channel }
func (p *Part) Subscriber() string { return p.consumer.options.Subscriber }

// Ctx ends when the consumer is closed or has ended.
func (p *Part) Ctx() context.Context { return p.consumer.ctx }

// run is the goroutine of the part.
func (p *Part) run() {
	c := p.consumer
	defer p.giveUp()
	var backoff nodes.Backoff
	for p.Starting.Err() == nil {
		start := time.Now()
		over, err := p.Node.Link.Consume(p)
		if over || c.options.Once && p.Starting.Err() == nil {
			p.over(err)
			return
		}
		lasted := time.Since(start)
		started, level := p.lost(err)
		if p.Starting.Err() != nil {
			break
		}
		c.cluster.Options.Logger.Log(c.ctx, level, "not consuming", "channel", c.channel, "node", p.Node.Address, "error", err)
		if started && lasted >= nodes.MaxDelay {
			backoff.Succeeded()
		} else {
			Pause(p.Starting, backoff.Failed(lasted))
		}
	}
	p.over(nil)
}

// Started tells that the Consume runs.
func (p *Part) Started(s Session) {
	c := p.consumer
	c.cluster.Options.Logger.Info("consuming", "channel", c.channel, "node", p.Node.Address)
	c.mu.Lock()
	defer c.mu.Unlock()
	p.session = s
	c.started++
	c.cond.Broadcast()
	if p.stopping {
		s.Stop()
	}
}

// Received takes in a batch, with the lock held. With toAcknowledge the session is told when it
// is handled; the batch before has been. With final it does not come again if it is not.
func (p *Part) Received(records wire.Arrays, toAcknowledge, final bool) {
	b := &batch{part: p, records: records, final: final}
	for range records.All {
		b.left++
	}
	b.pending = b.left
	p.Node.Consumed.Add(uint64(b.left))
	c := p.consumer
	if toAcknowledge {
		p.batch = b
	}
	if c.ended == nil || final {
		c.ready = append(c.ready, item{batch: b})
		c.cond.Broadcast()
	}
}

// Do calls f with the lock of the consumer, which guards what sessions share with it.
func (p *Part) Do(f func()) {
	p.consumer.mu.Lock()
	defer p.consumer.mu.Unlock()
	f()
}

// Busy tells whether a batch is in hand. The lock is held.
func (p *Part) Busy() bool { return p.batch != nil }

// acknowledge tells the node that a batch is handled, if it still waits for that. c.mu is
// held.
func (p *Part) acknowledge(b *batch) {
	if p.batch != b {
		return // it came with Stop, or on a connection that is lost
	}
	p.batch = nil
	p.session.Acknowledge(p.stopping)
}

// stop ends the part in order. c.mu is held.
func (p *Part) stop() {
	p.stopping = true
	p.giveUp()
	if p.session != nil && p.batch == nil {
		p.session.Stop()
	}
}

// lost handles the end of the connection, or that there was none. It tells whether the
// Consume had started, and at what level err is to be logged. What was received and not
// yielded will come again, so it is dropped; unless it was confirmed by a Stop that may have
// reached the node.
func (p *Part) lost(err error) (started bool, level slog.Level) {
	c := p.consumer
	c.mu.Lock()
	defer c.mu.Unlock()
	started = p.end()
	if b := p.batch; b != nil && !b.final && !c.options.KeepBatch {
		c.ready = slices.DeleteFunc(c.ready, func(i item) bool { return i.batch == b })
	}
	p.batch = nil
	level = slog.LevelWarn
	if !started && said(p.err, err) {
		level = slog.LevelDebug
	}
	p.err = err
	return started, level
}

// end ends the session, and tells whether there was one. c.mu is held.
func (p *Part) end() bool {
	if p.session == nil {
		return false
	}
	p.session = nil
	p.consumer.started--
	return true
}

// over ends the part. err is the reason, nil if it was stopped.
func (p *Part) over(err error) {
	c := p.consumer
	c.mu.Lock()
	p.end()
	p.batch = nil
	if err != nil && c.ended == nil {
		c.ready = append(c.ready, item{err: c.failure(p.Node.Address, err)})
	}
	c.running--
	last := c.running == 0
	c.cond.Broadcast()
	c.mu.Unlock()
	if last {
		c.cancel()
		c.cluster.mu.Lock()
		delete(c.cluster.consumers, c)
		c.cluster.mu.Unlock()
	}
}
