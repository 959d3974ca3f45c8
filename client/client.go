package client

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/nodes"
)

// Client is a client of all nodes of a DMQ.
type Client struct {
	options  Options
	nodes    []*node
	rotation *nodes.Rotation
	cancel   context.CancelFunc // ends the nodes' goroutines
	done     chan struct{}      // closed by Close
	routines sync.WaitGroup     // of nodes and producers
	change   signal             // a connection was made or lost, or has room again

	mu        sync.Mutex
	connected atomic.Pointer[[]*conn] // stored under mu
	consumers map[*Consumer]struct{}  // that have not ended; nil if closed
}

// New returns a client and starts to connect to its nodes in the background. The only
// errors are those of the options: bad addresses, files that can't be read.
func New(options Options) (*Client, error) {
	addresses, err := nodes.Load(options.Nodes, options.NodesFile)
	if err == nil {
		err = options.fill()
	}
	if err != nil {
		return nil, &Error{Request: "New", Err: err}
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Client{
		options:   options,
		rotation:  nodes.NewRotation(),
		cancel:    cancel,
		done:      make(chan struct{}),
		consumers: make(map[*Consumer]struct{}),
	}
	c.connected.Store(new([]*conn))
	for _, address := range addresses {
		c.nodes = append(c.nodes, &node{client: c, address: address})
	}
	for _, n := range c.nodes {
		c.routines.Go(func() { n.run(ctx) })
	}
	return c, nil
}

// Close closes all connections and returns when all goroutines of the client have ended.
// Requests that wait fail with ErrClosed, consumers end, records that producers hold are
// given up. Further calls do nothing. Hooks and handlers must not call it.
func (c *Client) Close() error {
	c.mu.Lock()
	consumers := c.consumers
	c.consumers = nil
	if consumers != nil {
		close(c.done)
	}
	c.mu.Unlock()
	c.cancel()
	for consumer := range consumers {
		consumer.end(ErrClosed)
	}
	for consumer := range consumers {
		consumer.routines.Wait()
	}
	c.change.notify()
	c.routines.Wait()
	return nil
}

// closed tells whether Close was called.
func (c *Client) closed() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// refresh makes the list of connections anew after one was made or lost.
func (c *Client) refresh() {
	c.mu.Lock()
	conns := make([]*conn, 0, len(c.nodes))
	for _, n := range c.nodes {
		n.mu.Lock()
		if n.conn != nil {
			conns = append(conns, n.conn)
		}
		n.mu.Unlock()
	}
	c.connected.Store(&conns)
	c.mu.Unlock()
	c.change.notify()
}

// connections returns the connections there are. The slice must not be changed.
func (c *Client) connections() []*conn { return *c.connected.Load() }

// countConnected leaves out what is broken and not taken off the list yet.
func (c *Client) countConnected() int {
	count := 0
	for _, conn := range c.connections() {
		select {
		case <-conn.broken:
		default:
			count++
		}
	}
	return count
}

// WaitConnected waits until at least n nodes are connected at the same time; 0 means all.
// If ctx ends before, the error is an *Error that wraps that of ctx and those of the nodes
// that are not connected, such as ErrRejected.
func (c *Client) WaitConnected(ctx context.Context, n int) error {
	if n < 0 || n > len(c.nodes) {
		return &Error{Request: "WaitConnected", Err: fmt.Errorf("waiting for %d of %d nodes", n, len(c.nodes))}
	}
	if n == 0 {
		n = len(c.nodes)
	}
	for {
		change := c.change.wait()
		if c.closed() {
			return &Error{Request: "WaitConnected", Err: ErrClosed}
		}
		if c.countConnected() >= n {
			return nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return c.notConnected(context.Cause(ctx))
		}
	}
}

// notConnected returns the error of WaitConnected when its context has ended.
func (c *Client) notConnected(cause error) error {
	var f failures
	for _, s := range c.Nodes() {
		switch {
		case s.State == Connected:
		case s.Err == nil:
			f = append(f, failure{s.Address, ErrNotConnected})
		default:
			f = append(f, failure{s.Address, s.Err})
		}
	}
	e := &Error{Request: "WaitConnected", Err: cause}
	if len(f) > 0 {
		e.Err = fmt.Errorf("%w; %w", cause, f)
	}
	return e
}

// Nodes returns the state of all nodes, in the order of Options.
func (c *Client) Nodes() []NodeState {
	states := make([]NodeState, len(c.nodes))
	for i, n := range c.nodes {
		states[i] = n.snapshot()
	}
	return states
}

// adopt starts the parts of a consumer and lets Close end it. It fails if the client is
// closed.
func (c *Client) adopt(consumer *Consumer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.consumers == nil {
		return ErrClosed
	}
	c.consumers[consumer] = struct{}{}
	for _, n := range c.nodes {
		consumer.parts = append(consumer.parts, &part{consumer: consumer, node: n})
	}
	for _, p := range consumer.parts {
		consumer.routines.Go(p.run)
	}
	return nil
}

// forget is called when a consumer has ended.
func (c *Client) forget(consumer *Consumer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.consumers, consumer)
}

// contains tells whether a request has failed at that node already.
func (f failures) contains(address string) bool {
	return slices.ContainsFunc(f, func(x failure) bool { return x.node == address })
}
