package core

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/dmq"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/nodes"
)

// Link is what a client has of a node: its connection, or connections.
type Link interface {
	// Connect makes a connection. use makes it available to requests.
	Connect(ctx context.Context) (use func(), err error)

	// Watch returns when the node was lost or ctx has ended, and then no connection is left
	// that needs it.
	Watch(ctx context.Context)

	// Close is called when the node is given up.
	Close()

	// Leave sees to it that no request begins any more; those that are active go on.
	Leave()

	// Load returns how many requests are active and how many connections idle.
	Load() (inFlight, idle int)

	// Consume does a Consume until it is over, for good if over is true, or the connection is
	// lost.
	Consume(p *Part) (over bool, err error)
}

// Node is a node and how it does.
//
//	               connected
//	Connecting ───────────────▶ Connected ◀────────────┐ connected
//	    └──────────────────────────┴───▶ Disconnected ─┘
//	              a connection failed, or was not made
type Node struct {
	Cluster *Cluster
	Address string
	Link    Link

	Connects, Pushed, Popped, Consumed, Failed atomic.Uint64

	ctx    context.Context // ends when the node is given up
	cancel context.CancelFunc

	changes sync.Mutex // orders the calls of OnStateChange

	mu    sync.Mutex
	state dmq.State
	since time.Time
	err   error
}

func newNode(c *Cluster, address string) *Node {
	n := &Node{Cluster: c, Address: address, since: time.Now()}
	n.ctx, n.cancel = context.WithCancel(c.ctx)
	n.Link = c.newLink(n)
	return n
}

// run keeps the node connected until it is given up.
func (n *Node) run() {
	var backoff nodes.Backoff
	for n.ctx.Err() == nil {
		start := time.Now()
		use, err := n.Link.Connect(n.ctx)
		if err != nil {
			n.Lost(err)
			Pause(n.ctx, backoff.Failed(time.Since(start)))
			continue
		}
		n.set(dmq.Connected, nil, use)
		n.Link.Watch(n.ctx)
		if time.Since(start) >= nodes.MaxDelay {
			backoff.Succeeded()
		} else {
			Pause(n.ctx, backoff.Failed(0))
		}
	}
	n.set(dmq.Closed, nil, n.Link.Close)
}

// leave gives the node up when the requests that are active have ended, or had the time to.
func (n *Node) leave() {
	n.Link.Leave()
	for deadline := time.Now().Add(n.Cluster.Options.RequestTimeout); time.Now().Before(deadline) && n.ctx.Err() == nil; {
		if active, _ := n.Link.Load(); active == 0 {
			break
		}
		Pause(n.ctx, 10*time.Millisecond)
	}
	n.cancel()
}

// Lost is told that a connection has failed, or was not made.
func (n *Node) Lost(err error) {
	if n.ctx.Err() == nil { // or else that is the reason
		n.set(dmq.Disconnected, err, nil)
	}
}

// Ctx ends when the node is given up.
func (n *Node) Ctx() context.Context { return n.ctx }

// Connected tells whether the node is, and why not; the error is nil while the first attempt
// goes on.
func (n *Node) Connected() (state dmq.State, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.state, n.err
}

// set changes the state and tells those who want to know. first is a part of the change: who
// sees the node as connected must be able to use it.
func (n *Node) set(state dmq.State, err error, first func()) {
	n.changes.Lock()
	defer n.changes.Unlock()
	if first != nil {
		first()
	}
	n.mu.Lock()
	if n.state == dmq.Closed {
		n.mu.Unlock()
		return
	}
	level := slog.LevelWarn
	if n.state == dmq.Disconnected && said(n.err, err) {
		level = slog.LevelDebug
	}
	if n.state != state {
		n.state, n.since = state, time.Now()
	}
	if err != nil {
		n.err = err
	}
	n.mu.Unlock()
	n.Cluster.Change.Notify()
	log := n.Cluster.Options.Logger
	switch state {
	case dmq.Connected:
		log.Info("connected", "node", n.Address)
	case dmq.Disconnected:
		log.Log(context.Background(), level, "not connected", "node", n.Address, "error", err)
	}
	if hook := n.Cluster.Options.OnStateChange; hook != nil {
		hook(n.State())
	}
}

// said tells whether the log knows of a failure, because the one before was like it. To be
// rejected, or at a wrong port, is unlike all others: that does not pass by itself.
func said(before, err error) bool {
	lasting := func(err error) bool { return errors.Is(err, dmq.ErrRejected) || errors.Is(err, dmq.ErrWrongPort) }
	return before != nil && lasting(before) == lasting(err)
}

// State returns how the node does.
func (n *Node) State() dmq.NodeState {
	n.mu.Lock()
	s := dmq.NodeState{Address: n.Address, State: n.state, Since: n.since, Err: n.err}
	n.mu.Unlock()
	s.InFlight, s.Idle = n.Link.Load()
	s.Connects, s.Pushed, s.Popped = n.Connects.Load(), n.Pushed.Load(), n.Popped.Load()
	s.Consumed, s.Failed = n.Consumed.Load(), n.Failed.Load()
	return s
}
