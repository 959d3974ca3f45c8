package client_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
)

// connectStubs returns a client that is connected to all of the stubs.
func connectStubs(t testing.TB, options client.Options, stubs ...*stub) *client.Client {
	t.Helper()
	for _, s := range stubs {
		options.Nodes = append(options.Nodes, s.address)
	}
	c := newClient(t, options)
	waitConnected(t, c, len(stubs))
	return c
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		name    string
		answer  []string
		push    error
		pop     error
		problem string
	}{
		{"node error", []string{"fd", "02"}, client.ErrNodeError, client.ErrEmpty, ""},
		{"unknown request", []string{"ff"}, client.ErrUnsupported, client.ErrUnsupported, ""},
		{"unknown version", []string{"fe"}, client.ErrUnsupported, client.ErrUnsupported, "in this version"},
		{"unknown support status", []string{"07"}, client.ErrNodeError, client.ErrNodeError, "7"},
		{"status 3", []string{"fd", "03"}, client.ErrNodeError, client.ErrNodeError, ""},
		{"status 4", []string{"fd", "04"}, client.ErrNodeError, client.ErrHasSubscribers, ""},
		{"status -1", []string{"fd", "ff"}, client.ErrNodeError, client.ErrNodeError, "-1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := connectStubs(t, client.Options{}, answerer(t, test.answer...), answerer(t, test.answer...))
			push := c.Push(patient(t), []byte("x"), "jobs")
			wantError(t, push, test.push)
			wantText(t, push, test.problem)
			_, pop := c.Pop(patient(t), "jobs")
			wantError(t, pop, test.pop)
			if test.pop != client.ErrEmpty {
				wantText(t, pop, c.Nodes()[0].Address)
				wantText(t, pop, c.Nodes()[1].Address)
			}
		})
	}
}

// After a node that refuses, the next one is asked.
func TestNextNode(t *testing.T) {
	c := connectStubs(t, client.Options{}, answerer(t, "fd", "02"), answerer(t, "fd", "01"))
	for range 4 {
		if err := c.Push(patient(t), []byte("x"), "jobs"); err != nil {
			t.Error(err)
		}
	}
	c = connectStubs(t, client.Options{}, answerer(t, "fd", "04"), answerer(t, "fd", "01 0100000000000000 79"))
	for range 4 {
		if got, err := c.Pop(patient(t), "jobs"); err != nil || string(got) != "y" {
			t.Errorf("got %q, error %v, want y", got, err)
		}
	}
}

// One node is empty, the other fails: that is not empty.
func TestFailureIsNotEmpty(t *testing.T) {
	c := connectStubs(t, client.Options{}, answerer(t, "fd", "02"), answerer(t, "fd", "03"))
	for range 2 {
		_, err := c.Pop(patient(t), "jobs")
		wantError(t, err, client.ErrNodeError)
		if errors.Is(err, client.ErrEmpty) {
			t.Errorf("got %v, which is empty too", err)
		}
	}
}

// A node that is not connected does not keep Pop from finding the channel empty.
func TestEmptyWithANodeDown(t *testing.T) {
	c := newClient(t, client.Options{Nodes: []string{answerer(t, "fd", "02").address, "127.0.0.1:1"}})
	waitConnected(t, c, 1)
	_, err := c.Pop(patient(t), "jobs")
	wantError(t, err, client.ErrEmpty)
}

// breaker is a stub that breaks every connection at its first request, and counts them.
func breaker(t testing.TB, requests *atomic.Int32, end func(*stubConn)) *stub {
	return startStub(t, func(c *stubConn) {
		if _, _, ok := c.read(); ok {
			requests.Add(1)
			end(c)
		}
	})
}

// A connection that breaks before the answer, by FIN, RST or nonsense, makes Push and Pop
// go on to the next node.
func TestConnectionBreaks(t *testing.T) {
	ends := map[string]func(*stubConn){
		"FIN":              func(c *stubConn) {},
		"RST":              func(c *stubConn) { c.reset() },
		"FIN after fd":     func(c *stubConn) { c.send(1, "fd") },
		"malformed header": func(c *stubConn) { c.conn.Write(make([]byte, 10)); c.drain() },
		"long status":      func(c *stubConn) { c.send(1, "fd 01"); c.drain() },
		"too large":        func(c *stubConn) { c.conn.Write([]byte{1, 0, 0, 0, 1, 0, 0, 0, 0, 0}); c.drain() },
		"request id 0":     func(c *stubConn) { c.send(0, "fd"); c.drain() },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			var broken atomic.Int32
			c := connectStubs(t, client.Options{MaxMessage: 1 << 20}, breaker(t, &broken, end), answerer(t, "fd", "01"))
			for broken.Load() == 0 {
				if err := c.Push(patient(t), []byte("x"), "jobs"); err != nil {
					t.Fatal(err)
				}
			}
			waitConnected(t, c, 2) // again
			if connects := c.Nodes()[0].Connects; connects < 2 {
				t.Errorf("got %d connects, want at least 2", connects)
			}
		})
	}
}

func TestUncertain(t *testing.T) {
	var first, other atomic.Int32
	c := connectStubs(t, client.Options{AtMostOnce: true}, breaker(t, &first, (*stubConn).reset), breaker(t, &other, func(*stubConn) {}))
	err := c.Push(patient(t), []byte("x"), "jobs")
	wantError(t, err, client.ErrUncertain)
	wantError(t, err, client.ErrDisconnected)
	if n := first.Load() + other.Load(); n != 1 {
		t.Errorf("AtMostOnce: got %d requests, want 1", n)
	}
	waitConnected(t, c, 2)
	_, err = c.Pop(patient(t), "jobs")
	wantError(t, err, client.ErrUncertain)
	if n := first.Load() + other.Load(); n != 3 {
		t.Errorf("Pop: got %d requests, want 2", n-1)
	}
	c = connectStubs(t, client.Options{}, breaker(t, &first, (*stubConn).reset))
	wantError(t, c.Push(patient(t), []byte("x"), "jobs"), client.ErrUncertain)
}

// The answer to a request whose context has ended comes later and disturbs nobody.
func TestContextEndsBeforeAnswer(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	c := connectStubs(t, client.Options{}, startStub(t, func(c *stubConn) {
		first, _ := c.expect(pushJobs)
		close(asked)
		<-answer
		second, _ := c.expect(popJobs)
		if first == second {
			t.Errorf("got id %d again before its answer", first)
		}
		c.send(first, "fd", "01")
		c.send(77, "fd") // nobody's: discarded
		c.send(second, "fd", "01 0100000000000000 79")
		third, _ := c.expect(popJobs)
		c.send(third, "fd", "02")
		c.expectEnd()
	}))
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		<-asked
		cancel()
	}()
	err := c.Push(ctx, []byte("x"), "jobs")
	wantError(t, err, context.Canceled)
	wantError(t, err, client.ErrUncertain)
	close(answer)
	if got, err := c.Pop(patient(t), "jobs"); err != nil || string(got) != "y" {
		t.Errorf("got %q, error %v, want y", got, err)
	}
	_, err = c.Pop(patient(t), "jobs")
	wantError(t, err, client.ErrEmpty)
}

// With MaxRequests under way the next one waits for an answer, or for its context.
func TestMaxRequests(t *testing.T) {
	asked, answer := make(chan uint64, 3), make(chan struct{})
	c := connectStubs(t, client.Options{MaxRequests: 2}, startStub(t, func(c *stubConn) {
		for n := 0; ; n++ {
			id, _, ok := c.read()
			if !ok {
				return
			}
			asked <- id
			if n < 1 {
				continue
			}
			<-answer
			c.send(id, "fd", "01")
		}
	}))
	var group sync.WaitGroup
	push := func(ctx context.Context, want error) {
		group.Go(func() {
			if err := c.Push(ctx, []byte("x"), "jobs"); !errors.Is(err, want) {
				t.Errorf("got error %v, want %v", err, want)
			}
		})
	}
	ended, cancel := context.WithCancel(context.Background())
	push(ended, context.Canceled) // is never answered
	<-asked
	push(patient(t), nil)
	<-asked
	short, cancelShort := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancelShort()
	wantError(t, c.Push(short, []byte("x"), "jobs"), context.DeadlineExceeded)
	push(patient(t), nil)
	select {
	case <-asked:
		t.Error("a third request came before an answer")
	default:
	}
	answer <- struct{}{}
	<-asked
	answer <- struct{}{}
	cancel()
	group.Wait()
}

// A node that answers nothing costs the requests that wait for it RequestTimeout, once.
func TestSilentNode(t *testing.T) {
	silent := startStub(t, (*stubConn).drain)
	c := connectStubs(t, client.Options{RequestTimeout: 50 * time.Millisecond}, silent)
	err := c.Push(patient(t), []byte("x"), "jobs")
	wantError(t, err, client.ErrUncertain)
	wantText(t, err, "not answered for 50ms")
}

// Of a large record the kernel holds a small part, so that its way over a slow link is seen.
func TestKernelHoldsLittle(t *testing.T) {
	left := make(chan struct{})
	held := make(chan int64, 1)
	hanging := startStub(t, func(c *stubConn) {
		c.conn.SetReadBuffer(64 << 10)
		<-left
		if c.n == 0 {
			n, _ := io.Copy(io.Discard, c.conn)
			held <- n
		}
	})
	c := connectStubs(t, client.Options{RequestTimeout: 100 * time.Millisecond}, hanging)
	wantError(t, c.Push(patient(t), make([]byte, 32<<20), "jobs"), client.ErrUncertain)
	c.Close()
	close(left)
	if n := <-held; n > 2<<20 {
		t.Errorf("the kernels hold %d bytes of what the node does not take", n)
	}
}

// Closing the client ends requests under way.
func TestCloseDuringRequest(t *testing.T) {
	asked := make(chan struct{})
	c := connectStubs(t, client.Options{}, startStub(t, func(c *stubConn) {
		c.read()
		close(asked)
		c.drain()
	}))
	go func() {
		<-asked
		c.Close()
	}()
	err := c.Push(patient(t), []byte("x"), "jobs")
	wantError(t, err, client.ErrClosed)
	wantError(t, err, client.ErrUncertain)
}

func TestRejected(t *testing.T) {
	nodes := startNodes(t, 1)
	states := make(chan client.NodeState, 100)
	c := newClient(t, client.Options{
		Nodes:         []string{nodes[0].Neo()},
		Credentials:   client.Credentials{Name: "stranger"},
		OnStateChange: func(s client.NodeState) { states <- s },
	})
	if s := <-states; s.State != client.Disconnected || !errors.Is(s.Err, client.ErrRejected) {
		t.Errorf("got state %v, error %v, want disconnected and ErrRejected", s.State, s.Err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	err := c.WaitConnected(ctx, 1)
	wantError(t, err, client.ErrRejected)
	wantError(t, err, context.DeadlineExceeded)
	nodes[0].WaitLog("stranger")

	consumer, err := c.Consume(patient(t), "jobs", client.ConsumeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "WaitStarted tells of it", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		err = consumer.WaitStarted(ctx, 1)
		return errors.Is(err, client.ErrRejected)
	})
	wantError(t, err, context.DeadlineExceeded)
	consumer.Close()
}

// A listener that never speaks is given up after ConnectTimeout, and tried again.
func TestConnectTimeout(t *testing.T) {
	attempts := make(chan struct{}, 100)
	s := startListener(t, func() { attempts <- struct{}{} })
	c := newClient(t, client.Options{Nodes: []string{s}, ConnectTimeout: 20 * time.Millisecond})
	<-attempts
	<-attempts
	eventually(t, "the state tells of the time-out", func() bool {
		err := c.Nodes()[0].Err
		return err != nil && err.Error() == "no connection within 20ms"
	})
}

func TestOptions(t *testing.T) {
	nodes := []string{"a:1"}
	tests := []struct {
		options client.Options
		problem string
	}{
		{client.Options{Credentials: credentials}, "no nodes"},
		{client.Options{Credentials: credentials, Nodes: []string{"a"}}, "HOST:PORT"},
		{client.Options{Credentials: credentials, NodesFile: "no-such-file"}, "no-such-file"},
		{client.Options{Nodes: nodes}, "no credentials"},
		{client.Options{Nodes: nodes, Credentials: client.Credentials{Name: "a b"}}, "graphic"},
		{client.Options{Nodes: nodes, Credentials: credentials, MaxRequests: 5001}, "5000"},
		{client.Options{Nodes: nodes, Credentials: credentials, MaxMessage: 1000}, "65536"},
		{client.Options{Nodes: nodes, Credentials: credentials, RequestTimeout: -1}, "negative"},
	}
	for _, test := range tests {
		_, err := client.New(test.options)
		wantText(t, err, test.problem)
	}
	if states := newClient(t, client.Options{Nodes: []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:1"}}).Nodes(); len(states) != 2 {
		t.Errorf("got %d nodes, want 2", len(states))
	}
}
