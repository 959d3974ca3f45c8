// Package queue is a DMQ as the commands of dmq see it: a [dmq.Client] of either protocol, that
// has connected or says why not, with consumers and producers as commands need them. What only
// one protocol can do shows as an error of the other ([ErrNeedsNeo]).
//
//	neo      client         a batch is acknowledged after its last record was handled
//	legacy   client/legacy  a record is gone when the node has sent it
//
// It may import the client packages, and nothing else of this module.
package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/dmq"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy"
)

// Protocol is how the nodes are spoken to.
type Protocol string

// Protocols.
const (
	Neo    Protocol = "neo"
	Legacy Protocol = "legacy"
)

// ErrNeedsNeo is for what the legacy protocol can't do.
var ErrNeedsNeo = errors.New("the legacy protocol can't do this; --protocol neo can")

// Options say which nodes to connect to, and how.
type Options struct {
	Protocol    Protocol
	Nodes       []string // "host:port" of the protocol's listener
	Credentials client.Credentials
	Timeout     time.Duration // for connecting to a node, and for its answer
	Logger      *slog.Logger
}

// Queue is a DMQ. Its methods may be called from any number of goroutines.
type Queue interface {
	// Nodes returns the addresses of all nodes.
	Nodes() []string

	// Push stores a record in all channels, on one node.
	Push(ctx context.Context, value []byte, channels ...string) error

	// Pop takes the oldest record out of a channel of one node.
	Pop(ctx context.Context, channel string) ([]byte, error)

	// PopWait is a Pop that waits so long for a record; ErrEmpty is that of the protocol.
	PopWait(ctx context.Context, channel, subscriber string, wait time.Duration) ([]byte, error)

	// Consume gets the records of a channel from all nodes as they come.
	Consume(ctx context.Context, channel, subscriber string) (Consumer, error)

	// Work is Consume with batches of so many records, of which each node sends so many ahead, and
	// of which each record can be settled by itself. D nodes don't know it: ErrUnsupported.
	Work(ctx context.Context, channel, subscriber string, batch, ahead int) (Consumer, error)

	// Produce stores many records in all channels; ctx bounds the whole.
	Produce(ctx context.Context, channels ...string) (Producer, error)

	// Single returns the client, for what is asked of single nodes; nil with legacy.
	Single() *client.Client

	// Close ends everything at once.
	Close() error
}

// Record is what was pushed.
type Record struct {
	Value []byte // the caller's to keep
	Node  string // address
	// Last tells that all that its node has sent so far is handled with this record: it
	// is acknowledged when the loop asks for the next one.
	Last bool

	Tries int // of a Work: deliveries before that have failed

	of dmq.Record
}

// Release gives a record of a Work back that was not handled.
func (r Record) Release() error { return r.of.Release() }

// Consumer gets the records of a channel.
type Consumer interface {
	// Records yields records until the consumer has ended. An error says that a node has
	// no more part in it; the loop may go on.
	Records() iter.Seq2[Record, error]

	// Await waits until the nodes that are connected can send records, as far as that can
	// be known; so whoever waits for records for some time does not count the time that
	// it takes. What is wrong with it shows in the loop.
	Await(ctx context.Context)

	// Stop ends the consumer in order: the loop ends after what was received.
	Stop()

	// Close ends it at once. What is not acknowledged comes again with neo, and is lost
	// with legacy.
	Close() error
}

// Producer stores records, many on their way at once. It belongs to one goroutine.
type Producer interface {
	// Push adds a record, which is free for other use when it returns. It waits while
	// the nodes do not keep up. An error that wraps [ErrRecord] is about this record
	// alone; after any other the producer has failed.
	Push(ctx context.Context, value []byte) error

	// State tells what became of its records, at any time and to any goroutine.
	State() dmq.ProducerState

	// Flush waits until all records are stored.
	Flush(ctx context.Context) error

	// Close does a Flush and ends the producer. If the producer has failed before, the
	// error says so again: without one, all records are stored.
	Close(ctx context.Context) error
}

// ErrRecord is a record that the protocol does not allow; nothing was sent.
var ErrRecord = errors.New("record refused")

// Connect returns a connected queue. At least one node can be reached, and an attempt at
// each of the others has been made. Those that failed are logged.
func Connect(ctx context.Context, options Options) (Queue, error) {
	c, err := connect(ctx, options)
	if err != nil {
		return nil, err
	}
	return &queue{c, options}, nil
}

// ConnectNodes returns a client that has connected likewise, for what is asked of single nodes.
// Error: [ErrNeedsNeo].
func ConnectNodes(ctx context.Context, options Options) (*client.Client, error) {
	if options.Protocol != Neo {
		return nil, ErrNeedsNeo
	}
	c, err := connect(ctx, options)
	if err != nil {
		return nil, err
	}
	return c.(*client.Client), nil
}

func connect(ctx context.Context, options Options) (dmq.Client, error) {
	logger, settled := newStartLog(options.Logger)
	c, err := newClient(options.Protocol, dmq.Options{
		Nodes:          options.Nodes,
		Credentials:    options.Credentials,
		ConnectTimeout: options.Timeout,
		RequestTimeout: options.Timeout,
		Logger:         logger,
	})
	if err != nil {
		return nil, err
	}
	if err := settle(ctx, options, c.Nodes); err != nil {
		c.Close()
		return nil, err
	}
	settled()
	return c, nil
}

func newClient(protocol Protocol, options dmq.Options) (c dmq.Client, err error) {
	switch protocol {
	case Neo:
		c, err = client.New(options)
	case Legacy:
		options.AtMostOnce = true
		c, err = legacy.New(options)
	default:
		err = fmt.Errorf("protocol %q: want %s or %s", protocol, Neo, Legacy)
	}
	return c, err
}

// queue is a Queue over a client.
type queue struct {
	dmq.Client
	options Options
}

func (q *queue) Nodes() (addresses []string) {
	for _, node := range q.Client.Nodes() {
		addresses = append(addresses, node.Address)
	}
	return addresses
}

func (q *queue) Single() *client.Client {
	c, _ := q.Client.(*client.Client)
	return c
}

func (q *queue) Consume(ctx context.Context, channel, subscriber string) (Consumer, error) {
	if subscriber != "" && q.options.Protocol == Legacy {
		return nil, fmt.Errorf("subscriber %q: %w", subscriber, ErrNeedsNeo)
	}
	return q.consume(ctx, channel, dmq.ConsumeOptions{Subscriber: subscriber})
}

func (q *queue) consume(ctx context.Context, channel string, options dmq.ConsumeOptions) (Consumer, error) {
	c, err := q.Client.Consume(ctx, channel, options)
	if err != nil {
		return nil, err
	}
	return consumer{c, q}, nil
}

func (q *queue) Work(ctx context.Context, channel, subscriber string, batch, ahead int) (Consumer, error) {
	if q.options.Protocol == Legacy {
		return nil, fmt.Errorf("batches of %d records: %w", batch, ErrNeedsNeo)
	}
	return q.consume(ctx, channel, dmq.ConsumeOptions{Subscriber: subscriber, MaxBatch: batch, Unsettled: ahead})
}

// pollPeriod is the time between two requests where a node can't be asked to wait.
const pollPeriod = 50 * time.Millisecond

func (q *queue) PopWait(ctx context.Context, channel, subscriber string, wait time.Duration) ([]byte, error) {
	if c, ok := q.Client.(*client.Client); ok {
		return c.PopWait(ctx, channel, client.PopOptions{Subscriber: subscriber, Wait: wait})
	}
	if subscriber != "" {
		return nil, fmt.Errorf("subscriber %q: %w", subscriber, ErrNeedsNeo)
	}
	for end := time.Now().Add(wait); ; {
		value, err := q.Pop(context.WithoutCancel(ctx), channel)
		empty := errors.Is(err, dmq.ErrEmpty) || errors.Is(err, legacy.ErrEmpty) || errors.Is(err, legacy.ErrNoSuchChannelOrSubscribed)
		if !empty || !time.Now().Before(end) {
			return value, err
		}
		select {
		case <-time.After(min(pollPeriod, time.Until(end))):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// consumer is a Consumer over that of a client.
type consumer struct {
	dmq.Consumer
	queue *queue
}

func (c consumer) Await(ctx context.Context) {
	connected := 0
	for _, node := range c.queue.Client.Nodes() {
		if node.State == dmq.Connected {
			connected++
		}
	}
	if connected == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, c.queue.options.Timeout)
	defer cancel()
	c.WaitStarted(ctx, connected)
}

func (c consumer) Records() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for record, err := range c.Consumer.Records() {
			if !yield(Record{Value: record.Value, Node: record.Node, Last: record.Left == 0, Tries: record.Tries, of: record}, err) {
				return
			}
		}
	}
}

func (q *queue) Produce(_ context.Context, channels ...string) (Producer, error) {
	return newProducer(q.Client, dmq.ProducerOptions{}, channels), nil
}

// producer ends with the first record that the client gives up; left alone, the client
// would go on with those that follow, and give them up one by one.
type producer struct {
	dmq.Producer
	channels []string
	gaveUp   atomic.Bool // some record
	failed   error       // of the first Flush that has failed; the next one would not tell
}

func newProducer(c dmq.Client, options dmq.ProducerOptions, channels []string) *producer {
	p := &producer{channels: channels}
	options.OnError = func([]byte, []string, error) { p.gaveUp.Store(true) }
	p.Producer = c.Producer(options)
	return p
}

func (p *producer) Push(ctx context.Context, value []byte) error {
	if p.gaveUp.Load() {
		return p.Flush(ctx)
	}
	err := p.Producer.Push(ctx, value, p.channels...)
	if errors.Is(err, dmq.ErrTooLarge) || errors.Is(err, dmq.ErrEmptyRecord) {
		return fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return err
}

func (p *producer) Flush(ctx context.Context) error {
	err := p.Producer.Flush(ctx)
	p.failed = cmp.Or(p.failed, err)
	return p.failed
}

func (p *producer) Close(ctx context.Context) error {
	err := p.Producer.Close(ctx)
	return cmp.Or(p.failed, err)
}

// MaxRecord is the largest record in bytes that can be stored.
func MaxRecord(protocol Protocol) int {
	if protocol == Legacy {
		return legacy.MaxValue
	}
	return dmq.DefaultMaxMessage - 1024 // what else is in the message: a few names of channels
}

// Remove removes channels with all their records from all nodes. Over neo nodes may not know that,
// or not allow it.
func Remove(ctx context.Context, options Options, channels ...string) error {
	c, err := connect(ctx, options)
	if err != nil {
		return err
	}
	defer c.Close()
	var failed []error
	for _, channel := range channels {
		switch c := c.(type) {
		case *legacy.Client:
			failed = append(failed, c.RemoveChannel(ctx, channel))
		case *client.Client:
			failed = append(failed, removeChannel(ctx, c, channel))
		}
	}
	return errors.Join(failed...)
}

func removeChannel(ctx context.Context, c *client.Client, channel string) error {
	var failed []error
	for _, a := range client.AskAll(c, func(n *client.Node) (none struct{}, err error) { return none, n.RemoveChannel(ctx, channel) }) {
		if !errors.Is(a.Err, client.ErrNotFound) {
			failed = append(failed, a.Err)
		}
	}
	return errors.Join(failed...)
}
