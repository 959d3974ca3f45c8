package web

import (
	"net"
	"sync"
)

// limitedListener accepts a connection only while fewer than its places are taken. Others
// wait in the backlog, so that HTTP can never use up the descriptors of the node.
type limitedListener struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	once   sync.Once
}

func limit(l net.Listener, connections int) *limitedListener {
	return &limitedListener{Listener: l, places: make(chan struct{}, connections), closed: make(chan struct{})}
}

// Accept waits for a place and then for a connection.
func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &placedConn{Conn: conn, leave: func() { <-l.places }}, nil
}

// Close ends accepting, also if that waits for a place.
func (l *limitedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// placedConn is a connection that has a place.
type placedConn struct {
	net.Conn
	once  sync.Once
	leave func()
}

// Close gives the place to another one.
func (c *placedConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.leave)
	return err
}
