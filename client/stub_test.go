package client_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// stub is a node without queues. What it does on its n-th connection, counted from 0, is up
// to a function of the test; when that returns, the connection is closed.
type stub struct {
	t        testing.TB
	address  string
	listener net.Listener
	routines sync.WaitGroup
}

// stubConn is an authenticated connection at a stub. Its methods end the goroutine of the
// connection when they fail; failing is only reported if it was not the client that left.
type stubConn struct {
	t    testing.TB
	n    int
	conn *net.TCPConn
	in   []byte
}

// startStub starts a stub that lives until the end of the test.
func startStub(t testing.TB, serve func(*stubConn)) *stub {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stub{t: t, address: listener.Addr().String(), listener: listener}
	s.routines.Go(func() { s.accept(serve) })
	t.Cleanup(func() {
		listener.Close()
		s.routines.Wait()
	})
	return s
}

func (s *stub) accept(serve func(*stubConn)) {
	for n := 0; ; n++ {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		c := &stubConn{t: s.t, n: n, conn: conn.(*net.TCPConn)}
		s.routines.Go(func() {
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(2 * nodetest.Patience))
			if c.authenticate() {
				serve(c)
			}
		})
	}
}

type anyKey struct{}

func (anyKey) Key([]byte) (*wire.Key, bool) { return new(wire.Key), true }

func (c *stubConn) authenticate() bool {
	h := wire.Handshake{Keys: anyKey{}}
	for {
		n, out, done, err := h.Step(c.in, nil)
		c.in = c.in[n:]
		if err == nil && len(out) > 0 {
			_, err = c.conn.Write(out)
		}
		if done || err != nil {
			return err == nil
		}
		if !c.more() {
			return false
		}
	}
}

// more reads; false means that the client has gone.
func (c *stubConn) more() bool {
	buffer := make([]byte, 1<<16)
	n, err := c.conn.Read(buffer)
	c.in = append(c.in, buffer[:n]...)
	return err == nil
}

// read returns the next message; ok is false if the client has gone.
func (c *stubConn) read() (id uint64, payload []byte, ok bool) {
	for {
		id, payload, size, err := wire.Next(c.in, 1<<30)
		if err != nil {
			c.t.Errorf("message of the client: %v", err)
			return 0, nil, false
		}
		if size <= len(c.in) {
			payload = bytes.Clone(payload)
			c.in = c.in[size:]
			return id, payload, true
		}
		if !c.more() {
			return 0, nil, false
		}
	}
}

// expect reads a message and compares the payload, given in hexadecimal.
func (c *stubConn) expect(want string) (id uint64, ok bool) {
	id, payload, ok := c.read()
	if !ok {
		c.t.Errorf("connection %d: the client has gone, want % s", c.n, want)
		return id, false
	}
	if got := hex.EncodeToString(payload); got != strings.ReplaceAll(want, " ", "") {
		c.t.Errorf("connection %d: got message %s, want %s", c.n, got, want)
		return id, false
	}
	return id, true
}

// expectEnd waits for the client to close the connection without a message.
func (c *stubConn) expectEnd() {
	if id, payload, ok := c.read(); ok {
		c.t.Errorf("connection %d: got message % x on id %d, want the end", c.n, payload, id)
	}
}

// expectSilence makes sure that the client sends nothing for a while.
func (c *stubConn) expectSilence() {
	c.conn.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if c.more() || len(c.in) > 0 {
		c.t.Errorf("connection %d: got % x, want nothing yet", c.n, c.in)
	}
	c.conn.SetReadDeadline(time.Now().Add(2 * nodetest.Patience))
}

// send writes messages with these payloads, in hexadecimal.
func (c *stubConn) send(id uint64, payloads ...string) {
	var out []byte
	for _, payload := range payloads {
		b, err := hex.DecodeString(strings.ReplaceAll(payload, " ", ""))
		if err != nil {
			panic(err)
		}
		out = append(wire.AppendFramePrefix(out, id, len(b)), b...)
	}
	c.conn.Write(out) // the client may have gone
}

// records sends a batch.
func (c *stubConn) records(id uint64, values ...string) {
	var batch []byte
	for _, value := range values {
		batch = append(batch, fmt.Sprintf("%c\x00\x00\x00\x00\x00\x00\x00%s", len(value), value)...)
	}
	c.conn.Write(append(wire.AppendRecordsPrefix(nil, id, len(batch)), batch...))
}

// reset closes the connection with RST.
func (c *stubConn) reset() {
	c.conn.SetLinger(0)
	c.conn.Close()
}

// drain reads until the client has gone.
func (c *stubConn) drain() { io.Copy(io.Discard, c.conn) }

// Payloads in hexadecimal.
const (
	pushJobs = "01 03 01 0400000000000000 6a6f6273 0100000000000000 78" // "x" to jobs
	popJobs  = "02 01 0400000000000000 6a6f6273"
	consJobs = "06 04 0400000000000000 6a6f6273 0000000000000000"
)

// answerer is a stub that answers every request with these payloads.
func answerer(t testing.TB, payloads ...string) *stub {
	return startStub(t, func(c *stubConn) {
		for id, _, ok := c.read(); ok; id, _, ok = c.read() {
			c.send(id, payloads...)
		}
	})
}

// startListener starts a listener that accepts connections and says nothing.
func startListener(t testing.TB, accepted func()) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var routines sync.WaitGroup
	routines.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			accepted()
			routines.Go(func() {
				defer conn.Close()
				io.Copy(io.Discard, conn)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		routines.Wait()
	})
	return listener.Addr().String()
}
