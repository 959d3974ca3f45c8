// Package clienttest has a node in memory for tests of programs that use a DMQ, with faults to
// order. It speaks both protocols, so the real clients connect to it.
//
//	node := clienttest.Start(t)
//	c, err := client.New(client.Options{Nodes: []string{node.Neo()}, Credentials: clienttest.Credentials})
//	…
//	node.Refuse(true) // as if its disk were full
//	node.Disconnect() // every connection breaks
//
// It keeps everything in memory, knows one client name, and is not fast. For what a program does
// without a network there is the interface dmq.Client. To what operators ask (client.Node) it answers
// as a D node does: client.ErrUnsupported.
package clienttest

import (
	"net"
	"sync"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/dmq"
)

// Credentials are those that every node accepts.
var Credentials = dmq.Credentials{Name: "test"}

// Node is a node in memory. Its methods may be called from any goroutine.
type Node struct {
	t           testing.TB
	neo, legacy string
	routines    sync.WaitGroup

	mu        sync.Mutex
	changed   *sync.Cond // anything below
	channels  map[string]*channel
	listeners []net.Listener // nil while it is stopped
	conns     map[net.Conn]struct{}
	refusing  bool
	hanging   bool
	closed    bool
}

// Start starts a node that ends with the test.
func Start(t testing.TB) *Node {
	t.Helper()
	n := &Node{t: t, neo: "127.0.0.1:0", legacy: "127.0.0.1:0", channels: make(map[string]*channel), conns: make(map[net.Conn]struct{})}
	n.changed = sync.NewCond(&n.mu)
	n.Restart()
	n.neo, n.legacy = n.listeners[0].Addr().String(), n.listeners[1].Addr().String()
	t.Cleanup(func() {
		n.mu.Lock()
		n.closed = true
		n.mu.Unlock()
		n.Stop()
		n.routines.Wait()
	})
	return n
}

// Neo returns the address for package client.
func (n *Node) Neo() string { return n.neo }

// Legacy returns the address for package legacy.
func (n *Node) Legacy() string { return n.legacy }

// Stop breaks all connections and accepts no more. The records stay.
func (n *Node) Stop() {
	n.mu.Lock()
	listeners := n.listeners
	n.listeners = nil
	n.mu.Unlock()
	for _, listener := range listeners {
		listener.Close()
	}
	n.Disconnect()
}

// Restart accepts connections again, at the same addresses.
func (n *Node) Restart() {
	n.t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	for address, serve := range map[*string]func(net.Conn){&n.neo: n.serveNeo, &n.legacy: n.serveLegacy} {
		listener, err := net.Listen("tcp", *address)
		if err != nil {
			n.t.Fatal(err)
		}
		if address == &n.neo {
			n.listeners = append([]net.Listener{listener}, n.listeners...)
		} else {
			n.listeners = append(n.listeners, listener)
		}
		n.routines.Go(func() { n.accept(listener, serve) })
	}
}

// Disconnect breaks all connections.
func (n *Node) Disconnect() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for conn := range n.conns {
		conn.Close()
	}
	clear(n.conns)
	n.changed.Broadcast()
}

// Refuse makes the node store nothing, as if its disk were full, until it is called with false.
func (n *Node) Refuse(refuse bool) { n.set(&n.refusing, refuse) }

// Hang makes the node answer nothing, until it is called with false.
func (n *Node) Hang(hang bool) { n.set(&n.hanging, hang) }

func (n *Node) set(what *bool, value bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	*what = value
	n.changed.Broadcast()
}

// Records returns what is in a channel for that subscriber, without what a consumer has in hand;
// or in the channel itself, if it has no subscribers.
func (n *Node) Records(channel, subscriber string) (values []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.channels[channel]
	if c == nil {
		return nil
	}
	q := c.queue
	if c.subscribers != nil {
		q = c.subscribers[subscriber]
	}
	if q != nil {
		for _, value := range q.records {
			values = append(values, string(value))
		}
	}
	return values
}

func (n *Node) accept(listener net.Listener, serve func(net.Conn)) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		n.mu.Lock()
		n.conns[conn] = struct{}{}
		n.mu.Unlock()
		n.routines.Go(func() {
			serve(conn)
			conn.Close()
			n.mu.Lock()
			defer n.mu.Unlock()
			delete(n.conns, conn)
			n.changed.Broadcast()
		})
	}
}

// ready waits while the node hangs, and tells whether the connection is still there.
func (n *Node) ready(conn net.Conn) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.hanging && n.alive(conn) {
		n.changed.Wait()
	}
	return n.alive(conn)
}

// alive tells whether a connection is there. n.mu is held.
func (n *Node) alive(conn net.Conn) bool {
	_, there := n.conns[conn]
	return there && !n.closed
}
