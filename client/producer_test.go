package client_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
)

// newProducer returns a producer that is closed at the end of the test, whatever is pending.
func newProducer(t testing.TB, c *client.Client, options client.ProducerOptions) client.Producer {
	t.Helper()
	p := c.Producer(options)
	t.Cleanup(func() { p.Close(ended()) })
	return p
}

// ended returns a context that has ended.
func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func produce(t testing.TB, p client.Producer, channel string, values ...string) {
	t.Helper()
	for _, value := range values {
		if err := p.Push(patient(t), []byte(value), channel); err != nil {
			t.Fatal(err)
		}
	}
}

func TestProducer(t *testing.T) {
	c := connect(t, startNodes(t, 3)...)
	var stored atomic.Int32
	p := newProducer(t, c, client.ProducerOptions{
		MaxPendingRecords: 100,
		OnStored:          func([]byte, []string) { stored.Add(1) },
	})
	values := numbered(3000)
	ctx := patient(t)
	buffer := []byte{}
	for _, value := range values {
		buffer = append(buffer[:0], value...) // Push keeps no slice
		if err := p.Push(ctx, buffer, "jobs", "copies"); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if s := p.State(); s.Stored != 3000 || s.Pending != 0 || s.PendingBytes != 0 || s.Failed != 0 || stored.Load() != 3000 {
		t.Errorf("got state %+v and %d stored, want 3000 stored and nothing else", s, stored.Load())
	}
	wantError(t, p.Push(ctx, nil, "jobs"), client.ErrClosed)
	wantValues(t, popAll(t, c, "jobs"), values)
	wantValues(t, popAll(t, c, "copies"), values)
}

// Records of one goroutine arrive in their order, also when the connection is full all the
// time.
func TestProducerOrder(t *testing.T) {
	nodes := startNodes(t, 1)
	c := newClient(t, client.Options{Nodes: []string{nodes[0].Neo()}, MaxRequests: 7})
	waitConnected(t, c, 1)
	p := newProducer(t, c, client.ProducerOptions{MaxPendingRecords: 50})
	values := numbered(2000)
	produce(t, p, "jobs", values...)
	if err := p.Close(patient(t)); err != nil {
		t.Fatal(err)
	}
	for _, want := range values {
		if got, err := c.Pop(patient(t), "jobs"); err != nil || string(got) != want {
			t.Fatalf("got %q, error %v, want %q", got, err, want)
		}
	}
}

// Push waits while the producer is full, by number or by size.
func TestProducerWaits(t *testing.T) {
	for name, options := range map[string]client.ProducerOptions{
		"records": {MaxPendingRecords: 2},
		"bytes":   {MaxPendingBytes: 2*1000 + 2*268},
	} {
		t.Run(name, func(t *testing.T) {
			answer := make(chan struct{})
			c := connectStubs(t, client.Options{}, startStub(t, func(c *stubConn) {
				for id, _, ok := c.read(); ok; id, _, ok = c.read() {
					<-answer
					c.send(id, "fd", "01")
				}
			}))
			p := newProducer(t, c, options)
			value := make([]byte, 1000)
			for range 2 {
				if err := p.Push(patient(t), value, "jobs"); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
			defer cancel()
			wantError(t, p.Push(ctx, value, "jobs"), context.DeadlineExceeded)
			wantError(t, p.Flush(ctx), context.DeadlineExceeded)
			pushed := make(chan error)
			go func() { pushed <- p.Push(patient(t), value, "jobs") }()
			close(answer)
			if err := <-pushed; err != nil {
				t.Error(err)
			}
			if err := p.Close(patient(t)); err != nil {
				t.Error(err)
			}
			if s := p.State(); s.Stored != 3 {
				t.Errorf("got state %+v, want 3 stored", s)
			}
		})
	}
	// What is larger than all the room gets in alone, so that MaxMessage is the only limit.
	c := newClient(t, client.Options{Nodes: []string{"127.0.0.1:1"}, MaxMessage: 100_000})
	p := newProducer(t, c, client.ProducerOptions{MaxPendingBytes: 1000})
	wantError(t, p.Push(patient(t), make([]byte, 100_000), "jobs"), client.ErrTooLarge)
	wantError(t, p.Push(patient(t), nil), client.ErrNoChannels)
	if err := p.Push(patient(t), make([]byte, 90_000), "jobs"); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Millisecond)
	defer cancel()
	wantError(t, p.Push(ctx, nil, "jobs"), context.DeadlineExceeded)
}

// What fails at every node is reported: to the hook one by one, by Flush in sum.
func TestProducerGivesUp(t *testing.T) {
	tests := []struct {
		name    string
		options client.Options
		node    func(*testing.T) *stub
		want    error
	}{
		{"node error", client.Options{}, func(t *testing.T) *stub { return answerer(t, "fd", "02") }, client.ErrNodeError},
		{"unsupported", client.Options{}, func(t *testing.T) *stub { return answerer(t, "ff") }, client.ErrUnsupported},
		{"broken connection", client.Options{AtMostOnce: true}, func(t *testing.T) *stub { return breaker(t, new(atomic.Int32), (*stubConn).reset) }, client.ErrUncertain},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := connectStubs(t, test.options, test.node(t))
			var mu sync.Mutex
			var failed []string
			p := newProducer(t, c, client.ProducerOptions{
				Retry: -1,
				OnError: func(value []byte, channels []string, err error) {
					mu.Lock()
					defer mu.Unlock()
					failed = append(failed, fmt.Sprintf("%s to %s", value, channels))
					if !errors.Is(err, test.want) {
						t.Errorf("got error %v, want %v", err, test.want)
					}
				},
			})
			produce(t, p, "jobs", "x")
			var e *client.ProduceError
			if err := p.Flush(patient(t)); !errors.As(err, &e) || e.Failed != 1 || !errors.Is(err, test.want) {
				t.Errorf("Flush: got %v, want one record and %v", err, test.want)
			}
			if err := p.Flush(patient(t)); err != nil {
				t.Errorf("second Flush: got %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			wantValues(t, failed, []string{"x to [jobs]"})
		})
	}
}

// A record that failed everywhere is tried again, as long as Retry allows.
func TestProducerTriesAgain(t *testing.T) {
	var requests atomic.Int32
	c := connectStubs(t, client.Options{}, startStub(t, func(c *stubConn) {
		for id, _, ok := c.read(); ok; id, _, ok = c.read() {
			switch requests.Add(1) {
			case 1:
				c.send(id, "fd", "02")
			case 2:
				return
			default:
				c.send(id, "fd", "01")
			}
		}
	}))
	p := newProducer(t, c, client.ProducerOptions{})
	produce(t, p, "jobs", "x")
	if err := p.Flush(patient(t)); err != nil {
		t.Error(err)
	}
	if s := p.State(); s.Stored != 1 || s.Retried < 2 {
		t.Errorf("got state %+v, want one stored after being tried again twice", s)
	}
	refusing := connectStubs(t, client.Options{}, answerer(t, "fd", "02"))
	p = newProducer(t, refusing, client.ProducerOptions{Retry: time.Millisecond})
	produce(t, p, "jobs", "x")
	wantError(t, p.Flush(patient(t)), client.ErrNodeError)
}

// Records pushed before any node is connected are stored when one is.
func TestProduceBeforeConnected(t *testing.T) {
	node := startNodes(t, 1)[0]
	address := node.Neo()
	node.Stop()
	c := newClient(t, client.Options{Nodes: []string{address}})
	p := newProducer(t, c, client.ProducerOptions{})
	values := numbered(1000)
	produce(t, p, "jobs", values...)
	node.Restart()
	if err := p.Close(patient(t)); err != nil {
		t.Fatal(err)
	}
	wantValues(t, popAll(t, c, "jobs"), values)
}

// Close with a context that ends gives up what is not sent, and leaves nothing behind.
func TestProducerClose(t *testing.T) {
	c := newClient(t, client.Options{Nodes: []string{"127.0.0.1:1"}})
	var failed atomic.Int32
	p := c.Producer(client.ProducerOptions{MaxPendingRecords: 3, OnError: func(_ []byte, _ []string, err error) {
		failed.Add(1)
		if !errors.Is(err, client.ErrClosed) {
			t.Errorf("got error %v, want ErrClosed", err)
		}
	}})
	produce(t, p, "jobs", "a", "b", "c")
	blocked := make(chan error)
	go func() { blocked <- p.Push(patient(t), nil, "jobs") }()
	wantError(t, p.Close(ended()), context.Canceled)
	wantError(t, <-blocked, client.ErrClosed)
	if failed.Load() != 3 {
		t.Errorf("got %d records given up, want 3", failed.Load())
	}
	wantError(t, p.Close(patient(t)), client.ErrClosed) // tells what the first call could not
}

// A record that is under way when its producer is closed is reported when its fate is known,
// and not tried again.
func TestProducerClosedUnderWay(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	refuse := func(c *stubConn) {
		if id, _, ok := c.read(); ok {
			close(asked)
			<-answer
			c.send(id, "fd", "02")
			c.expectEnd()
		}
	}
	c := connectStubs(t, client.Options{}, startStub(t, refuse))
	failed := make(chan error, 1)
	p := c.Producer(client.ProducerOptions{OnError: func(_ []byte, _ []string, err error) { failed <- err }})
	produce(t, p, "jobs", "x")
	<-asked
	wantError(t, p.Close(ended()), context.Canceled)
	if s := p.State(); s.Pending != 1 {
		t.Errorf("got state %+v, want one pending", s)
	}
	close(answer)
	wantError(t, <-failed, client.ErrNodeError)
	eventually(t, "nothing is pending", func() bool { return p.State().Pending == 0 })
}

// Closing the client ends its producers: who waits is woken, what is pending is given up.
func TestCloseClientWithProducer(t *testing.T) {
	asked := make(chan struct{})
	c := connectStubs(t, client.Options{}, startStub(t, func(c *stubConn) {
		c.read()
		close(asked)
		c.drain()
	}))
	p := c.Producer(client.ProducerOptions{MaxPendingRecords: 1})
	produce(t, p, "jobs", "x")
	<-asked
	blocked, flushed := make(chan error), make(chan error)
	go func() { blocked <- p.Push(patient(t), nil, "jobs") }()
	go func() { flushed <- p.Flush(patient(t)) }()
	eventually(t, "somebody waits", func() bool { return p.State().Pending == 1 })
	c.Close()
	wantError(t, <-blocked, client.ErrClosed)
	wantError(t, <-flushed, client.ErrUncertain)
}

// Flush waits for what was pushed before it, and not for what others push meanwhile.
func TestFlushWhileOthersPush(t *testing.T) {
	c := connect(t, startNodes(t, 1)...)
	p := newProducer(t, c, client.ProducerOptions{})
	done := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := p.Push(patient(t), []byte("other"), "others"); err != nil {
				t.Error(err)
				return
			}
		}
	})
	values := numbered(50)
	for i, value := range values {
		produce(t, p, "jobs", value)
		if err := p.Flush(patient(t)); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Pop(patient(t), "jobs"); err != nil || string(got) != values[i] {
			t.Fatalf("after Flush: got %q, error %v, want %q", got, err, values[i])
		}
	}
	close(done)
	group.Wait()
}
