package core

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/dmq"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
)

// Consumer implements [dmq.Consumer].
type Consumer struct {
	cluster *Cluster
	channel string
	options dmq.ConsumeOptions

	ctx      context.Context // of all that the consumer does
	cancel   context.CancelFunc
	handlers context.Context // of the caller
	starting context.Context // of what a Stop makes pointless: connecting
	stop     context.CancelFunc
	routines sync.WaitGroup // parts

	mu        sync.Mutex
	cond      *sync.Cond // anything below has changed
	ready     []item     // what loops will get, in this order
	left      []taken    // the records at which loops were left
	suspended bool
	stopping  bool
	ended     error // why the consumer was closed
	parts     []*Part
	running   int // parts that are not over
	started   int // parts whose Consume has started
}

// item is something for the loops over records: a batch, or an error.
type item struct {
	batch *batch
	err   error
}

// Consume implements [dmq.Client].
func (c *Cluster) Consume(ctx context.Context, channel string, options dmq.ConsumeOptions) (dmq.Consumer, error) {
	consumer := &Consumer{cluster: c, channel: channel, options: options, handlers: ctx}
	consumer.cond = sync.NewCond(&consumer.mu)
	err := CheckConsume(channel, options.Subscriber)
	if options.MaxBatch < 0 || options.Unsettled < 0 {
		err = fmt.Errorf("ConsumeOptions: MaxBatch %d, Unsettled %d: want no less than 0", options.MaxBatch, options.Unsettled)
	}
	if err != nil {
		return nil, consumer.failure("", err)
	}
	consumer.ctx, consumer.cancel = context.WithCancel(context.Background())
	consumer.starting, consumer.stop = context.WithCancel(consumer.ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.consumers == nil {
		consumer.cancel()
		return nil, consumer.failure("", dmq.ErrClosed)
	}
	c.consumers[consumer] = struct{}{}
	for _, n := range c.All() {
		consumer.add(n)
	}
	unwatch := context.AfterFunc(ctx, func() { consumer.end(context.Cause(ctx)) })
	context.AfterFunc(consumer.ctx, func() { unwatch() })
	return consumer, nil
}

// CheckConsume checks the names of a channel and a subscriber.
func CheckConsume(channel, subscriber string) error {
	if err := CheckChannels([]string{channel}, 1); err != nil {
		return err
	}
	if !names.ValidSubscriber([]byte(subscriber)) {
		return fmt.Errorf("%w of a subscriber: %.300q", dmq.ErrBadName, subscriber)
	}
	if !names.Fits([]byte(subscriber), []byte(channel)) {
		return fmt.Errorf("%w: channel and subscriber are too long together", dmq.ErrBadName)
	}
	return nil
}

func (c *Consumer) failure(node string, err error) error {
	return &dmq.Error{Request: "Consume", Channel: c.channel, Node: node, Err: err}
}

// add starts a part at a node, unless there is nothing left to take part in.
func (c *Consumer) add(n *Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil || c.stopping || c.running == 0 && len(c.parts) > 0 {
		return
	}
	p := &Part{consumer: c, Node: n}
	p.Starting, p.giveUp = context.WithCancel(c.starting)
	c.parts = append(c.parts, p)
	c.running++
	c.routines.Go(p.run)
}

// remove stops the part at a node in order.
func (c *Consumer) remove(n *Node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.parts {
		if p.Node == n {
			p.stop()
		}
	}
}

// Records implements [dmq.Consumer].
func (c *Consumer) Records() iter.Seq2[dmq.Record, error] {
	return func(yield func(dmq.Record, error) bool) {
		c.handleLeft()
		var got taken
		for more := true; more; {
			more = c.next(&got)
			if !more && got.err == nil {
				return
			}
			if !yield(got.record, got.err) {
				c.leave(got)
				return
			}
		}
	}
}

// Each implements [dmq.Consumer].
func (c *Consumer) Each(handle func(context.Context, dmq.Record) error) error {
	for record, err := range c.Records() {
		if err == nil {
			ctx, end := c.cluster.Begin(c.handlers, "Handle", []string{c.channel}, len(record.Value))
			err = handle(ctx, record)
			end(err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// taken is what a loop has got: a record, or an error. The zero value is none.
type taken struct {
	record dmq.Record
	err    error
	batch  *batch // of the record
	job    *job   // nil if it can't be settled by itself
}

// next replaces what a loop has got, which is now handled, by what it gets next. It tells whether
// anything follows. A record is not copied on its way, for there are millions a second.
func (c *Consumer) next(got *taken) (more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handled(got)
	for {
		switch {
		case len(c.ready) > 0 && (!c.suspended || c.ended != nil):
			c.take(got)
			return true
		case c.ended != nil:
			*got = taken{err: c.failure("", c.ended)}
			return false
		case len(c.ready) == 0 && c.running == 0:
			*got = taken{}
			return false
		}
		c.cond.Wait()
	}
}

// take takes the next record, or error, of those that are ready. c.mu is held.
func (c *Consumer) take(got *taken) {
	b := c.ready[0].batch
	if b == nil {
		*got = taken{err: c.ready[0].err}
		c.ready = slices.Delete(c.ready, 0, 1)
		return
	}
	value, _ := b.records.Next() // there is one as long as the batch is ready
	if b.left--; b.left == 0 {
		c.ready = slices.Delete(c.ready, 0, 1)
	}
	got.record = dmq.Record{Value: value, Node: b.part.Node.Address, Left: b.left, Tries: b.tries}
	got.err, got.batch, got.job = nil, b, nil
	if b.job {
		got.job = &job{consumer: c, batch: b}
		got.record = got.record.SettledBy(got.job)
	}
}

// handled notes that a record is handled. c.mu is held.
func (c *Consumer) handled(t *taken) {
	switch {
	case t.batch == nil:
	case t.job == nil:
		if t.batch.pending--; t.batch.pending == 0 {
			t.batch.part.acknowledge(t.batch)
		}
	case !c.options.Explicit:
		t.job.settle(dmq.Done, 0)
	}
}

// leave notes at which record a loop was left.
func (c *Consumer) leave(t taken) {
	if t.batch != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.left = append(c.left, t)
	}
}

// handleLeft counts as handled the records at which loops were left.
func (c *Consumer) handleLeft() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.left {
		c.handled(&c.left[i])
	}
	c.left = nil
}

// Suspend implements [dmq.Consumer].
func (c *Consumer) Suspend() { c.suspend(true) }

// Resume implements [dmq.Consumer].
func (c *Consumer) Resume() { c.suspend(false) }

func (c *Consumer) suspend(suspended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.suspended = suspended
	c.cond.Broadcast()
}

// Suspended implements [dmq.Consumer].
func (c *Consumer) Suspended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.suspended
}

// WaitStarted implements [dmq.Consumer].
func (c *Consumer) WaitStarted(ctx context.Context, n int) error {
	all := len(c.cluster.All())
	if n < 0 || n > all {
		return c.failure("", fmt.Errorf("waiting for %d of %d nodes", n, all))
	}
	Default(&n, all)
	stop := context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.cond.Broadcast()
	})
	defer stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.ended != nil:
			return c.failure("", c.ended)
		case c.started >= n:
			return nil
		case c.stopping || c.running < n:
			return c.failure("", dmq.ErrNotConnected)
		case ctx.Err() != nil:
			return c.failure("", c.notStarted().Because(context.Cause(ctx)))
		}
		c.cond.Wait()
	}
}

// notStarted returns why the Consume does not run on nodes. c.mu is held.
func (c *Consumer) notStarted() (f Failures) {
	for _, p := range c.parts {
		if p.session == nil && p.err != nil {
			f = append(f, Failure{p.Node.Address, p.err})
		}
	}
	return f
}

// Stop implements [dmq.Consumer].
func (c *Consumer) Stop() {
	c.mu.Lock()
	if !c.stopping {
		c.stopping = true
		for _, p := range c.parts {
			p.stop()
		}
	}
	c.mu.Unlock()
	c.stop()
}

// Close implements [dmq.Consumer].
func (c *Consumer) Close() error {
	c.end(dmq.ErrClosed)
	c.routines.Wait()
	return nil
}

// end ends the consumer at once, for that reason. What was received is dropped if it comes
// again.
func (c *Consumer) end(reason error) {
	c.mu.Lock()
	if c.ended == nil && (c.running > 0 || len(c.ready) > 0) {
		c.ended = reason
		c.ready = slices.DeleteFunc(c.ready, func(i item) bool { return i.batch == nil || !i.batch.final })
		c.left = nil
	}
	c.cond.Broadcast()
	c.mu.Unlock()
	c.cancel()
}
