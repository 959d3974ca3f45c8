// Package dmq is what the clients of both protocols have in common, as their users see it:
// the interfaces, options, errors and states of package client, which speaks the neo
// protocol, and of package client/legacy.
//
// A program that takes a [Client] works with either, and with a fake of its tests. The two
// packages give these types their own names too, so most programs need not import this one.
// Where the protocols differ, it is said at the option or method, and in docs/client.md.
//
// This package and those of the two clients import nothing but the standard library and
// packages of this module.
package dmq

import (
	"context"
	"iter"
)

// Client is a client of all nodes of a DMQ. It may be used from any number of goroutines.
//
// Every error of a request is an [*Error].
type Client interface {
	// Push stores a record in all the channels, on one node, and waits for its word.
	//
	// It asks the connected nodes one after the other, round robin from a random start,
	// each at most once, until one has stored the record. If a connection breaks after the
	// request was sent and before the answer, the record may have been stored: Push goes on
	// to the next node nevertheless, and the record may be stored twice (or see
	// [Options.AtMostOnce]).
	//
	// The error wraps the reason of every node that was asked, or is ErrNotConnected.
	// ErrUncertain is among them if the record may be stored, also when ctx ends before the
	// answer. Push keeps neither slice.
	Push(ctx context.Context, value []byte, channels ...string) error

	// Pop removes the oldest record of a channel from one node and returns it.
	//
	// It asks the connected nodes one after the other, each at most once, until one has a
	// record. The error is ErrEmpty only if no node that was asked has one, and
	// ErrNotConnected if there was none to ask; otherwise it wraps the reason of each node
	// that failed. ErrUncertain is among them if a record may have been removed.
	Pop(ctx context.Context, channel string) ([]byte, error)

	// Producer returns a new producer. It has to be closed, or the client.
	Producer(options ProducerOptions) Producer

	// Consume gets the records of a channel from all nodes at once as they come. It returns
	// before anything is connected; the only errors are those of the arguments and
	// ErrClosed. When ctx ends, the consumer is closed.
	Consume(ctx context.Context, channel string, options ConsumeOptions) (Consumer, error)

	// Nodes returns the state of all nodes, in the order of Options.
	Nodes() []NodeState

	// WaitConnected waits until at least n nodes are connected at the same time; 0 means
	// all. If ctx ends before, the error wraps that of ctx and those of the nodes that are
	// not connected, such as ErrRejected.
	WaitConnected(ctx context.Context, n int) error

	// Close closes all connections and returns when all goroutines of the client have
	// ended. Requests that wait fail with ErrClosed, consumers end, records that producers
	// hold are given up. Further calls do nothing. Hooks and handlers must not call it.
	Close() error
}

// Producer stores records like Push, many at a time: Push returns as soon as there is room for
// the record, Flush tells what became of all. Records that one goroutine pushes into a
// channel reach each node in their order, as long as nothing fails. It may be used from any
// number of goroutines.
type Producer interface {
	// Push takes over a record to store in all the channels, on one node. It keeps neither
	// slice, so channels can be one slice for all records. (For names that are listed in the
	// call Go makes a new one, unless it sees that the producer comes from Client.Producer.) It
	// waits while the producer is full; an error means that the record was not taken: ErrClosed,
	// that of ctx, or one of the arguments.
	Push(ctx context.Context, value []byte, channels ...string) error

	// Flush waits until each record pushed before the call is stored or given up. The error
	// is that of ctx, or a [*ProduceError] if records were given up since the last Flush.
	Flush(ctx context.Context) error

	// Close takes no more records, does a Flush and ends the producer. If ctx ends before,
	// the records not sent yet are given up, and the error says so; those under way are
	// reported to the hooks when their fate is known.
	Close(ctx context.Context) error

	// State returns the current counts, and whether and why records wait.
	State() ProducerState
}

// Consumer gets the records of a channel. It may be used from any number of goroutines.
//
// Nodes send records in batches. With neo a batch is acknowledged when each of its records
// has been handled: when the loop that got it has asked for its next one. If the connection
// ends before that, the node delivers all records of the batch again, to this or another
// consumer of the subscriber. With legacy a record is gone from the node when it has sent it.
//
// There are two ways to end. In order: call Stop and go on with the loop until it ends; it
// still yields what was received. At once: call Close, or cancel the context, and all
// that is not acknowledged comes again elsewhere. To leave the loop with break is neither:
// the record is not handled until Records is called again.
//
// A consumer needs Close, or its context or client to end, unless its loop came to its end.
type Consumer interface {
	// Records yields records until the consumer has ended. Several goroutines may loop over
	// records at once, and get different ones.
	//
	// An error says that a node, which it names, has no more part in the Consume:
	// ErrChannelRemoved, or the node refused. The loop may go on, for the other nodes; when
	// no node is left, it ends. A lost connection is not an error: the consumer connects
	// again (or see [ConsumeOptions]). When the context ended, or the client or consumer was
	// closed, the last thing yielded is an error that says so. After Stop the loop just ends.
	Records() iter.Seq2[Record, error]

	// Each calls handle for each record, one after the other, until the consumer has ended,
	// and then returns nil or the reason. An error of handle, or of a node, ends the loop as
	// break does and is returned.
	Each(handle func(context.Context, Record) error) error

	// Suspend makes the loops over records wait, at once, also for records already received.
	// Up to one batch per node stays in the client, with legacy two. Resume ends that.
	Suspend()
	Resume()
	Suspended() bool

	// WaitStarted waits until the Consume runs on at least n nodes at the same time; 0 means
	// all. From then on the subscriber exists there, and gets what is pushed. If ctx ends
	// before, the error wraps that of ctx and those of the nodes that could not be connected
	// to.
	WaitStarted(ctx context.Context, n int) error

	// Stop asks the nodes to send no more records and returns at once. Loops over records
	// end after what was received. It may be called at any time, also more than once.
	//
	// With neo the records in hand are acknowledged as always, and those that were on their
	// way when a node was asked are yielded too; if the connection breaks before, they come
	// again. (A D node counts them as delivered when it is asked.) The legacy protocol has no
	// stop message: the connection is closed, and what was on its way is lost.
	Stop()

	// Close ends the consumer at once, and returns when its connections are closed. Loops
	// over records end with ErrClosed; with legacy after what was received.
	Close() error
}

// Record is what was pushed.
type Record struct {
	Value []byte // the caller's to keep; it shares memory with the other records of a batch
	Node  string // address
	Left  int    // records of the same batch that follow; at 0 the next one is of another batch

	// Tries is how often the record was delivered before and not confirmed, as far as the node
	// knows, which begins anew when it is started. It is 0 unless [ConsumeOptions] say something
	// of batches.
	Tries int

	settler Settler
}

// ConsumeOptions are the options of a Consume.
type ConsumeOptions struct {
	// Subscriber is the name of the subscriber, may be empty. All consumers of the same
	// name share the records of a channel; each name gets all of them. The legacy protocol
	// knows no names: there it must be empty.
	Subscriber string

	// KeepBatch makes a consumer that has lost its connection hand out the rest of the
	// batch it has received. It is for nodes that don't deliver again what was not
	// acknowledged: D nodes, and those with [Consume] redeliver = false. With others,
	// these records come twice. With legacy it is always so.
	KeepBatch bool

	// MaxBatch is how many records a node sends at once; 1 means one job at a time, so that consumers
	// share slow jobs fairly. 0 means as many as fit 100 kB. Unsettled is how many batches of each
	// node a consumer may have at the same time; 0 means one. For a worker pool it should be no
	// less than the number of workers.
	//
	// With any of MaxBatch, Unsettled and Explicit, records can be settled one by one: see
	// [Record.Done]. That is a request that D nodes do not know, and the legacy protocol does not
	// either: their part in the Consume ends with ErrUnsupported.
	MaxBatch  int
	Unsettled int

	// Explicit means that a record is not handled before [Record.Done], [Record.Return] or
	// [Record.Release] was called for it, whatever the loop does. It is for loops that pass
	// records on to others.
	Explicit bool

	// Once makes a lost connection an error that ends the part of its node; the consumer
	// does not connect there again.
	Once bool
}
