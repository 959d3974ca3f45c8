package core

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/dmq"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/nodes"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// Part is the part of one node in a Consume: a Consume on a connection to it, again and again
// until it is over.
//
//	            Link.Consume         Started             Received
//	away ─────────────────▶ starting ───────▶ idle ─────────────▶ batches in hand
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
	inHand   []*batch // to be acknowledged; several if the session allows it
	err      error    // why there is no connection; that of the last one if there is
}

// Session is a Consume that runs. Its methods are called with the lock of the consumer held:
// they must not block.
type Session interface {
	// Acknowledge tells what became of a batch, and that no more is to come if stop.
	Acknowledge(b Outcome, stop bool)

	// Stop tells that no more is to come, while so many batches are in hand.
	Stop(inHand int)
}

// Outcome is what became of a batch.
type Outcome struct {
	Number uint64 // that of ReceivedJob
	How    dmq.Settlement
	Delay  time.Duration
}

// batch is the records of one message.
type batch struct {
	part    *Part
	records wire.Arrays // not yielded yet
	left    int         // of these
	pending int         // not handled yet
	final   bool        // these records do not come again

	job     bool // each record can be settled by itself
	tries   int  // of a job: deliveries before that have failed
	outcome Outcome
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
		s.Stop(0)
	}
}

// Received takes in a batch, with the lock held. With toAcknowledge the session is told when it
// is handled; the batch before has been. With final it does not come again if it is not.
func (p *Part) Received(records wire.Arrays, toAcknowledge, final bool) {
	p.received(&batch{part: p, records: records, final: final}, toAcknowledge)
}

// ReceivedJob takes in a batch that is settled by its number, with the lock held.
func (p *Part) ReceivedJob(records wire.Arrays, number uint64, tries int) {
	p.received(&batch{part: p, records: records, job: true, tries: tries, outcome: Outcome{Number: number}}, true)
}

func (p *Part) received(b *batch, toAcknowledge bool) {
	for range b.records.All {
		b.left++
	}
	b.pending = b.left
	p.Node.Consumed.Add(uint64(b.left))
	c := p.consumer
	if toAcknowledge {
		p.inHand = append(p.inHand, b)
	}
	if c.ended == nil || b.final {
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
func (p *Part) Busy() bool { return len(p.inHand) > 0 }

// Options are those of the Consume.
func (p *Part) Options() dmq.ConsumeOptions { return p.consumer.options }

// acknowledge tells the node that a batch is handled, if it still waits for that. c.mu is
// held.
func (p *Part) acknowledge(b *batch) {
	i := slices.Index(p.inHand, b)
	if i < 0 {
		return // it came with Stop, or on a connection that is lost
	}
	p.inHand = slices.Delete(p.inHand, i, i+1)
	p.session.Acknowledge(b.outcome, p.stopping)
}

// stop ends the part in order. c.mu is held.
func (p *Part) stop() {
	p.stopping = true
	p.giveUp()
	if p.session != nil {
		p.session.Stop(len(p.inHand))
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
	for _, b := range p.inHand {
		if !b.final && (b.job || !c.options.KeepBatch) {
			c.ready = slices.DeleteFunc(c.ready, func(i item) bool { return i.batch == b })
		}
	}
	p.inHand = nil
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
	p.inHand = nil
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

// has tells whether a batch is in hand. c.mu is held.
func (p *Part) has(b *batch) bool { return slices.Contains(p.inHand, b) }
