package legacy_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// After all tests, no goroutine of any client is left.
func TestMain(m *testing.M) {
	status := nodetest.Main(m)
	if err := goleak.Find(); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

// startNodes starts nodes that have the same port again when they are restarted.
func startNodes(t testing.TB, count int, options ...nodetest.Option) []*nodetest.Node {
	t.Helper()
	started := make([]*nodetest.Node, count)
	for i := range started {
		started[i] = nodetest.Start(t, append(options, nodetest.Set("Server.port", strconv.Itoa(freePort(t))))...)
	}
	return started
}

// freePort returns a port that no outgoing connection gets while its node is down: it is
// below those that the kernel takes for these.
func freePort(t testing.TB) int {
	t.Helper()
	for range 1000 {
		port := 12000 + rand.IntN(18000)
		if listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			listener.Close()
			return port
		}
	}
	t.Fatal("found no free port")
	return 0
}

// newClient returns a client of the nodes that is connected to all of them, and closed at the
// end of the test.
func newClient(t testing.TB, options legacy.Options, nodes ...*nodetest.Node) *legacy.Client {
	t.Helper()
	for _, node := range nodes {
		options.Nodes = append(options.Nodes, node.Legacy())
	}
	client, err := legacy.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if err := client.WaitConnected(patient(t), 0); err != nil {
		t.Fatal(err)
	}
	return client
}

// patient returns a context that ends when the test has waited for too long.
func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), nodetest.Patience)
	t.Cleanup(cancel)
	return ctx
}

// waitState waits until a client thinks so of a node.
func waitState(t testing.TB, client *legacy.Client, node string, want legacy.State) {
	t.Helper()
	for deadline := time.Now().Add(nodetest.Patience); state(client, node).State != want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("got %+v, want %v", state(client, node), want)
		}
	}
}

func state(client *legacy.Client, node string) legacy.NodeState {
	states := client.Nodes()
	return states[slices.IndexFunc(states, func(s legacy.NodeState) bool { return s.Address == node })]
}

// push pushes values one after the other.
func push(t testing.TB, client *legacy.Client, channel string, values ...string) {
	t.Helper()
	for _, value := range values {
		if err := client.Push(patient(t), []byte(value), channel); err != nil {
			t.Fatal(err)
		}
	}
}

// popAll takes all records out of the channel and counts them by value.
func popAll(t testing.TB, client *legacy.Client, channel string) map[string]int {
	t.Helper()
	got := make(map[string]int)
	for {
		value, err := client.Pop(patient(t), channel)
		if errors.Is(err, legacy.ErrEmpty) || errors.Is(err, legacy.ErrNoSuchChannelOrSubscribed) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		got[string(value)]++
	}
}

func numbered(prefix string, count int) []string {
	values := make([]string, count)
	for i := range values {
		values[i] = fmt.Sprintf("%s-%05d", prefix, i)
	}
	return values
}

func wantError(t testing.TB, err error, want ...error) {
	t.Helper()
	for _, w := range want {
		if !errors.Is(err, w) {
			t.Fatalf("got error %v, want %v", err, w)
		}
	}
}
