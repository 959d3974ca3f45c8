// Package queue is a DMQ as the commands of dmq see it: one small interface over the neo
// and the legacy client. What only one protocol can do shows as an error of the other
// ([ErrNeedsNeo]), or as a weaker promise that the interface states.
//
//	neo      client         a batch is acknowledged after its last record was handled
//	legacy   client/legacy  a record is gone when the node has sent it
//
// It may import the client packages, and nothing else of this module.
package queue

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
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

	// Consume gets the records of a channel from all nodes as they come.
	Consume(ctx context.Context, channel, subscriber string) (Consumer, error)

	// Produce stores many records in all channels; ctx bounds the whole.
	Produce(ctx context.Context, channels ...string) (Producer, error)

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
}

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

	// State tells how far it is, at any time and to any goroutine.
	State() ProducerState

	// Send sees to it that nothing waits in a buffer for more to come.
	Send() error

	// Flush waits until all records are stored.
	Flush(ctx context.Context) error

	// Close does a Flush and ends the producer. If the producer has failed before, the
	// error says so again: without one, all records are stored.
	Close(ctx context.Context) error
}

// ProducerState is what became of the records of a producer.
type ProducerState struct {
	Stored      int64 // confirmed by a node; legacy nodes confirm at a Flush or Close
	Unconfirmed int64 // sent and not confirmed, as far as the nodes confirm each record
}

// ErrRecord is a record that the protocol does not allow; nothing was sent.
var ErrRecord = errors.New("record refused")

// Connect returns a connected queue. At least one node can be reached, and an attempt at
// each of the others has been made. Those that failed are logged.
func Connect(ctx context.Context, options Options) (Queue, error) {
	switch options.Protocol {
	case Neo:
		return connectNeo(ctx, options)
	case Legacy:
		return connectLegacy(ctx, options)
	}
	return nil, fmt.Errorf("protocol %q: want %s or %s", options.Protocol, Neo, Legacy)
}
