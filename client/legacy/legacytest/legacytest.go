// Package legacytest plays a node for tests of legacy clients.
//
// The node has no queues. It plays its part of a dialogue in the notation of the protocol
// specification (legacy protocol spec §12.1), from which most dialogues are taken:
//
//	node := legacytest.Play(t, `
//		1> 02000000 0400000000000000 74657374
//		1< c8000000 0300000000000000 616263`)
//	c, err := legacy.New(legacy.Options{Nodes: []string{node.Addr}})
//
// It expects the bytes behind "1>" from the client, and sends those behind "1<". Steps
// are played in order; connections are numbered in the order in which they come. "1<EOF"
// closes a connection, "1>CLOSE" waits for the client to do so.
//
// A client begins each connection with a GetNumConnections to see whether it is served. The
// node answers it; it does not belong to the dialogue.
package legacytest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/vectors"
)

// patience is how long the node waits for a step of the client before the test fails.
const patience = 2 * time.Minute

// Node is a node playing its part.
type Node struct {
	Addr string        // of the listener
	Done chan struct{} // closed when all steps are played, or one has failed

	listener net.Listener
	conns    []*net.TCPConn // in the order of arrival
}

// Play starts a node for a dialogue. At the end of the test it waits for the dialogue to
// be finished and for the client to close its connections; the test fails if the client
// sent anything else than what the dialogue says.
func Play(t testing.TB, dialogue string) *Node {
	t.Helper()
	steps, err := parse(dialogue)
	if err != nil {
		t.Fatalf("dialogue: %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &Node{Addr: listener.Addr().String(), Done: make(chan struct{}), listener: listener}
	var failure error
	go func() {
		defer close(n.Done)
		if failure = n.play(steps); failure != nil {
			n.Close() // so that the client does not wait for what won't come
		}
	}()
	t.Cleanup(func() {
		<-n.Done
		if failure == nil {
			failure = n.expectNoMore()
		}
		n.Close()
		if failure != nil {
			t.Errorf("the client, seen from the node: %v", failure)
		}
	})
	return n
}

func parse(dialogue string) ([]vectors.Step, error) {
	parsed, err := vectors.Parse(strings.NewReader("D1 dialogue\n" + dialogue))
	if err != nil {
		return nil, err
	}
	return parsed[0].Steps, nil
}

func (n *Node) play(steps []vectors.Step) error {
	for _, step := range steps {
		conn, err := n.conn(step.Conn)
		if err == nil {
			err = playStep(conn, step)
		}
		if err != nil {
			return fmt.Errorf("%v: %w", step, err)
		}
	}
	return nil
}

// conn returns connection number i, after accepting it if it did not come yet.
func (n *Node) conn(i int) (*net.TCPConn, error) {
	for len(n.conns) < i {
		n.listener.(*net.TCPListener).SetDeadline(time.Now().Add(patience))
		conn, err := n.listener.Accept()
		if err != nil {
			return nil, err
		}
		n.conns = append(n.conns, conn.(*net.TCPConn))
		if err := greet(conn); err != nil {
			return nil, fmt.Errorf("the GetNumConnections of a new connection: %w", err)
		}
	}
	return n.conns[i-1], nil
}

// greet answers the first request of a connection.
func greet(conn net.Conn) error {
	conn.SetDeadline(time.Now().Add(patience))
	if err := expect(conn, wire.AppendCommand(nil, wire.GetNumConnections)); err != nil {
		return err
	}
	_, err := conn.Write(wire.AppendStatus(nil, wire.NotSupported))
	return err
}

func playStep(conn *net.TCPConn, step vectors.Step) error {
	conn.SetDeadline(time.Now().Add(patience))
	switch step.Action {
	case vectors.Send:
		return expect(conn, step.Data)
	case vectors.Expect:
		_, err := conn.Write(step.Data)
		return err
	case vectors.ExpectEOF:
		return conn.Close()
	case vectors.Finish, vectors.Close:
		return expectEnd(conn)
	}
	return nil // NONE: what the node does not do
}

func expect(conn net.Conn, want []byte) error {
	got := make([]byte, len(want))
	n, err := io.ReadFull(conn, got)
	switch {
	case err != nil:
		return fmt.Errorf("%w after %d bytes: %x", err, n, got[:min(n, 64)])
	case !bytes.Equal(got, want):
		return fmt.Errorf("got %x", got[:min(n, 64)])
	}
	return nil
}

func expectEnd(conn net.Conn) error {
	var rest [64]byte
	n, err := conn.Read(rest[:])
	if n > 0 {
		return fmt.Errorf("got %x, want nothing more", rest[:n])
	}
	if err != io.EOF && !errors.Is(err, syscall.ECONNRESET) { // a reset if it left bytes unread
		return fmt.Errorf("got %w, want the connection to be closed", err)
	}
	return nil
}

// expectNoMore checks that the client has closed what is still open, and sent nothing on
// it.
func (n *Node) expectNoMore() error {
	n.listener.Close()
	for i, conn := range n.conns {
		conn.SetDeadline(time.Now().Add(patience))
		if err := expectEnd(conn); err != nil && !errors.Is(err, net.ErrClosed) { // the node closed it
			return fmt.Errorf("connection %d, at the end: %w", i+1, err)
		}
	}
	return nil
}

// Close closes the listener and all connections, as a node that stops. Call it only when
// Done is closed.
func (n *Node) Close() {
	n.listener.Close()
	for _, conn := range n.conns {
		conn.Close()
	}
}
