package client_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/dmq"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// What both clients do the same way, tried with both.
func eachProtocol(t *testing.T, test func(t *testing.T, address func(*nodetest.Node) string, open func(dmq.Options) dmq.Client)) {
	open := func(t *testing.T, make func(dmq.Options) (dmq.Client, error)) func(dmq.Options) dmq.Client {
		return func(options dmq.Options) dmq.Client {
			options.Credentials = credentials
			c, err := make(options)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return c
		}
	}
	t.Run("neo", func(t *testing.T) {
		test(t, (*nodetest.Node).Neo, open(t, func(o dmq.Options) (dmq.Client, error) { return client.New(o) }))
	})
	t.Run("legacy", func(t *testing.T) {
		test(t, (*nodetest.Node).Legacy, open(t, func(o dmq.Options) (dmq.Client, error) { return legacy.New(o) }))
	})
}

// A nodes file that changes brings nodes and takes them away, for requests, producers and
// consumers that are there; one with a fault changes nothing.
func TestNodesFileIsReadAgain(t *testing.T) {
	eachProtocol(t, func(t *testing.T, address func(*nodetest.Node) string, open func(dmq.Options) dmq.Client) {
		a, b := nodetest.Start(t), nodetest.Start(t)
		file := filepath.Join(t.TempDir(), "nodes")
		write := func(lines ...string) {
			t.Helper()
			if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(address(a))
		c := open(dmq.Options{NodesFile: file})
		p := c.Producer(dmq.ProducerOptions{})
		consumer, err := c.Consume(patient(t), "jobs", dmq.ConsumeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer consumer.Close()
		if err := consumer.WaitStarted(patient(t), 1); err != nil {
			t.Fatal(err)
		}
		write(address(a), address(b), "# longer")
		eventually(t, "two nodes", func() bool { return len(c.Nodes()) == 2 })
		if err := errors.Join(c.WaitConnected(patient(t), 2), consumer.WaitStarted(patient(t), 2)); err != nil {
			t.Fatal(err)
		}
		write(address(b))
		eventually(t, "one node", func() bool { return len(c.Nodes()) == 1 })
		write("not an address")
		for range 10 {
			err := errors.Join(p.Push(patient(t), []byte("x"), "jobs"), c.Push(patient(t), []byte("x"), "jobs"))
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Close(patient(t)); err != nil {
			t.Fatal(err)
		}
		states := c.Nodes()
		if len(states) != 1 || states[0].Address != address(b) || states[0].Pushed != 20 {
			t.Errorf("got %+v, want 20 records at %s", states, address(b))
		}
		got := 0
		for record, err := range consumer.Records() {
			if err != nil || record.Node != address(b) {
				t.Fatalf("got %+v, error %v", record, err)
			}
			if got++; got == 20 {
				break
			}
		}
	})
}

// Whoever connects to the port of the other protocol is told so.
func TestWrongPort(t *testing.T) {
	eachProtocol(t, func(t *testing.T, address func(*nodetest.Node) string, open func(dmq.Options) dmq.Client) {
		node := nodetest.Start(t)
		other, text := node.Neo(), "this is the neo port"
		if address(node) == other {
			other, text = node.Legacy(), "this is the legacy port"
		}
		c := open(dmq.Options{Nodes: []string{other}})
		eventually(t, text, func() bool { return errors.Is(c.Nodes()[0].Err, dmq.ErrWrongPort) })
		err := c.Push(patient(t), []byte("x"), "jobs")
		wantError(t, err, dmq.ErrNotConnected)
		wantText(t, err, text)
	})
}

// All connections are made with Options.Dial.
func TestDial(t *testing.T) {
	eachProtocol(t, func(t *testing.T, address func(*nodetest.Node) string, open func(dmq.Options) dmq.Client) {
		node := nodetest.Start(t)
		var dialled atomic.Int64
		c := open(dmq.Options{
			Nodes: []string{"queue.invalid:1"},
			Dial: func(ctx context.Context, network, to string) (net.Conn, error) {
				if network != "tcp" || to != "queue.invalid:1" {
					t.Errorf("dialling %s %s", network, to)
				}
				dialled.Add(1)
				var d net.Dialer
				return d.DialContext(ctx, network, address(node))
			},
		})
		if err := c.WaitConnected(patient(t), 0); err != nil {
			t.Fatal(err)
		}
		if err := c.Push(patient(t), []byte("x"), "jobs"); err != nil {
			t.Fatal(err)
		}
		consumer, err := c.Consume(patient(t), "jobs", dmq.ConsumeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer consumer.Close()
		for _, err := range consumer.Records() {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		if s := c.Nodes()[0]; dialled.Load() == 0 || s.Connects != uint64(dialled.Load()) {
			t.Errorf("dialled %d times, got %+v", dialled.Load(), s)
		}
	})
}

// The hook gets every request with its outcome, and a handler the context that it returns.
func TestOnRequest(t *testing.T) {
	eachProtocol(t, func(t *testing.T, address func(*nodetest.Node) string, open func(dmq.Options) dmq.Client) {
		type key struct{}
		var ended []string
		c := open(dmq.Options{
			Nodes: []string{address(nodetest.Start(t))},
			OnRequest: dmq.Hooks(nil, func(ctx context.Context, r dmq.Request) (context.Context, func(error)) {
				return context.WithValue(ctx, key{}, r.Name), func(err error) {
					ended = append(ended, r.Name+" "+r.Channel+" "+map[bool]string{true: "ok", false: "failed"}[err == nil])
				}
			}),
		})
		if err := c.WaitConnected(patient(t), 0); err != nil {
			t.Fatal(err)
		}
		c.Push(patient(t), []byte("x"), "jobs")
		c.Push(patient(t), []byte("y"), "jobs")
		c.Pop(patient(t), "jobs")
		c.Pop(patient(t), "no.name")
		consumer, err := c.Consume(patient(t), "jobs", dmq.ConsumeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer consumer.Close()
		consumer.Each(func(ctx context.Context, r dmq.Record) error {
			if ctx.Value(key{}) != "Handle" || string(r.Value) != "y" {
				t.Errorf("got record %q, context %v", r.Value, ctx)
			}
			return context.Canceled
		})
		want := []string{"Push jobs ok", "Push jobs ok", "Pop jobs ok", "Pop no.name failed", "Handle jobs failed"}
		wantValues(t, ended, want)
	})
}

// A producer whose records wait says so, and why.
func TestProducerSaysWhyRecordsWait(t *testing.T) {
	eachProtocol(t, func(t *testing.T, _ func(*nodetest.Node) string, open func(dmq.Options) dmq.Client) {
		c := open(dmq.Options{Nodes: []string{"127.0.0.1:1"}})
		said := make(chan error, 1)
		p := c.Producer(dmq.ProducerOptions{OnWait: func(reason error) {
			select {
			case said <- reason:
			default:
			}
		}})
		if err := p.Push(patient(t), []byte("x"), "jobs"); err != nil {
			t.Fatal(err)
		}
		wantError(t, <-said, dmq.ErrNotConnected)
		if s := p.State(); !errors.Is(s.Waiting, dmq.ErrNotConnected) || s.WaitingSince.IsZero() || s.Pending != 1 {
			t.Errorf("got %+v, want one that waits", s)
		}
	})
	refuser := answerer(t, "fd", "02")
	p := newProducer(t, newClient(t, client.Options{Nodes: []string{refuser.address}}), client.ProducerOptions{})
	if err := p.Push(patient(t), nil, "jobs"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the refusal is the reason", func() bool { return errors.Is(p.State().Waiting, client.ErrNodeError) })
}
