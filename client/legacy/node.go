package legacy

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/internal/core"
)

// node is a node with its pool of connections.
//
// While it is Disconnected only core.Node connects to it. Requests pass it by, unless it has an
// idle connection: that is one which has done its work after the failure, such as happens at a
// node with too many connections.
type node struct {
	*core.Node
	client  *Client
	suspect chan struct{} // one token: the node may hang
	slots   chan struct{} // a token for each request that is not a stream, at most Options.MaxRequests

	mu     sync.Mutex         // guards what follows; not held across I/O
	idle   []*conn            // last used last; at most Options.MaxIdle
	busy   map[*conn]struct{} // in use
	left   bool               // it gets no more requests
	closed bool
}

func (c *Client) newNode(n *core.Node) core.Link {
	return &node{
		Node: n, client: c, suspect: make(chan struct{}, 1),
		slots: make(chan struct{}, n.Cluster.Options.MaxRequests), busy: make(map[*conn]struct{}),
	}
}

// all returns the nodes. The slice may be changed.
func (c *Client) all() []*node {
	all := c.cluster.All()
	links := make([]*node, len(all), 2*len(all))
	for i, n := range all {
		links[i] = n.Link.(*node)
	}
	return links
}

// Connect implements [core.Link].
func (n *node) Connect(ctx context.Context) (use func(), err error) {
	cn, err := n.connect(ctx)
	if err != nil {
		return nil, err
	}
	return func() { n.keep(cn) }, nil
}

// checkInterval is the shortest time between two looks at a node that may hang.
const checkInterval = time.Second

// Watch implements [core.Link]. Of a node that may hang it makes sure.
func (n *node) Watch(ctx context.Context) {
	var checked time.Time
	for {
		change := n.client.cluster.Change.Wait()
		if state, _ := n.Connected(); state != Connected || ctx.Err() != nil {
			return
		}
		select {
		case <-change:
		case <-n.suspect:
			if time.Since(checked) >= checkInterval {
				n.check(ctx)
				checked = time.Now()
			}
		case <-ctx.Done():
		}
	}
}

// check connects once more.
func (n *node) check(ctx context.Context) {
	cn, err := n.connect(ctx)
	switch {
	case err == nil:
		n.keep(cn)
	case errors.Is(err, os.ErrDeadlineExceeded):
		n.closeIdle() // they hang too, and waiting for each of them would take long
		fallthrough
	default:
		n.Lost(err)
	}
}

// Leave implements [core.Link].
func (n *node) Leave() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.left = true
}

// Load implements [core.Link].
func (n *node) Load() (inFlight, idle int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.busy), len(n.idle)
}

// broken is told that I/O of a request has failed, and judges whether that is the node's
// doing: not if the caller or the client has ended it. A deadline of the caller that has
// passed may be too short, or a sign that the node hangs.
func (n *node) broken(ctx context.Context, err error) {
	switch {
	case n.Ctx().Err() != nil || errors.Is(ctx.Err(), context.Canceled):
	case core.EndOf(ctx) != nil:
		select {
		case n.suspect <- struct{}{}:
		default:
		}
	default:
		n.closeIdle() // they have the same fate, and waiting for each of them would take long
		n.Lost(err)
	}
}

// usable reports whether a request may be sent to the node.
func (n *node) usable() bool {
	state, _ := n.Connected()
	n.mu.Lock()
	defer n.mu.Unlock()
	return !n.left && (state == Connecting || state == Connected || state == Disconnected && len(n.idle) > 0)
}

// awaitUsable waits until the node is usable, or ctx or the client has ended.
func (n *node) awaitUsable(ctx context.Context) {
	for {
		change := n.client.cluster.Change.Wait()
		if n.usable() {
			return
		}
		select {
		case <-change:
		case <-ctx.Done():
			return
		case <-n.Ctx().Done():
			return
		}
	}
}

// Close implements [core.Link]: requests and streams under way fail.
func (n *node) Close() {
	n.mu.Lock()
	conns := n.idle
	for cn := range n.busy {
		conns = append(conns, cn)
	}
	n.idle, n.closed = nil, true
	n.mu.Unlock()
	for _, cn := range conns {
		cn.Close() // its user ends the bond with the context
	}
}

// reason tells why I/O has failed: the end of ctx or of the client, whose consequence err
// then is, else err, in clear words if time is up.
func (n *node) reason(ctx context.Context, limit time.Duration, err error) error {
	switch {
	case core.EndOf(ctx) != nil:
		return core.EndOf(ctx)
	case n.Ctx().Err() != nil:
		return ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded):
		return core.NoAnswer(limit)
	}
	return err
}

// disconnected is reason for a connection on which a request was made.
func (n *node) disconnected(ctx context.Context, limit time.Duration, err error) error {
	reason := n.reason(ctx, limit, err)
	if core.EndOf(ctx) == nil && !errors.Is(reason, ErrClosed) {
		return fmt.Errorf("%w: %w", ErrDisconnected, reason)
	}
	return reason
}
