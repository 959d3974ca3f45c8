package legacy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/dmq"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy/legacytest"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
)

func TestIdleConnectionClosedByTheNodeIsReplaced(t *testing.T) {
	node := legacytest.Play(t, `
		1> 01000000 0400000000000000 74657374 0300000000000000 616263
		1< c8000000
		1<EOF
		2> 01000000 0400000000000000 74657374 0300000000000000 616263
		2< c8000000`)
	client, err := connect(t.Context(), node.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Push(t.Context(), []byte("abc"), "test"); err != nil {
		t.Fatal(err)
	}
	for giveUp := time.Now().Add(10 * time.Second); alive(client.all()[0].idle[0].Conn); { // until the FIN is here
		if time.Now().After(giveUp) {
			t.Fatal("the end of the idle connection was not noticed")
		}
	}
	if err := client.Push(t.Context(), []byte("abc"), "test"); err != nil {
		t.Errorf("Push over a connection that died while idle: %v", err)
	}
}

// serve answers the requests of any number of connections until the end of the test.
func serve(t testing.TB, answer func(*bufio.Reader, io.Writer) error) (addr string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for r := bufio.NewReader(conn); answer(r, conn) == nil; {
				}
			}()
		}
	}()
	return listener.Addr().String()
}

func TestConcurrentRequestsGetTheirOwnAnswers(t *testing.T) {
	// A node that returns the name of the channel from every Pop.
	addr := serve(t, func(r *bufio.Reader, w io.Writer) error {
		arrays, err := readRequest(r, w)
		if err != nil || arrays == nil {
			return err
		}
		answer := wire.AppendArray([]byte{0xc8, 0, 0, 0}, arrays[0])
		_, err = w.Write(answer)
		return err
	})
	client, err := connect(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var group sync.WaitGroup
	for i := range 20 {
		channel := string(rune('a' + i))
		group.Go(func() {
			for range 50 {
				value, err := client.Pop(t.Context(), channel)
				if err != nil || string(value) != channel {
					t.Errorf("Pop %s: got %q, %v", channel, value, err)
				}
			}
		})
	}
	group.Wait()
	if n := client.Nodes()[0].Idle; n < 1 || n > dmq.DefaultMaxIdle {
		t.Errorf("idle connections: got %d, want 1 to %d", n, dmq.DefaultMaxIdle)
	}
	client.Close()
	if _, err := client.Pop(t.Context(), "a"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Pop after Close: got %v, want %v", err, net.ErrClosed)
	}
}

// connect returns a client that is connected to the one node at addr.
func connect(ctx context.Context, addr string) (*Client, error) {
	c, err := New(Options{Nodes: []string{addr}, AtMostOnce: true})
	if err != nil {
		return nil, err
	}
	if err := c.WaitConnected(ctx, 0); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// endless is a connection whose node has sent everything it will ever send, and takes all.
type endless struct {
	net.Conn
	io.Reader
}

func (s endless) Read(b []byte) (int, error)    { return s.Reader.Read(b) }
func (s endless) Write(b []byte) (int, error)   { return len(b), nil }
func (s endless) SetDeadline(t time.Time) error { return nil }
func (s endless) Close() error                  { return nil }

func TestProducerPushAllocatesNothing(t *testing.T) {
	c, err := New(Options{Nodes: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p := c.newProducer(ProducerOptions{}) // and nobody takes the blocks
	record, channels := bytes.Repeat([]byte("x"), 100), []string{"jobs"}
	n := testing.AllocsPerRun(10000, func() {
		if err := p.Push(t.Context(), record, channels...); err != nil {
			t.Fatal(err)
		}
		p.Lock()
		b := p.blocks[0]
		p.blocks = p.blocks[:0]
		p.Unlock()
		p.settle(b, nil)
	})
	if n != 0 {
		t.Errorf("allocations for each record: got %v, want 0", n)
	}
}

// FuzzAnswer: whatever a node sends, the client reads no more out of it than is there,
// and accepts nothing longer than 10 MiB.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("\xc8\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00abc"))
	f.Add([]byte("\xc8\x00\x00\x00\x01\x00\xa0\x00\x00\x00\x00\x00"))
	f.Add([]byte("\xc8\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Add([]byte("\xf4\x01"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		cn := newConn(endless{Reader: bytes.NewReader(sent)})
		if _, err := cn.readStatus(); err != nil {
			if len(sent) >= 4 {
				t.Fatalf("status of %x: %v", sent, err)
			}
			return
		}
		rest := sent[4:]
		for {
			value, err := cn.readArray()
			if err != nil {
				return
			}
			if len(rest) < 8 || !bytes.Equal(rest[8:][:len(value)], value) {
				t.Fatalf("got %x out of %x", value, rest)
			}
			rest = rest[8+len(value):]
		}
	})
}
