package legacy_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

func TestRequestsAreSpreadOverTheNodes(t *testing.T) {
	nodes := startNodes(t, 3)
	client := newClient(t, legacy.Options{}, nodes...)
	push(t, client, "a", numbered("r", 12)...)
	for _, n := range client.Nodes() {
		if n.Pushed != 4 || n.State != legacy.Connected || n.InFlight != 0 {
			t.Errorf("after 12 pushes: got %+v, want 4 on each node", n)
		}
	}
	if got := popAll(t, client, "a"); len(got) != 12 {
		t.Errorf("popped: got %v, want 12 records", got)
	}
	if _, err := client.Pop(patient(t), "a"); !errors.Is(err, legacy.ErrEmpty) {
		t.Errorf("drained channel: got %v, want %v", err, legacy.ErrEmpty)
	}
	if _, err := client.Pop(patient(t), "b"); !errors.Is(err, legacy.ErrNoSuchChannelOrSubscribed) {
		t.Errorf("unknown channel: got %v, want %v", err, legacy.ErrNoSuchChannelOrSubscribed)
	}
	if err := client.Push(patient(t), []byte("x"), []string{"m1", "m2"}...); err != nil {
		t.Fatal(err)
	}
	for _, channel := range []string{"m1", "m2"} {
		if got := popAll(t, client, channel); got["x"] != 1 {
			t.Errorf("channel %s: got %v, want x once", channel, got)
		}
	}
}

func TestNodesFile(t *testing.T) {
	nodes := startNodes(t, 2)
	file := filepath.Join(t.TempDir(), "nodes")
	content := "# all\n" + nodes[0].Legacy() + "\n " + nodes[1].Legacy() + " # the new one\r\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	client := newClient(t, legacy.Options{NodesFile: file})
	states := client.Nodes()
	if len(states) != 2 || states[0].Address != nodes[0].Legacy() || states[1].Address != nodes[1].Legacy() {
		t.Errorf("nodes: got %+v", states)
	}
}

func TestRequestsToAllNodes(t *testing.T) {
	nodes := startNodes(t, 3)
	client := newClient(t, legacy.Options{}, nodes...)
	push(t, client, "a", numbered("r", 6)...)
	counts, err := client.GetNumConnections(patient(t))
	wantError(t, err, legacy.ErrNotSupported)
	if len(counts) != 0 {
		t.Errorf("numbers of connections: got %v, want none", counts)
	}
	nodes[1].Stop()
	waitState(t, client, nodes[0].Legacy(), legacy.Connected)
	err = client.RemoveChannel(patient(t), "a")
	var e *legacy.Error
	if wantError(t, err, legacy.ErrNotConnected); !errors.As(err, &e) || e.Node != nodes[1].Legacy() {
		t.Errorf("RemoveChannel with a node down: got %v, want one about %s", err, nodes[1].Legacy())
	}
	nodes[1].Restart()
	if err := client.WaitConnected(patient(t), 0); err != nil {
		t.Fatal(err)
	}
	if got := popAll(t, client, "a"); len(got) != 2 {
		t.Errorf("left on the node that was down: got %v, want 2 records", got)
	}
	if err := client.RemoveChannel(patient(t), "a"); err != nil {
		t.Error(err)
	}
}

func TestWithoutAnyNode(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // and nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := legacy.New(legacy.Options{Nodes: []string{listener.Addr().String(), "127.0.0.1:1"}, ConnectTimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithCancel(t.Context())
	for _, n := range client.Nodes() {
		waitState(t, client, n.Address, legacy.Disconnected)
	}
	err = client.Push(ctx, []byte("x"), "a")
	wantError(t, err, legacy.ErrNotConnected, syscall.ECONNREFUSED, os.ErrDeadlineExceeded)
	_, err = client.Pop(ctx, "a")
	wantError(t, err, legacy.ErrNotConnected)
	p := client.Producer(legacy.ProducerOptions{Retry: -1})
	if err := p.Push(ctx, []byte("x"), "a"); err != nil {
		t.Error(err)
	}
	wantError(t, p.Close(ctx), legacy.ErrNotConnected)
	cancel()
	err = client.WaitConnected(ctx, 1)
	wantError(t, err, context.Canceled, legacy.ErrNotConnected, syscall.ECONNREFUSED)
	client.Close()
	err = client.Push(t.Context(), []byte("x"), "a")
	wantError(t, err, legacy.ErrClosed)
	wantError(t, client.WaitConnected(t.Context(), 1), legacy.ErrClosed)
}

func TestStoppedNodeIsPassedBy(t *testing.T) {
	nodes := startNodes(t, 3)
	client := newClient(t, legacy.Options{}, nodes...)
	push(t, client, "a", numbered("before", 6)...)
	if status := nodes[0].Stop(); status != 0 {
		t.Fatalf("exit status: %d", status)
	}
	push(t, client, "a", numbered("down", 12)...) // certain: nothing was under way
	waitState(t, client, nodes[0].Legacy(), legacy.Disconnected)
	if n := state(client, nodes[0].Legacy()); n.Pushed != 2 || n.Err == nil {
		t.Errorf("the stopped node: got %+v, want 2 records pushed and an error", n)
	}
	nodes[0].Restart()
	if err := client.WaitConnected(patient(t), 0); err != nil {
		t.Fatal(err)
	}
	push(t, client, "a", numbered("after", 6)...)
	if n := state(client, nodes[0].Legacy()); n.Pushed != 4 {
		t.Errorf("the restarted node: got %+v, want 4 records pushed", n)
	}
	wantEach(t, popAll(t, client, "a"), slices.Concat(numbered("before", 6), numbered("down", 12), numbered("after", 6)), exactly(1))
}

// times says how often a record may be there.
type times struct{ least, most int }

func exactly(n int) times { return times{n, n} }

func wantEach(t testing.TB, got map[string]int, values []string, want times) {
	t.Helper()
	for _, value := range values {
		if n := got[value]; n < want.least || n > want.most {
			t.Errorf("%s: got it %d times, want %d to %d", value, n, want.least, want.most)
		}
	}
}

// pushed is what the client says about records.
type pushed struct{ stored, uncertain, failed []string }

// pushUnderLoad pushes records from several goroutines, and calls disturb after the first.
func pushUnderLoad(t testing.TB, client *legacy.Client, channel string, disturb func()) (all pushed) {
	ctx := patient(t)
	var mu sync.Mutex
	begun := make(chan struct{}, 1)
	var group sync.WaitGroup
	for _, prefix := range []string{"p", "q", "r", "s"} {
		group.Go(func() {
			for _, value := range numbered(prefix, 300) {
				err := client.Push(ctx, []byte(value), channel)
				mu.Lock()
				switch {
				case err == nil:
					all.stored = append(all.stored, value)
				case errors.Is(err, legacy.ErrUncertain):
					all.uncertain = append(all.uncertain, value)
				default:
					all.failed = append(all.failed, value)
				}
				mu.Unlock()
				select {
				case begun <- struct{}{}:
				default:
				}
			}
		})
	}
	<-begun
	disturb()
	group.Wait()
	return all
}

func TestKillUnderLoad(t *testing.T) {
	for _, tc := range []struct {
		name                      string
		again                     bool
		stored, uncertain, failed times
	}{
		{"once or uncertain", false, exactly(1), times{0, 1}, exactly(0)},
		{"at least once", true, times{1, 3}, exactly(0), exactly(0)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			nodes := startNodes(t, 3)
			client := newClient(t, legacy.Options{AtMostOnce: !tc.again}, nodes...)
			all := pushUnderLoad(t, client, "a", func() {
				for _, node := range nodes[:2] {
					node.Kill()
					node.Restart()
				}
			})
			if err := client.WaitConnected(patient(t), 0); err != nil {
				t.Fatal(err)
			}
			got := popAll(t, client, "a")
			wantEach(t, got, all.stored, tc.stored)
			wantEach(t, got, all.uncertain, tc.uncertain)
			wantEach(t, got, all.failed, tc.failed)
			if len(all.stored) == 0 || tc.again && len(all.uncertain) > 0 {
				t.Errorf("stored %d, uncertain %d, failed %d", len(all.stored), len(all.uncertain), len(all.failed))
			}
		})
	}
}

// hang makes a node hang in a moment, until SIGCONT.
func hang(t testing.TB, node *nodetest.Node) {
	t.Helper()
	node.Signal(syscall.SIGSTOP)
	t.Cleanup(func() { node.Signal(syscall.SIGCONT) })
}

func TestHangingNodeIsPassedBy(t *testing.T) {
	nodes := startNodes(t, 2)
	t.Parallel() // it waits for the limit
	limit := 2 * time.Second
	client := newClient(t, legacy.Options{ConnectTimeout: limit, RequestTimeout: limit, AtMostOnce: true}, nodes...)
	push(t, client, "a", "before")
	hang(t, nodes[0])
	var stored, uncertain []string
	for i := 0; state(client, nodes[0].Legacy()).State != legacy.Disconnected; i++ {
		value := fmt.Sprint(i)
		switch err := client.Push(patient(t), []byte(value), "a"); {
		case err == nil:
			stored = append(stored, value)
		case errors.Is(err, legacy.ErrUncertain):
			uncertain = append(uncertain, value)
		default:
			t.Fatal(err)
		}
	}
	if err := state(client, nodes[0].Legacy()).Err; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the node that hangs: got error %v, want a time-out", err)
	}
	push(t, client, "a", "meanwhile")
	stored = append(stored, "meanwhile")
	nodes[0].Signal(syscall.SIGCONT)
	if err := client.WaitConnected(patient(t), 0); err != nil {
		t.Fatal(err)
	}
	got := popAll(t, client, "a")
	wantEach(t, got, append(stored, "before"), exactly(1))
	wantEach(t, got, uncertain, times{0, 1})
}

// A caller whose own deadlines are short learns only that time is up; the client finds out
// that the node hangs.
func TestHangingNodeIsNoticedByDeadlinesOfCallers(t *testing.T) {
	nodes := startNodes(t, 1)
	client := newClient(t, legacy.Options{ConnectTimeout: 100 * time.Millisecond}, nodes...)
	hang(t, nodes[0])
	for patience := patient(t); state(client, nodes[0].Legacy()).State != legacy.Disconnected; {
		if patience.Err() != nil {
			t.Fatal("the client does not notice that the node hangs")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		err := client.Push(ctx, []byte("x"), "a")
		if cancel(); err != nil && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, legacy.ErrNotConnected) {
			t.Fatalf("Push to a node that hangs: %v", err)
		}
	}
	nodes[0].Signal(syscall.SIGCONT)
	waitState(t, client, nodes[0].Legacy(), legacy.Connected)
}

func TestConnectionLimit(t *testing.T) {
	nodes := []*nodetest.Node{nodetest.Start(t, nodetest.Set("Server.connection_limit", "1")), nodetest.Start(t)}
	taken, err := legacyclient.Dial(nodes[0].Legacy())
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if _, err := taken.Do(legacyclient.Request(legacyclient.Push, "other", "x")); err != nil { // so it was accepted
		t.Fatal(err)
	}
	client, err := legacy.New(legacy.Options{Nodes: []string{nodes[0].Legacy(), nodes[1].Legacy()}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	waitState(t, client, nodes[0].Legacy(), legacy.Disconnected)
	waitState(t, client, nodes[1].Legacy(), legacy.Connected)
	push(t, client, "a", numbered("r", 10)...) // nothing is uncertain
	if n := state(client, nodes[1].Legacy()); n.Pushed != 10 {
		t.Errorf("the other node: got %+v, want all 10 records", n)
	}
	taken.Close()
	waitState(t, client, nodes[0].Legacy(), legacy.Connected)
	push(t, client, "a", numbered("s", 10)...)
	if n := state(client, nodes[0].Legacy()); n.Pushed != 5 {
		t.Errorf("the node with room again: got %+v, want 5 of 10 records", n)
	}
}

// Requests beyond MaxRequests wait, here because the node has room for no more.
func TestMaxRequests(t *testing.T) {
	node := nodetest.Start(t, nodetest.Set("Server.connection_limit", "2"))
	client := newClient(t, legacy.Options{MaxRequests: 2}, node)
	var group sync.WaitGroup
	for _, prefix := range []string{"p", "q", "r", "s", "t", "u"} {
		group.Go(func() {
			for _, value := range numbered(prefix, 20) {
				if err := client.Push(patient(t), []byte(value), "a"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if n := client.Nodes()[0]; n.Pushed != 120 || n.Connects > 2 {
		t.Errorf("got %+v, want 120 records over 2 connections", n)
	}
	for range 2 { // both are in use now
		c, err := client.Consume(patient(t), "a", legacy.ConsumeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.WaitStarted(patient(t), 1); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConnectionsThatAreThereAreUsedAtTheLimit(t *testing.T) {
	node := nodetest.Start(t, nodetest.Set("Server.connection_limit", "1"))
	client := newClient(t, legacy.Options{}, node)
	producer := client.Producer(legacy.ProducerOptions{}) // over the one connection
	var err error
	for err == nil { // a stream that gets nothing gives its connection back
		if err = producer.Push(patient(t), []byte("z"), "z"); err == nil {
			err = client.Push(patient(t), []byte("x"), "b")
		}
	}
	wantError(t, err, legacy.ErrNotConnected)
	waitState(t, client, node.Legacy(), legacy.Disconnected)
	if err := producer.Close(patient(t)); err != nil {
		t.Fatal(err)
	}
	push(t, client, "a", "y")
	if got := popAll(t, client, "a"); len(got) != 1 || got["y"] != 1 {
		t.Errorf("got %v, want y once", got)
	}
}
