package client

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/internal/core"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// link is the connection to a node: one for all its Push and Pop requests, until it breaks.
type link struct {
	*core.Node
	client    *Client
	speaksNeo atomic.Bool // it has said so

	watched *conn // the last one; only Connect and Watch use this

	mu   sync.Mutex
	conn *conn // nil unless connected
}

func (c *Client) newLink(n *core.Node) core.Link { return &link{Node: n, client: c} }

// Connect implements [core.Link].
func (l *link) Connect(ctx context.Context) (use func(), err error) {
	nc, err := l.dial(ctx)
	if err != nil {
		return nil, err
	}
	return func() {
		c := newConn(l, nc)
		l.watched = c
		l.mu.Lock()
		l.conn = c
		l.mu.Unlock()
		l.client.change(func(conns []*conn) []*conn { return append(conns, c) })
		c.start()
	}, nil
}

// change changes the list of connections, which others may be reading.
func (c *Client) change(f func([]*conn) []*conn) {
	for {
		before := c.conns.Load()
		after := f(slices.Clone(*before))
		if c.conns.CompareAndSwap(before, &after) {
			return
		}
	}
}

// connections returns the connections there are. The slice must not be changed.
func (c *Client) connections() []*conn { return *c.conns.Load() }

// Watch implements [core.Link]. It sees to the end of the connection if the node stalls. It
// counts ticks, not time: if it is this process that was stopped for a while, what the node
// has answered meanwhile is read before the next few ticks.
func (l *link) Watch(ctx context.Context) {
	c := l.watched
	const patience = 4
	limit := l.client.cluster.Options.RequestTimeout
	ticker := time.NewTicker(max(limit/patience, time.Millisecond))
	defer ticker.Stop()
	silent := 0 // ticks in a row
	for {
		select {
		case <-c.broken:
			c.routines.Wait()
			return
		case <-ctx.Done():
			c.fail(ErrClosed)
		case <-ticker.C:
			if silent++; !c.stalled() {
				silent = 0
			}
			if silent >= patience {
				c.fail(core.NoAnswer(limit))
			}
		}
	}
}

// Leave implements [core.Link]: takes the connection off the list.
func (l *link) Leave() {
	l.client.change(func(conns []*conn) []*conn {
		return slices.DeleteFunc(conns, func(c *conn) bool { return c.link == l })
	})
}

// lost is told that the connection has broken.
func (l *link) lost(c *conn, reason error) {
	l.Leave()
	l.mu.Lock()
	l.conn = nil
	l.mu.Unlock()
	l.Lost(reason)
}

// Close implements [core.Link]. Watch has closed the connection.
func (l *link) Close() {}

// Load implements [core.Link].
func (l *link) Load() (inFlight, idle int) {
	l.mu.Lock()
	c := l.conn
	l.mu.Unlock()
	if c == nil {
		return 0, 0
	}
	return c.inFlight(), 0
}

// count counts the outcome of a call.
func (l *link) count(k *call) {
	switch {
	case errors.Is(k.err, ErrEmpty):
	case k.err != nil:
		l.Failed.Add(1)
	case k.code == wire.CodePush:
		l.Pushed.Add(1)
	case k.code == wire.CodePop:
		l.Popped.Add(1)
	}
}
