package client

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// newTestLink returns the link to a node that can't be connected to.
func newTestLink(t *testing.T, limit time.Duration) *link {
	return newTestLinkBy(t, limit, func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
}

// newTestLinkBy returns the link to a node that is connected to by dial.
func newTestLinkBy(t *testing.T, limit time.Duration, dial func(ctx context.Context, network, address string) (net.Conn, error)) *link {
	c, err := New(Options{Nodes: []string{"pipe:1"}, Credentials: Credentials{Name: "test"}, RequestTimeout: limit, Dial: dial})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.cluster.All()[0].Link.(*link)
}

// A connection is given up when the node is silent for RequestTimeout while a request waits,
// and not because it is idle, or slow but heard of.
func TestStalledConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLink(t, time.Minute)
		near, far := net.Pipe()
		c := newConn(l, near)
		l.watched = c
		c.start()
		go l.Watch(t.Context())
		go io.Copy(io.Discard, far)
		wait := func(d time.Duration, broken bool) {
			t.Helper()
			time.Sleep(d)
			synctest.Wait()
			select {
			case <-c.broken:
				if !broken {
					t.Fatalf("the connection is given up: %v", c.err)
				}
			default:
				if broken {
					t.Fatal("the connection is not given up")
				}
			}
		}
		wait(time.Hour, false) // idle

		s := newSingle(wire.CodePush)
		if err := c.push(&s.call, nil, []string{"jobs"}); err != nil {
			t.Fatal(err)
		}
		for range 100 {
			wait(59*time.Second, false)
			far.Write(wire.AppendSupport(nil, 99, wire.Supported)) // of somebody else's request
		}
		wait(59*time.Second, false)
		wait(30*time.Second, true)
		if <-s.done; !errors.Is(s.err, ErrUncertain) {
			t.Errorf("got error %v, want ErrUncertain", s.err)
		}
		c.routines.Wait()
		far.Close()
	})
}

// What is not handed to the kernel yet when the connection breaks has not reached the node.
func TestUnsentIsNotUncertain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLink(t, 0)
		near, far := net.Pipe() // nobody reads: the first write does not end
		c := newConn(l, near)
		c.start()
		first, second := newSingle(wire.CodePush), newSingle(wire.CodePush)
		for _, s := range []*single{first, second} {
			if err := c.push(&s.call, nil, []string{"jobs"}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		far.Close()
		if <-first.done; !errors.Is(first.err, ErrUncertain) {
			t.Errorf("first: got error %v, want ErrUncertain", first.err)
		}
		if <-second.done; !errors.Is(second.err, ErrDisconnected) || errors.Is(second.err, ErrUncertain) {
			t.Errorf("second: got error %v, want ErrDisconnected and not ErrUncertain", second.err)
		}
		if err := c.push(&newSingle(wire.CodePush).call, nil, []string{"jobs"}); err != errBroken {
			t.Errorf("push on a broken connection: got error %v, want errBroken", err)
		}
		c.routines.Wait()
	})
}

// The input buffer follows large messages up and down again.
func TestInput(t *testing.T) {
	var in input
	in.maxBody = 16 << 20
	large := make([]byte, 5<<20)
	stream := append(wire.AppendPoppedPrefix(nil, 1, len(large)), large...)
	stream = append(wire.AppendPoppedPrefix(stream, 2, 5), "small"...)
	ids := []uint64{}
	for len(stream) > 0 {
		n := copy(in.space(), stream)
		stream = stream[n:]
		in.filled(n)
		for {
			id, payload, ok, err := in.next()
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			if _, value, err := wire.ParsePopReply(payload); err != nil || id == 1 && len(value) != len(large) || id == 2 && string(value) != "small" {
				t.Errorf("id %d: got %d bytes, error %v", id, len(value), err)
			}
			ids = append(ids, id)
		}
	}
	if len(ids) != 2 || ids[0] != 1 || ids[1] != 2 {
		t.Errorf("got ids %v, want 1 and 2", ids)
	}
	if in.space(); len(in.buffer) != readSize {
		t.Errorf("got a buffer of %d bytes afterwards, want %d", len(in.buffer), readSize)
	}
	in.filled(copy(in.space(), wire.AppendFramePrefix(nil, 1, 16<<20)))
	if _, _, _, err := in.next(); !errors.Is(err, wire.ErrLength) {
		t.Errorf("message too large: got error %v, want ErrLength", err)
	}
}

// A node that takes nothing in makes the client hold only so much: then there is no room
// until the writer has taken what waits.
func TestOutIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTestLink(t, 0)
		near, far := net.Pipe()
		c := newConn(l, near)
		c.start()
		push := func() error {
			err := c.push(&newSingle(wire.CodePush).call, make([]byte, maxOut), []string{"jobs"})
			synctest.Wait()
			return err
		}
		if err := push(); err != nil { // the writer has it
			t.Error(err)
		}
		if err := push(); err != nil { // waits for the writer
			t.Error(err)
		}
		change := l.client.cluster.Change.Wait()
		if err := push(); err != errFull {
			t.Errorf("got error %v, want errFull", err)
		}
		go io.Copy(io.Discard, far)
		<-change
		if err := push(); err != nil {
			t.Error(err)
		}
		far.Close()
		c.routines.Wait()
	})
}
