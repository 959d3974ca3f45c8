package client

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
)

// ConsumeOptions are the options of a Consume.
type ConsumeOptions struct {
	// Subscriber is the name of the subscriber, may be empty. All consumers of the same
	// name share the records of a channel; each name gets all of them.
	Subscriber string

	// KeepBatch makes a consumer that has lost its connection hand out the rest of the
	// batch it has received. It is for nodes that don't deliver again what was not
	// acknowledged: D nodes, and those with [Consume] redeliver = false. With others,
	// these records come twice.
	KeepBatch bool
}

// Record is what was pushed.
type Record struct {
	Value []byte // the caller's to keep; it shares memory with the other records of a batch
	Node  string // address
	Left  int    // records of the same batch that follow; at 0 the next one is of another batch
}

// Consumer gets the records of a channel.
//
// Nodes send records in batches, and expect them acknowledged as a whole. A batch is
// acknowledged when each of its records has been handled: when the loop that got it has
// asked for its next one. If the connection ends before that, the node delivers all
// records of the batch again, to this or another consumer of the subscriber.
//
// There are two ways to end. In order: call Stop and go on with the loop until it ends; it
// still yields what was received. At once: call Close, or cancel the context, and all
// that is not acknowledged comes again elsewhere. To leave the loop with break is neither:
// the record is not handled until Records is called again.
//
// A consumer needs Close, or its context or client to end, unless its loop came to its end.
type Consumer struct {
	client     *Client
	channel    string
	subscriber string
	keepBatch  bool

	ctx      context.Context // of all that the consumer does
	cancel   context.CancelFunc
	starting context.Context // of what a Stop makes pointless: connecting
	stop     context.CancelFunc
	routines sync.WaitGroup // parts

	mu        sync.Mutex
	cond      *sync.Cond // anything below has changed
	ready     []item     // what loops will get, in this order
	left      []*batch   // of the records at which loops were left
	suspended bool
	stopping  bool
	ended     error // why the consumer was closed
	parts     []*part
	running   int // parts that are not over
	started   int // parts whose Consume has started
}

// item is something for the loops over records: a batch, or an error.
type item struct {
	batch *batch
	err   error
}

// Consume gets the records of a channel from all nodes at once as they come. It returns
// before anything is connected; the only errors are those of the arguments and ErrClosed.
// When ctx ends, the consumer is closed.
func (c *Client) Consume(ctx context.Context, channel string, options ConsumeOptions) (*Consumer, error) {
	consumer := &Consumer{
		client:     c,
		channel:    channel,
		subscriber: options.Subscriber,
		keepBatch:  options.KeepBatch,
		running:    len(c.nodes),
	}
	consumer.cond = sync.NewCond(&consumer.mu)
	if err := checkConsume(channel, options.Subscriber); err != nil {
		return nil, consumer.failure("", err)
	}
	consumer.ctx, consumer.cancel = context.WithCancel(context.Background())
	consumer.starting, consumer.stop = context.WithCancel(consumer.ctx)
	if err := c.adopt(consumer); err != nil {
		consumer.cancel()
		return nil, consumer.failure("", err)
	}
	unwatch := context.AfterFunc(ctx, func() { consumer.end(context.Cause(ctx)) })
	context.AfterFunc(consumer.ctx, func() { unwatch() })
	return consumer, nil
}

func checkConsume(channel, subscriber string) error {
	if err := checkChannels([]string{channel}); err != nil {
		return err
	}
	if !names.ValidSubscriber([]byte(subscriber)) {
		return fmt.Errorf("%w of a subscriber: %.300q", ErrBadName, subscriber)
	}
	if !names.Fits([]byte(subscriber), []byte(channel)) {
		return fmt.Errorf("%w: channel and subscriber are too long together", ErrBadName)
	}
	return nil
}

func (c *Consumer) failure(node string, err error) error {
	return &Error{Request: "Consume", Channel: c.channel, Node: node, Err: err}
}

// Records yields records until the consumer has ended. Several goroutines may loop over
// records at once, and get different ones.
//
// An error says that a node has no more part in the Consume: ErrChannelRemoved,
// ErrUnsupported or ErrNodeError with the node's address. The loop may go on, for the other
// nodes; when no node is left, it ends. A lost connection is not an error: the consumer
// connects again. When the context ended, or the client or consumer was closed, the last
// thing yielded is an error that says so. After Stop the loop just ends.
func (c *Consumer) Records() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		c.handleLeft()
		var last *batch // of the record yielded last
		for {
			record, of, err, end := c.next(last)
			if end && err == nil {
				return
			}
			if last = of; !yield(record, err) {
				c.leave(last)
				return
			}
			if end {
				return
			}
		}
	}
}

// Each calls handle for each record, one after the other, until the consumer has ended, and
// then returns nil or the reason. An error of handle, or of a node (see Records), ends the
// loop as break does and is returned.
func (c *Consumer) Each(handle func(Record) error) error {
	for record, err := range c.Records() {
		if err == nil {
			err = handle(record)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// next waits for what a loop gets next: a record and its batch, or an error; end tells that
// nothing follows. last is the batch of the record before, nil if there was none: that
// record is now handled.
func (c *Consumer) next(last *batch) (record Record, of *batch, err error, end bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last != nil {
		c.handled(last)
	}
	for {
		switch {
		case c.ended != nil:
			return Record{}, nil, c.failure("", c.ended), true
		case len(c.ready) == 0 && c.running == 0:
			return Record{}, nil, nil, true
		case len(c.ready) > 0 && !c.suspended:
			record, of, err = c.take()
			return record, of, err, false
		}
		c.cond.Wait()
	}
}

// take takes the next record, or error, of those that are ready. c.mu is held.
func (c *Consumer) take() (Record, *batch, error) {
	first := c.ready[0]
	b := first.batch
	if b == nil {
		c.ready = slices.Delete(c.ready, 0, 1)
		return Record{}, nil, first.err
	}
	value, _ := b.records.Next() // there is one as long as the batch is ready
	if b.left--; b.left == 0 {
		c.ready = slices.Delete(c.ready, 0, 1)
	}
	return Record{value, b.part.node.address, b.left}, b, nil
}

// handled notes that a record of a batch is handled. c.mu is held.
func (c *Consumer) handled(b *batch) {
	if b.pending--; b.pending == 0 {
		b.part.acknowledge(b)
	}
}

// leave notes at which record a loop was left.
func (c *Consumer) leave(b *batch) {
	if b != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.left = append(c.left, b)
	}
}

// handleLeft counts as handled the records at which loops were left.
func (c *Consumer) handleLeft() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range c.left {
		c.handled(b)
	}
	c.left = nil
}

// Suspend makes the loops over records wait, at once, also for records already received. Up
// to one batch per node stays in the client.
func (c *Consumer) Suspend() { c.suspend(true) }

// Resume ends the effect of Suspend.
func (c *Consumer) Resume() { c.suspend(false) }

func (c *Consumer) suspend(suspended bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.suspended = suspended
	c.cond.Broadcast()
}

// Suspended tells whether Suspend is in effect.
func (c *Consumer) Suspended() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.suspended
}

// WaitStarted waits until the Consume runs on at least n nodes at the same time; 0 means
// all. From then on the subscriber exists there, and gets what is pushed. If ctx ends before,
// the error wraps that of ctx and those of the nodes that could not be connected to.
func (c *Consumer) WaitStarted(ctx context.Context, n int) error {
	if n < 0 || n > len(c.client.nodes) {
		return c.failure("", fmt.Errorf("waiting for %d of %d nodes", n, len(c.client.nodes)))
	}
	if n == 0 {
		n = len(c.client.nodes)
	}
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
			return c.failure("", ErrNotConnected)
		case ctx.Err() != nil:
			return c.failure("", c.notStarted(context.Cause(ctx)))
		}
		c.cond.Wait()
	}
}

// notStarted adds to the cause why the Consume does not run on nodes. c.mu is held.
func (c *Consumer) notStarted(cause error) error {
	var f failures
	for _, p := range c.parts {
		if p.feedback == nil && p.err != nil {
			f = append(f, failure{p.node.address, p.err})
		}
	}
	if len(f) == 0 {
		return cause
	}
	return fmt.Errorf("%w; %w", cause, f)
}

// Stop asks the nodes to send no more records and returns at once. Loops over records end
// after what was received. It may be called at any time, also more than once.
//
// The records in hand are acknowledged as always. Those that were on their way when a node
// was asked count as delivered once they have arrived on this machine: go on with the loop to
// get them. If the connection breaks before, they come again. A D node counts them as delivered
// when it is asked, and drops what it has gathered for the next batch (Q13).
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

// Close ends the consumer at once, and returns when its connections are closed. Loops over
// records end with ErrClosed.
func (c *Consumer) Close() error {
	c.end(ErrClosed)
	c.routines.Wait()
	return nil
}

// end ends the consumer at once, for that reason.
func (c *Consumer) end(reason error) {
	c.mu.Lock()
	if c.ended == nil && (c.running > 0 || len(c.ready) > 0) {
		c.ended = reason
		c.ready, c.left = nil, nil
	}
	c.cond.Broadcast()
	c.mu.Unlock()
	c.cancel()
}
