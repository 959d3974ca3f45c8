package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/nodes"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// State is the state of the connection to a node.
type State uint8

// States of the connection to a node.
const (
	Connecting   State = iota // an attempt is going on
	Connected                 // requests can be sent
	Disconnected              // the last attempt failed or the connection broke; another follows
	Closed                    // the client is closed
)

var stateNames = [...]string{"connecting", "connected", "disconnected", "closed"}

// String returns the state as a word.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// NodeState tells how a client is doing with a node.
type NodeState struct {
	Address string
	State   State
	Since   time.Time // when State began
	Err     error     // the last failure of this connection; nil if there was none

	Connects uint64 // connections made, those of consumers included
	InFlight int    // Push and Pop requests waiting for the node
	Pushed   uint64 // Push requests that the node has confirmed
	Popped   uint64 // records that Pop has got
	Consumed uint64 // records received by consumers
	Failed   uint64 // Push and Pop requests that failed at this node, ErrEmpty not counted
}

// node is a node and the connection to it.
type node struct {
	client  *Client
	address string

	connects, pushed, popped, consumed, failed atomic.Uint64

	mu    sync.Mutex
	conn  *conn // nil unless connected
	state State
	since time.Time
	err   error
}

// run keeps the node connected until ctx ends (§14.2).
func (n *node) run(ctx context.Context) {
	var backoff nodes.Backoff
	for ctx.Err() == nil {
		n.set(Connecting, nil, nil)
		start := time.Now()
		nc, err := n.client.dial(ctx, n.address)
		if err != nil {
			n.set(Disconnected, nil, err)
			pause(ctx, backoff.Failed(time.Since(start)))
			continue
		}
		c := newConn(n, nc)
		n.connects.Add(1)
		n.set(Connected, c, nil)
		n.watch(ctx, c)
		n.set(Disconnected, nil, c.err)
		c.routines.Wait()
		if time.Since(start) >= nodes.MaxDelay {
			backoff.Succeeded()
		} else {
			pause(ctx, backoff.Failed(0))
		}
	}
	n.set(Closed, nil, nil)
}

// watch returns when the connection is broken; if ctx ends, or the node stalls, it sees to
// that. It counts ticks, not time: if it is this process that was stopped for a while, what
// the node has answered meanwhile is read before the next few ticks.
func (n *node) watch(ctx context.Context, c *conn) {
	const patience = 4
	limit := n.client.options.RequestTimeout
	ticker := time.NewTicker(max(limit/patience, time.Millisecond))
	defer ticker.Stop()
	silent := 0 // ticks in a row
	for {
		select {
		case <-c.broken:
			return
		case <-ctx.Done():
			c.fail(ErrClosed)
		case <-ticker.C:
			if silent++; !c.stalled() {
				silent = 0
			}
			if silent >= patience {
				c.fail(fmt.Errorf("the node has not answered for %v", limit))
			}
		}
	}
}

// said tells whether the log knows of a failure, because the one before was like it. To be
// rejected is unlike all others: that does not pass by itself.
func said(before, err error) bool {
	return before != nil && errors.Is(before, ErrRejected) == errors.Is(err, ErrRejected)
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// set changes the state and tells those who want to know. Only run calls it. c is nil unless
// state is Connected. A broken connection stays listed for a moment, and refuses requests.
func (n *node) set(state State, c *conn, err error) {
	n.mu.Lock()
	level := slog.LevelWarn
	if n.conn == nil && said(n.err, err) {
		level = slog.LevelDebug
	}
	n.conn, n.state, n.since = c, state, time.Now()
	if err != nil {
		n.err = err
	}
	n.mu.Unlock()
	if state == Connecting {
		return
	}
	n.client.refresh()
	log := n.client.options.Logger
	switch {
	case state == Connected:
		log.Info("connected", "node", n.address)
	case state == Disconnected && !errors.Is(err, ErrClosed):
		log.Log(context.Background(), level, "not connected", "node", n.address, "error", err)
	}
	if hook := n.client.options.OnStateChange; hook != nil {
		hook(n.snapshot())
	}
}

// count counts the outcome of a call.
func (n *node) count(k *call) {
	switch {
	case errors.Is(k.err, ErrEmpty):
	case k.err != nil:
		n.failed.Add(1)
	case k.code == wire.CodePush:
		n.pushed.Add(1)
	default:
		n.popped.Add(1)
	}
}

func (n *node) snapshot() NodeState {
	n.mu.Lock()
	c := n.conn
	s := NodeState{Address: n.address, State: n.state, Since: n.since, Err: n.err}
	n.mu.Unlock()
	if c != nil {
		s.InFlight = c.inFlight()
	}
	s.Connects, s.Pushed, s.Popped = n.connects.Load(), n.pushed.Load(), n.popped.Load()
	s.Consumed, s.Failed = n.consumed.Load(), n.failed.Load()
	return s
}
