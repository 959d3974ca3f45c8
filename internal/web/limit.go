package web

import (
	"context"
	"net"
	"slices"
	"sync"
)

// limitedListener has a number of places for connections, so that HTTP can never use up the
// descriptors of the node. If all are taken, a new connection gets the place of the one that
// has been idle for longest: peers that keep connections open, or never finish a request, do
// not keep out others, such as those who ask for its health. If all are being served, it waits.
//
// It is safe for concurrent use.
type limitedListener struct {
	net.Listener
	places int

	mu      sync.Mutex
	open    []*placedConn // the one that is idle for longest first
	closed  bool
	changed sync.Cond // a connection has ended or is idle, or the listener is closed
}

// placedConn is a connection that has a place.
type placedConn struct {
	net.Conn
	of     *limitedListener
	served bool // not idle; of.mu
}

func limit(l net.Listener, places int) *limitedListener {
	limited := &limitedListener{Listener: l, places: places}
	limited.changed.L = &limited.mu
	return limited
}

// Accept waits for a connection, and for a place for it.
func (l *limitedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.closed && len(l.open) >= l.places && !l.closeIdle() {
		l.changed.Wait()
	}
	if l.closed {
		conn.Close()
		return nil, net.ErrClosed
	}
	c := &placedConn{Conn: conn, of: l}
	l.open = append(l.open, c)
	return c, nil
}

// closeIdle closes the connection that has been idle for longest, if there is an idle one.
func (l *limitedListener) closeIdle() bool {
	i := slices.IndexFunc(l.open, func(c *placedConn) bool { return !c.served })
	if i < 0 {
		return false
	}
	l.open[i].Conn.Close()
	l.open = slices.Delete(l.open, i, i+1)
	return true
}

// Close ends accepting, also if that waits for a place.
func (l *limitedListener) Close() error {
	l.mu.Lock()
	l.closed = true
	l.changed.Broadcast()
	l.mu.Unlock()
	return l.Listener.Close()
}

// leave takes the place of a connection, and reports whether it had one.
func (l *limitedListener) leave(c *placedConn) bool {
	i := slices.Index(l.open, c)
	if i >= 0 {
		l.open = slices.Delete(l.open, i, i+1)
	}
	return i >= 0
}

// Close gives the place to another one.
func (c *placedConn) Close() error {
	c.of.mu.Lock()
	c.of.leave(c)
	c.of.changed.Broadcast()
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// serve keeps the place for as long as a request is being served.
func (c *placedConn) serve() {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.served = true
}

// idle begins to wait for the next request.
func (c *placedConn) idle() {
	l := c.of
	l.mu.Lock()
	defer l.mu.Unlock()
	c.served = false
	if l.leave(c) {
		l.open = append(l.open, c)
	}
	l.changed.Broadcast()
}

type connKey struct{}

// withConn lets connOf find the connection of a request.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

func connOf(ctx context.Context) *placedConn { return ctx.Value(connKey{}).(*placedConn) }
