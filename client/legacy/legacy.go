// Package legacy is a client of a DMQ over the legacy protocol: a queue made of many nodes that
// know nothing of each other, which only the client sees as one.
//
//	c, err := legacy.New(legacy.Options{Nodes: []string{"queue-1:10000", "queue-2:10000"}})
//	…
//	defer c.Close()
//	err = c.Push(ctx, []byte("a record"), "jobs")
//	record, err := c.Pop(ctx, "jobs")
//
// It has the same methods, options and errors as package client, which speaks the neo protocol;
// package dmq describes them. What is different with this protocol:
//
//	credentials   there are none
//	subscribers   there are no names; every consumer shares the records with all others
//	records       1 byte to 10 MiB
//	channels      up to 65,536 for a record
//	Pop           a node can't tell a channel that it does not know from one with subscribers:
//	              ErrNoSuchChannelOrSubscribed
//	Push          stored on one node; if the answer does not come, maybe on two (or see
//	              Options.AtMostOnce)
//	Producer      one stream to each node: faster for small records. What it has sent is
//	              confirmed by the megabyte, when nothing comes for a while, or for a Flush
//	Consume       at most once: a record is gone when the node has sent it. There is no stop
//	              message: what is under way when a consumer ends or a connection breaks,
//	              up to some megabytes for each node, is lost
//	ConsumeOptions
//	              Consume fails with ErrUnsupported if there is MaxBatch, Unsettled or Explicit
//	PopWait, Node, AskAll
//	              are requests of the other protocol only
//	RemoveChannel, GetNumConnections
//	              are methods of this client only
//
// # Connections
//
// A connection carries one request at a time. A [Client] keeps a few idle connections to
// each node and opens another whenever all are in use, up to Options.MaxRequests; so its
// methods may be called from any number of goroutines. A producer has one connection to each
// node while it has something to send, a consumer one until it ends.
//
//	          take                 status                 release
//	idle ───────────────▶ request ─────────▶ known status ─────────▶ idle
//	 ▲ └ none alive: connect  │
//	 │                        └ I/O error, ctx ended, unknown status: closed
//
// A new connection is used once the node has answered a GetNumConnections on it: so a node
// that hangs, or has too many connections, has refused it before anything was at stake. An
// idle one is looked at before it is used again, since the node may have closed it, for
// example by a restart. If it breaks nevertheless, a request that could not be sent
// completely, or that may safely be sent twice, is repeated on another.
//
// # Errors
//
// The answers of nodes are values of [Status], which also are the errors of package dmq that
// mean the same.
package legacy

import (
	"context"
	"fmt"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/dmq"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/internal/core"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/nodes"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
)

// MaxValue is the largest record in bytes, and the largest array the client accepts from a
// node (legacy protocol spec §2.4).
const MaxValue = wire.MaxArray

// Client sends requests to the nodes of a DMQ. It implements [dmq.Client], whose methods are
// described there, and can do two requests more.
type Client struct {
	cluster *core.Cluster
	pushes  *nodes.Rotation
	pops    *nodes.Rotation
}

var _ dmq.Client = (*Client)(nil)

// New returns a client and starts to connect to its nodes in the background. The only errors
// are those of the options: bad addresses, files that can't be read.
func New(options Options) (*Client, error) {
	core.Default(&options.MaxRequests, dmq.DefaultMaxConnections)
	core.Default(&options.MaxIdle, dmq.DefaultMaxIdle)
	c := &Client{pushes: nodes.NewRotation(), pops: nodes.NewRotation()}
	var err error
	if c.cluster, err = core.NewCluster(options, c.newNode); err != nil {
		return nil, core.Fail("New", nil, err)
	}
	c.cluster.Start()
	return c, nil
}

// Consume implements [dmq.Client].
func (c *Client) Consume(ctx context.Context, channel string, options ConsumeOptions) (Consumer, error) {
	if options.MaxBatch != 0 || options.Unsettled != 0 || options.Explicit {
		return nil, core.Fail("Consume", []string{channel}, fmt.Errorf("%w: MaxBatch, Unsettled and Explicit need the neo protocol", ErrUnsupported))
	}
	if options.Subscriber != "" {
		return nil, core.Fail("Consume", []string{channel}, fmt.Errorf("%w of a subscriber: %.300q, the legacy protocol knows none", ErrBadName, options.Subscriber))
	}
	return c.cluster.Consume(ctx, channel, options)
}

// WaitConnected implements [dmq.Client].
func (c *Client) WaitConnected(ctx context.Context, n int) error {
	return c.cluster.WaitConnected(ctx, n)
}

// Nodes implements [dmq.Client].
func (c *Client) Nodes() []NodeState { return c.cluster.Nodes() }

// Close implements [dmq.Client].
func (c *Client) Close() error { return c.cluster.Close() }
