// Package legacy is a client of a DMQ over the legacy protocol, whose specification the
// section numbers (§) refer to. A DMQ is one queue made of many nodes that know nothing of
// each other; only the client sees them as one.
//
//	client, err := legacy.New(legacy.Options{Nodes: []string{"queue-1:10000", "queue-2:10000"}})
//	…
//	defer client.Close()
//	err = client.Push(ctx, "jobs", []byte("a record"))
//	record, err := client.Pop(ctx, "jobs")
//
// The protocol of package client, neo, loses less when connections break and is faster with
// single requests. This one has the faster streams, and needs no credentials.
//
// # Nodes
//
//	Push, PushMulti, Pop     one node, round robin from a random start, and the next one
//	                         while that does no harm
//	Produce, ProduceMulti    one node at a time
//	Consume                  all nodes, also those that come back later
//	RemoveChannel,           all nodes
//	GetNumConnections
//
// A node whose connection fails is passed by from then on and connected to in the
// background: at once, and then in longer and longer intervals up to 3 s, see package nodes.
// [Client.Nodes] tells how the nodes do, [Client.WaitConnected] waits for them. If no node
// is left, requests fail at once with [ErrNotConnected].
//
// # Connections
//
// A connection carries one request at a time. A [Client] keeps a few idle connections to
// each node and opens another whenever all are in use, up to [Options.MaxConnections]; so its
// methods may be called from any number of goroutines. Each [Producer], and each Consume at
// each node, has a connection to itself until it ends.
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
// completely, or that may safely be sent twice, is repeated on another; otherwise the error
// is [ErrUncertain].
//
// # What a request promises
//
//	Push, PushMulti  nil: stored on one node, once. ErrUncertain: perhaps. Else: not stored
//	Produce          the same for all its records, when Close or Confirm returns
//	Pop              at most once: a record may be lost if the answer does not come
//	Consume          at most once: what is under way when a connection breaks is lost, if
//	                 the node does not see it in time
//
// With [Options.AtLeastOnce] nil means stored once or more, and ErrUncertain is rare.
//
// # Contexts
//
// The context of a request bounds it from connecting to the last byte of the answer; that of
// a Produce or Consume bounds the stream. [Options] have limits for each step. A connection
// whose context ended is closed.
//
// # Errors
//
// Every error of a request is an [*Error], which names request, channel and node, or nodes.
// What a node answered, or why it was not asked, is found with errors.Is: [ErrEmpty],
// [ErrNoSuchChannelOrSubscribed], [ErrChannelRemoved], [ErrUncertain], [ErrNotConnected],
// [ErrClosed] and the values of [Status]. Names and values that a node would refuse are
// refused here.
package legacy

import (
	"context"
	"fmt"
	"sync"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/nodes"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
)

// MaxValue is the largest record in bytes, and the largest array the client accepts from a
// node (§2.4).
const MaxValue = wire.MaxArray

// Client sends requests to the nodes of a DMQ. It is safe for concurrent use.
type Client struct {
	options  Options
	nodes    []*node
	pushes   *nodes.Rotation // of Push and PushMulti
	pops     *nodes.Rotation
	streams  *nodes.Rotation // of Produce and ProduceMulti
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	routines sync.WaitGroup // of the nodes

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when a node became usable or ceased to be
}

// New returns a client and starts to connect to its nodes in the background. The only errors
// are those of the options: bad addresses, files that can't be read.
func New(options Options) (*Client, error) {
	c, err := newClient(options)
	if err != nil {
		return nil, &Error{Request: "New", Err: err}
	}
	c.start()
	return c, nil
}

// Dial returns a client of the one node at addr, "host:port", after opening a first
// connection to it. ctx bounds Dial only. Apart from that it is New with the default options
// and [Options.ConsumeOnce].
func Dial(ctx context.Context, addr string) (*Client, error) {
	c, err := newClient(Options{Nodes: []string{addr}, ConsumeOnce: true})
	if err != nil {
		return nil, &Error{Request: "Dial", Node: addr, Err: err}
	}
	cn, err := c.nodes[0].connect(ctx)
	if err != nil {
		c.cancel()
		return nil, &Error{Request: "Dial", Node: addr, Err: err}
	}
	c.nodes[0].connected(cn)
	c.start()
	return c, nil
}

func newClient(options Options) (*Client, error) {
	addresses, err := nodes.Load(options.Nodes, options.NodesFile)
	if err != nil {
		return nil, err
	}
	if err := options.fill(); err != nil {
		return nil, err
	}
	c := &Client{
		options: options,
		pushes:  nodes.NewRotation(), pops: nodes.NewRotation(), streams: nodes.NewRotation(),
		changed: make(chan struct{}),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	for _, address := range addresses {
		c.nodes = append(c.nodes, newNode(c, address))
	}
	return c, nil
}

func (c *Client) start() {
	for _, n := range c.nodes {
		c.routines.Go(n.run)
	}
}

// Close closes all connections and returns when the goroutines of the client have ended.
// Requests and streams under way, and later ones, fail with [ErrClosed]. Further calls do
// nothing.
func (c *Client) Close() error {
	c.cancel()
	for _, n := range c.nodes {
		n.close()
	}
	c.routines.Wait()
	return nil
}

// Nodes returns the state of all nodes, in the order of Options.
func (c *Client) Nodes() []NodeState {
	states := make([]NodeState, len(c.nodes))
	for i, n := range c.nodes {
		states[i] = n.snapshot()
	}
	return states
}

// WaitConnected waits until at least count nodes are [Connected] at the same time; 0 means
// all. If ctx ends before, the error wraps that of ctx, and the reasons of the nodes that are
// not.
func (c *Client) WaitConnected(ctx context.Context, count int) error {
	if count < 0 || count > len(c.nodes) {
		return &Error{Request: "WaitConnected", Err: fmt.Errorf("waiting for %d of %d nodes", count, len(c.nodes))}
	}
	if count == 0 {
		count = len(c.nodes)
	}
	for {
		change := c.change()
		var missing failures
		for _, n := range c.nodes {
			if n.snapshot().State != Connected {
				missing.add(n, n.unconnected())
			}
		}
		if len(c.nodes)-len(missing) >= count {
			return nil
		}
		select {
		case <-change:
		case <-c.ctx.Done():
			return &Error{Request: "WaitConnected", Err: ErrClosed}
		case <-ctx.Done():
			return &Error{Request: "WaitConnected", Err: fmt.Errorf("%w: %w", ctx.Err(), missing)}
		}
	}
}

// change returns a channel that is closed when a node becomes usable or ceases to be. Take it
// before looking at the nodes.
func (c *Client) change() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// notify tells those who wait for a change.
func (c *Client) notify() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
}
