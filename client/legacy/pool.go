package legacy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/internal/core"
)

// take returns a connection bound to ctx: an idle one that is still alive, else a new one.
// If it fails nothing was sent, and unless ctx or the client has ended the error is
// [ErrNotConnected].
func (n *node) take(ctx context.Context) (*conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for {
		cn, err := n.takeIdle()
		if err != nil {
			return nil, err
		}
		if cn == nil {
			return n.takeNew(ctx)
		}
		cn.bind(ctx)
		if alive(cn.Conn) {
			return cn, nil
		}
		n.drop(cn)
	}
}

// takeIdle returns the idle connection that was used last; nil if there is none but a new
// one may be made.
func (n *node) takeIdle() (*conn, error) {
	state, reason := n.Connected()
	n.mu.Lock()
	defer n.mu.Unlock()
	last := len(n.idle) - 1
	switch {
	case n.closed:
		return nil, ErrClosed
	case last < 0 && state == Disconnected:
		return nil, fmt.Errorf("%w: %w", ErrNotConnected, reason)
	case last < 0:
		return nil, nil
	}
	cn := n.idle[last]
	n.idle = n.idle[:last]
	n.busy[cn] = struct{}{}
	cn.reused = true
	return cn, nil
}

// takeNew returns a new connection bound to ctx.
func (n *node) takeNew(ctx context.Context) (*conn, error) {
	cn, err := n.connect(ctx)
	if err != nil {
		if core.EndOf(ctx) != nil || errors.Is(err, ErrClosed) {
			n.broken(ctx, err)
			return nil, err
		}
		n.Lost(err) // but idle connections, if there are any by now, may be good
		return nil, fmt.Errorf("%w: %w", ErrNotConnected, err)
	}
	n.mu.Lock()
	closed := n.closed
	if !closed {
		n.busy[cn] = struct{}{}
	}
	n.mu.Unlock()
	if closed {
		cn.Close()
		return nil, ErrClosed
	}
	cn.bind(ctx)
	return cn, nil
}

// connect makes a connection on which the node has answered. It is not yet in the pool.
func (n *node) connect(ctx context.Context) (*conn, error) {
	attempt, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(n.Ctx(), cancel)()
	var cn *conn
	_, err := n.Dial(attempt, func(nc net.Conn) error {
		cn = newConn(nc)
		cn.bind(attempt)
		defer cn.unbind()
		return cn.prove()
	})
	if err != nil {
		return nil, n.reason(ctx, n.client.cluster.Options.ConnectTimeout, err)
	}
	return cn, nil
}

// release takes back a connection on which no answer is outstanding.
func (n *node) release(cn *conn) {
	if !cn.unbind() {
		n.drop(cn)
		return
	}
	slot := cn.slot
	cn.slot = false
	n.keep(cn)
	if slot {
		<-n.slots // only now, so that who waits for it finds the connection
	}
}

// keep makes a connection idle, or closes it if there are enough.
func (n *node) keep(cn *conn) {
	state, _ := n.Connected()
	n.mu.Lock()
	delete(n.busy, cn)
	keep := !n.closed && !n.left && len(n.idle) < n.client.cluster.Options.MaxIdle
	if keep {
		n.idle = append(n.idle, cn)
	}
	revived := keep && len(n.idle) == 1 && state == Disconnected
	n.mu.Unlock()
	switch {
	case !keep:
		cn.Close()
	case revived:
		n.client.cluster.Change.Notify()
	}
}

// drop closes a connection in use.
func (n *node) drop(cn *conn) {
	n.mu.Lock()
	delete(n.busy, cn)
	n.mu.Unlock()
	cn.close()
	if cn.slot {
		cn.slot = false
		<-n.slots
	}
}

// enter waits until there is a slot for a request, and takes it.
func (n *node) enter(ctx context.Context) error {
	select {
	case n.slots <- struct{}{}:
		return nil
	default:
	}
	select {
	case n.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-n.Ctx().Done():
		return ErrClosed
	}
}

// closeIdle closes the idle connections.
func (n *node) closeIdle() {
	n.mu.Lock()
	idle := n.idle
	n.idle = nil
	n.mu.Unlock()
	for _, cn := range idle {
		cn.Close()
	}
}

// do sends a request to the node and returns its connection if the status is 200, for the
// caller to read on and to release or drop.
func (n *node) do(ctx context.Context, req request) (*conn, error) {
	cn, err := n.try(ctx, req)
	if err != nil {
		n.Failed.Add(1)
	}
	return cn, err
}

// try is do without the count of failures.
func (n *node) try(ctx context.Context, req request) (*conn, error) {
	if req.stream {
		return n.send(ctx, req)
	}
	if err := n.enter(ctx); err != nil {
		return nil, err
	}
	cn, err := n.send(ctx, req)
	if err != nil {
		<-n.slots
		return nil, err
	}
	cn.slot = true
	return cn, nil
}

// send is do for who has a slot or needs none.
func (n *node) send(ctx context.Context, req request) (*conn, error) {
	limit := n.client.cluster.Options.RequestTimeout
	for {
		cn, err := n.take(ctx)
		if err != nil {
			return nil, err
		}
		cn.allow(limit)
		status, sent, err := cn.exchange(req)
		if err == nil {
			return n.judge(cn, req, status)
		}
		n.drop(cn)
		hangs := errors.Is(err, os.ErrDeadlineExceeded)
		if cn.reused && !hangs && (!sent || req.repeatable) {
			continue // ends at the latest with a connection that is not reused
		}
		n.broken(ctx, err)
		err = n.disconnected(ctx, limit, err)
		if sent && !req.repeatable {
			err = fmt.Errorf("%w: %w", ErrUncertain, err)
		}
		return nil, err
	}
}

// judge turns every status but 200 into an error. After a known status the connection
// stays good, after another number it may be anything (legacy protocol spec §11.1).
func (n *node) judge(cn *conn, req request, status Status) (*conn, error) {
	if status == statusOK {
		return cn, nil
	}
	if status.known() {
		n.release(cn)
	} else {
		n.drop(cn)
	}
	return nil, req.refusal(status)
}
