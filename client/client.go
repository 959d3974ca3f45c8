package client

import (
	"context"
	"errors"
	"iter"
	"time"
)

var errNotYet = errors.New("not there yet")

// Client is a client of all nodes of a DMQ.
type Client struct{}

// New returns a client and starts to connect to its nodes in the background. The only
// errors are those of the options: bad addresses, files that can't be read.
func New(options Options) (*Client, error) {
	if err := options.fill(); err != nil {
		return nil, err
	}
	return &Client{}, nil
}

// Close closes all connections and returns when all goroutines of the client have ended.
// Requests that wait fail with ErrClosed, consumers end, records that producers hold are
// given up. Further calls do nothing.
func (c *Client) Close() error { return nil }

// WaitConnected waits until at least n nodes are connected at the same time; 0 means all.
// If ctx ends before, the error is a *Error that wraps that of ctx and those of the nodes
// that are not connected, such as ErrRejected.
func (c *Client) WaitConnected(ctx context.Context, n int) error { return errNotYet }

// Push stores value in all the channels, on one node.
//
// It asks the connected nodes one after the other, round robin from a random start, each at
// most once, until one has stored the record. If a connection breaks after the request was
// sent and before the answer, the record may have been stored: Push goes on to the next
// node nevertheless, and the record may be stored twice (or see Options.AtMostOnce).
//
// The error wraps the reason of every node, or is ErrNotConnected. ErrUncertain is among
// them if the record may be stored, also when ctx ends before the answer. Push keeps
// neither slice.
func (c *Client) Push(ctx context.Context, value []byte, channels ...string) error { return errNotYet }

// Pop removes the oldest record of a channel from one node and returns it.
//
// It asks the connected nodes one after the other, each at most once, until one has a
// record. The error is ErrEmpty only if every node of the client was asked and is empty;
// otherwise it wraps the reason of each node that failed, ErrNotConnected for one that
// could not be asked. ErrUncertain is among them if a record may have been removed.
func (c *Client) Pop(ctx context.Context, channel string) ([]byte, error) { return nil, errNotYet }

// Nodes returns the state of all nodes, in the order of Options.
func (c *Client) Nodes() []NodeState { return nil }

// State is the state of the connection to a node.
type State uint8

// States of the connection to a node.
const (
	Connecting   State = iota // an attempt is going on
	Connected                 // requests can be sent
	Disconnected              // the last attempt failed or the connection broke; another follows
	Closed                    // the client is closed
)

// NodeState tells how a client is doing with a node.
type NodeState struct {
	Address string
	State   State
	Since   time.Time // when State began
	Err     error     // why it is not connected, or was not before; nil if it always was

	Connects uint64 // connections made, those of consumers included
	InFlight int    // Push and Pop requests waiting for the node
	Pushed   uint64 // records that the node has confirmed
	Popped   uint64 // records that Pop has got
	Consumed uint64 // records received by consumers
	Failed   uint64 // Push and Pop requests that failed at this node, ErrEmpty not counted
}

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

// Consume gets the records of a channel from all nodes at once as they come. It returns
// before anything is connected; the only errors are those of the arguments and ErrClosed.
// When ctx ends, the consumer closes.
func (c *Client) Consume(ctx context.Context, channel string, options ConsumeOptions) (*Consumer, error) {
	return nil, errNotYet
}

// Record is what was pushed.
type Record struct {
	Value []byte // the caller's to keep; it shares memory with the other records of a batch
	Node  string // address
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
type Consumer struct{}

// Records yields records until the consumer has ended. Several goroutines may loop over
// records at once, and get different ones.
//
// An error says that a node has no more part in the Consume: ErrChannelRemoved,
// ErrUnsupported or ErrNodeError with the node's address. The loop may go on, for the other
// nodes; when no node is left, it ends. A lost connection is not an error: the consumer
// connects again. When the context ended, or the client or consumer was closed, the last
// thing yielded is an error that says so. After Stop the loop just ends.
func (c *Consumer) Records() iter.Seq2[Record, error] { return nil }

// Each calls handle for each record, one after the other, until the consumer has ended, and
// then returns nil or the reason. An error of handle, or of a node (see Records), ends the
// loop as break does and is returned.
func (c *Consumer) Each(handle func(Record) error) error { return errNotYet }

// Suspend makes the loops over records wait. Up to one batch per node stays in the
// client. It has an effect at once, also on records already received.
func (c *Consumer) Suspend() {}

// Resume ends the effect of Suspend.
func (c *Consumer) Resume() {}

// Suspended tells whether Suspend is in effect.
func (c *Consumer) Suspended() bool { return false }

// Stop asks the nodes to send no more records and returns at once. Loops over records end
// after what was received. It may be called at any time, also more than once.
func (c *Consumer) Stop() {}

// Close ends the consumer at once, and returns when its connections are closed. Loops over
// records end with ErrClosed.
func (c *Consumer) Close() error { return nil }

// Defaults of [ProducerOptions].
const (
	DefaultMaxPendingRecords = 4096
	DefaultMaxPendingBytes   = 64 << 20
	DefaultRetry             = 30 * time.Second
)

// ProducerOptions are the options of a Producer. A zero value means the default.
type ProducerOptions struct {
	// MaxPendingRecords and MaxPendingBytes bound what is pushed and not yet confirmed.
	// Push waits while either is reached. Defaults 4096 and 64 MiB. The bytes count the
	// channel names and 128 a record for housekeeping, too.
	MaxPendingRecords int
	MaxPendingBytes   int

	// Retry is how long the producer goes on trying to store a record after the first
	// attempt failed, for example while no node is connected. Default 30 s. If it is
	// negative, each connected node is asked once, as Push does.
	Retry time.Duration

	// OnError is told of each record that was given up; the slices are valid until it
	// returns. err is as from Push. It must not block, nor call the producer.
	OnError func(value []byte, channels []string, err error)

	// OnStored is told of each record that a node has confirmed, under the same rules.
	OnStored func(value []byte, channels []string)
}

// Producer stores records like Client.Push, many at a time: Push returns as soon as there
// is room for the record, Flush tells what became of them.
type Producer struct{}

// Producer returns a new producer. A client can have any number.
func (c *Client) Producer(options ProducerOptions) *Producer { return &Producer{} }

// Push takes over a record to store in all the channels, on one node. It keeps neither
// slice. It waits while the producer is full; an error means that the record was not taken:
// ErrClosed, that of ctx, or one of the arguments.
func (p *Producer) Push(ctx context.Context, value []byte, channels ...string) error {
	return errNotYet
}

// Flush waits until each record pushed before the call is stored or given up. The error
// is that of ctx, or a *ProduceError if records were given up since the last Flush or
// Close.
func (p *Producer) Flush(ctx context.Context) error { return errNotYet }

// Close does a Flush, and then closes the producer; when ctx ends before, the remaining
// records are given up.
func (p *Producer) Close(ctx context.Context) error { return errNotYet }

// ProduceError says how many records a producer has given up, and why the first of them.
type ProduceError struct {
	Failed uint64 // records
	First  error
}

// Error implements error.
func (e *ProduceError) Error() string { return "" }

// Unwrap returns First.
func (e *ProduceError) Unwrap() error { return e.First }

// ProducerState counts what became of the records of a producer.
type ProducerState struct {
	Pending      int    // records taken and neither stored nor given up
	PendingBytes int    // of these
	Stored       uint64 // records
	Failed       uint64 // records given up
	Retried      uint64 // attempts after the first
}

// State returns the current counts.
func (p *Producer) State() ProducerState { return ProducerState{} }
