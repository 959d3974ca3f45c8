package legacy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/nodes"
)

// State is what a client thinks of a node.
type State string

// States of a node.
const (
	Connecting   State = "connecting"   // no attempt to connect has ended yet
	Connected    State = "connected"    // the last attempt has succeeded, and nothing failed since
	Disconnected State = "disconnected" // connecting, or a connection, has failed; it is tried again
	Closed       State = "closed"       // the client is closed
)

// NodeState tells how a client is doing with a node.
type NodeState struct {
	Address string
	State   State
	Since   time.Time // when State began
	Err     error     // the last failure of a connection; nil if there was none

	Idle     int    // connections that wait for requests
	Busy     int    // connections in use by requests and streams
	Connects uint64 // connections made
	Pushed   uint64 // Push and PushMulti requests that the node has confirmed
	Popped   uint64 // records that Pop has got
	Consumed uint64 // records received by Consume
	Produced uint64 // records of producers that the node has confirmed
	Failed   uint64 // requests that failed at this node, empty channels not counted
}

// node is a node with its pool of connections.
//
//	               connected
//	Connecting ───────────────▶ Connected ◀────────────┐ connected
//	    └──────────────────────────┴───▶ Disconnected ─┘
//	              a connection failed, or was not made
//
// While it is Disconnected only [node.run] connects to it, as the schedule of package nodes
// says. Requests pass it by, unless it has an idle connection: that is one which has done
// its work after the failure, such as happens at a node with too many connections.
type node struct {
	client  *Client
	address string
	failed  chan struct{} // one token: the node became Disconnected
	suspect chan struct{} // one token: the node may hang
	slots   chan struct{} // a token for each request that is not a stream, at most Options.MaxConnections

	connects, pushed, popped, consumed, produced, failures atomic.Uint64

	mu    sync.Mutex         // guards what follows; not held across I/O
	idle  []*conn            // last used last; at most Options.MaxIdle
	busy  map[*conn]struct{} // in use
	state State
	since time.Time
	err   error
}

func newNode(c *Client, address string) *node {
	return &node{
		client: c, address: address, failed: make(chan struct{}, 1), suspect: make(chan struct{}, 1),
		slots: make(chan struct{}, c.options.MaxConnections),
		busy:  make(map[*conn]struct{}), state: Connecting, since: time.Now(),
	}
}

// run connects to the node at first and whenever it became Disconnected, until the client
// is closed.
func (n *node) run() {
	ctx := n.client.ctx
	var backoff nodes.Backoff
	for ctx.Err() == nil {
		if n.snapshot().State != Connected {
			start := time.Now()
			cn, err := n.connect(ctx)
			if err != nil {
				n.disconnected(err)
				pause(ctx, backoff.Failed(time.Since(start)))
				continue
			}
			n.connected(cn)
		}
		begin := time.Now()
		n.watch(ctx)
		if time.Since(begin) >= nodes.MaxDelay {
			backoff.Succeeded()
		}
		pause(ctx, backoff.Failed(0))
	}
}

// checkInterval is the shortest time between two looks at a node that may hang.
const checkInterval = time.Second

// watch returns when the node is no longer Connected, or ctx has ended. Of a node that may
// hang it makes sure.
func (n *node) watch(ctx context.Context) {
	var checked time.Time
	for n.snapshot().State == Connected {
		select {
		case <-n.failed:
		case <-n.suspect:
			if time.Since(checked) >= checkInterval {
				n.check(ctx)
				checked = time.Now()
			}
		case <-ctx.Done():
			return
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
		n.disconnected(err)
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// connected takes over a new connection.
func (n *node) connected(cn *conn) {
	n.keep(cn)
	n.mu.Lock()
	closed := n.state == Closed
	if !closed {
		n.state, n.since = Connected, time.Now()
	}
	n.mu.Unlock()
	if !closed {
		n.client.options.Logger.Info("connected", "node", n.address)
		n.client.notify()
	}
}

// disconnected is told that a connection has failed, or was not made. What is said once is
// a warning.
func (n *node) disconnected(err error) {
	if n.client.ctx.Err() != nil {
		return // that is the reason
	}
	n.mu.Lock()
	before := n.state
	if before == Closed {
		n.mu.Unlock()
		return
	}
	n.err = err
	if before != Disconnected {
		n.state, n.since = Disconnected, time.Now()
	}
	n.mu.Unlock()
	level := slog.LevelDebug
	if before != Disconnected {
		level = slog.LevelWarn
		select {
		case n.failed <- struct{}{}:
		default:
		}
		n.client.notify()
	}
	n.client.options.Logger.Log(context.Background(), level, "not connected", "node", n.address, "error", err)
}

// broken is told that I/O of a request has failed, and judges whether that is the node's
// doing: not if the caller or the client has ended it. A deadline of the caller that has
// passed may be too short, or a sign that the node hangs.
func (n *node) broken(ctx context.Context, err error) {
	switch {
	case n.client.ctx.Err() != nil || errors.Is(ctx.Err(), context.Canceled):
	case ended(ctx) != nil:
		select {
		case n.suspect <- struct{}{}:
		default:
		}
	default:
		n.closeIdle() // they have the same fate, and waiting for each of them would take long
		n.disconnected(err)
	}
}

// usable reports whether a request may be sent to the node.
func (n *node) usable() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state == Connecting || n.state == Connected || len(n.idle) > 0
}

// awaitUsable waits until the node is usable, or ctx or the client has ended.
func (n *node) awaitUsable(ctx context.Context) {
	for {
		change := n.client.change()
		if n.usable() {
			return
		}
		select {
		case <-change:
		case <-ctx.Done():
			return
		case <-n.client.ctx.Done():
			return
		}
	}
}

// unconnected returns the error of a request that can't be sent to the node.
func (n *node) unconnected() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.err == nil {
		return ErrNotConnected
	}
	return fmt.Errorf("%w: %w", ErrNotConnected, n.err)
}

func (n *node) snapshot() NodeState {
	n.mu.Lock()
	defer n.mu.Unlock()
	return NodeState{
		Address: n.address, State: n.state, Since: n.since, Err: n.err,
		Idle: len(n.idle), Busy: len(n.busy), Connects: n.connects.Load(),
		Pushed: n.pushed.Load(), Popped: n.popped.Load(),
		Consumed: n.consumed.Load(), Produced: n.produced.Load(), Failed: n.failures.Load(),
	}
}

// close closes all connections: requests and streams under way fail.
func (n *node) close() {
	n.mu.Lock()
	conns := n.idle
	for cn := range n.busy {
		conns = append(conns, cn)
	}
	n.idle, n.state, n.since = nil, Closed, time.Now()
	n.mu.Unlock()
	for _, cn := range conns {
		cn.Close() // its user ends the bond with the context
	}
}

// reason tells why I/O has failed: the end of ctx or of the client, whose consequence err
// then is, else err, in clear words if time is up.
func (n *node) reason(ctx context.Context, limit time.Duration, err error) error {
	switch {
	case ended(ctx) != nil:
		return ended(ctx)
	case n.client.ctx.Err() != nil:
		return ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer within %v: %w", limit, os.ErrDeadlineExceeded)
	}
	return err
}

// ended returns the error of a context that has ended. A connection may see its deadline pass
// a moment earlier.
func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}
