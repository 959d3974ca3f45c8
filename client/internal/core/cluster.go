// Package core is what the clients of both protocols are made of, but for the protocols: the
// nodes and the connections to them, made again and again; waiting; consumers as their loops
// see them; the accounts of producers. The clients add a [Link] for each node.
//
//	Cluster ──▶ Node ──▶ Link            the client's: one connection, or a pool
//	   │          ▲
//	   └──▶ Consumer ──▶ Part ──▶ Session   the client's: one Consume at one node
//
// Locks, in the order in which they may be taken: Node.changes, then one of Cluster.mu and
// Consumer.mu, then what the Link has, then Node.mu. None is held across I/O.
package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/dmq"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/nodes"
)

// Cluster is all nodes of a DMQ.
type Cluster struct {
	Options dmq.Options
	Change  Signal // a node was connected or lost, or has room again, or the nodes are others

	newLink  func(*Node) Link
	start    func()
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	routines sync.WaitGroup

	nodes     atomic.Pointer[[]*Node] // stored under mu
	mu        sync.Mutex
	consumers map[*Consumer]struct{} // that have not ended; nil if closed
}

// NewCluster checks what options have in common for both protocols, and fills in defaults.
func NewCluster(options dmq.Options, newLink func(*Node) Link) (*Cluster, error) {
	file := watchedFile{name: options.NodesFile}
	file.changed() // before it is read, so that no later change is missed
	addresses, err := nodes.Load(options.Nodes, options.NodesFile)
	if err != nil {
		return nil, err
	}
	if options.ConnectTimeout < 0 || options.RequestTimeout < 0 || options.MaxRequests < 0 || options.MaxIdle < 0 || options.MaxMessage < 0 {
		return nil, errors.New("a negative time-out or limit")
	}
	Default(&options.ConnectTimeout, dmq.DefaultConnectTimeout)
	Default(&options.RequestTimeout, dmq.DefaultRequestTimeout)
	Default(&options.Logger, slog.New(slog.DiscardHandler))
	c := &Cluster{Options: options, newLink: newLink, consumers: make(map[*Consumer]struct{})}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.nodes.Store(new([]*Node))
	c.start = func() {
		c.update(addresses)
		if file.name != "" {
			c.routines.Go(func() { c.watch(file) })
		}
	}
	return c, nil
}

// Start starts to connect to the nodes in the background.
func (c *Cluster) Start() { c.start() }

// Default replaces a zero value.
func Default[T comparable](value *T, fallback T) {
	var zero T
	if *value == zero {
		*value = fallback
	}
}

// All returns the nodes, in the order of Options. The slice must not be changed.
func (c *Cluster) All() []*Node { return *c.nodes.Load() }

// update makes addresses those of the nodes.
func (c *Cluster) update(addresses []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.consumers == nil {
		return
	}
	before := make(map[string]*Node)
	for _, n := range c.All() {
		before[n.Address] = n
	}
	var all, added []*Node
	for _, address := range addresses {
		n := before[address]
		if n == nil {
			n = newNode(c, address)
			added = append(added, n)
		}
		delete(before, address)
		all = append(all, n)
	}
	c.nodes.Store(&all)
	for _, n := range added {
		c.routines.Go(n.run)
		for consumer := range c.consumers {
			consumer.add(n)
		}
	}
	for _, n := range before {
		for consumer := range c.consumers {
			consumer.remove(n)
		}
		c.routines.Go(n.leave)
	}
	c.Change.Notify()
}

// Close implements [dmq.Client].
func (c *Cluster) Close() error {
	c.mu.Lock()
	consumers := c.consumers
	c.consumers = nil
	c.mu.Unlock()
	c.cancel()
	for consumer := range consumers {
		consumer.end(dmq.ErrClosed)
	}
	for consumer := range consumers {
		consumer.routines.Wait()
	}
	c.Change.Notify()
	c.routines.Wait()
	return nil
}

// Done is closed by Close.
func (c *Cluster) Done() <-chan struct{} { return c.ctx.Done() }

// Closed tells whether Close was called.
func (c *Cluster) Closed() bool { return c.ctx.Err() != nil }

// Go starts a goroutine that Close waits for, unless it was called; it tells whether it has.
func (c *Cluster) Go(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.consumers == nil {
		return false
	}
	c.routines.Go(f)
	return true
}

// Nodes implements [dmq.Client].
func (c *Cluster) Nodes() []dmq.NodeState {
	all := c.All()
	states := make([]dmq.NodeState, len(all))
	for i, n := range all {
		states[i] = n.State()
	}
	return states
}

// WaitConnected implements [dmq.Client].
func (c *Cluster) WaitConnected(ctx context.Context, n int) error {
	for {
		change := c.Change.Wait()
		states := c.Nodes()
		if n < 0 || n > len(states) {
			return Fail("WaitConnected", nil, fmt.Errorf("waiting for %d of %d nodes", n, len(states)))
		}
		missing := unconnected(states)
		switch connected := len(states) - len(missing); {
		case c.Closed():
			return Fail("WaitConnected", nil, dmq.ErrClosed)
		case connected >= n && n > 0 || len(missing) == 0:
			return nil
		}
		select {
		case <-change:
		case <-c.ctx.Done():
		case <-ctx.Done():
			return Fail("WaitConnected", nil, missing.Because(context.Cause(ctx)))
		}
	}
}

// Begin tells the hook of a request, if there is one.
func (c *Cluster) Begin(ctx context.Context, name string, channels []string, size int) (context.Context, func(error)) {
	if c.Options.OnRequest == nil {
		return ctx, func(error) {}
	}
	return c.Options.OnRequest(ctx, dmq.Request{Name: name, Channel: Join(channels), Bytes: size})
}

// unconnected returns why nodes are not connected.
func unconnected(states []dmq.NodeState) (f Failures) {
	for _, s := range states {
		switch {
		case s.State == dmq.Connected:
		case s.Err == nil:
			f = append(f, Failure{s.Address, dmq.ErrNotConnected})
		default:
			f = append(f, Failure{s.Address, fmt.Errorf("%w: %w", dmq.ErrNotConnected, s.Err)})
		}
	}
	return f
}

// FailUnconnected makes the error of a request for which there is no node to ask.
func (c *Cluster) FailUnconnected(request string, channels []string) *dmq.Error {
	if c.Closed() {
		return Fail(request, channels, dmq.ErrClosed)
	}
	return FailAt(request, channels, unconnected(c.Nodes()))
}
