package client_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// After all tests, no goroutine of any client is left.
func TestMain(m *testing.M) {
	status := nodetest.Main(m)
	examples.end()
	if err := goleak.Find(); err != nil && status == 0 {
		fmt.Fprintln(os.Stderr, err)
		status = 1
	}
	os.Exit(status)
}

// examples plays the test for the node that the examples use, as they have none.
var examples exampleTest

type exampleTest struct {
	testing.TB
	once     sync.Once
	address  string
	cleanups []func()
}

func (*exampleTest) Helper()                   {}
func (*exampleTest) Failed() bool              { return false }
func (e *exampleTest) Cleanup(f func())        { e.cleanups = append(e.cleanups, f) }
func (*exampleTest) Errorf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (*exampleTest) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }
func (*exampleTest) Fatal(a ...any)            { panic(fmt.Sprint(a...)) }

func (e *exampleTest) TempDir() string {
	dir, err := os.MkdirTemp("", "dmq-example-")
	if err != nil {
		panic(err)
	}
	e.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// end stops the node.
func (e *exampleTest) end() {
	for _, f := range slices.Backward(e.cleanups) {
		f()
	}
}

// exampleNode returns the address of a node.
func exampleNode() string {
	examples.once.Do(func() { examples.address = nodetest.Start(&examples).Neo() })
	return examples.address
}

// exampleClient returns a client that is connected to it.
func exampleClient() *client.Client {
	c, err := client.New(client.Options{Nodes: []string{exampleNode()}, Credentials: credentials})
	if err == nil {
		err = c.WaitConnected(context.Background(), 1)
	}
	if err != nil {
		panic(err)
	}
	return c
}

// credentials are those that nodes of package nodetest know.
var credentials = client.Credentials{Name: "test"}

// newClient returns a client that is closed at the end of the test.
func newClient(t testing.TB, options client.Options) *client.Client {
	t.Helper()
	if options.Credentials.Name == "" {
		options.Credentials = credentials
	}
	c, err := client.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// connect returns a client that is connected to all of the nodes.
func connect(t testing.TB, nodes ...*nodetest.Node) *client.Client {
	t.Helper()
	var options client.Options
	for _, node := range nodes {
		options.Nodes = append(options.Nodes, node.Neo())
	}
	c := newClient(t, options)
	waitConnected(t, c, len(nodes))
	return c
}

func waitConnected(t testing.TB, c *client.Client, n int) {
	t.Helper()
	if err := c.WaitConnected(patient(t), n); err != nil {
		t.Fatal(err)
	}
}

// patient returns a context that ends when something that has to happen has not happened
// for so long that the test fails.
func patient(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), nodetest.Patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(nodetest.Patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so within %v: %s", nodetest.Patience, what)
		}
	}
}

// startNodes starts nodes that get the same ports again when they are restarted.
func startNodes(t testing.TB, n int, options ...nodetest.Option) []*nodetest.Node {
	t.Helper()
	started := make([]*nodetest.Node, n)
	for i := range started {
		started[i] = nodetest.Start(t, options...)
		_, port, err := net.SplitHostPort(started[i].Neo())
		if err != nil {
			t.Fatal(err)
		}
		started[i].Configure(nodetest.Set("Server.neoport", port))
	}
	return started
}

// pushAll pushes records one after the other.
func pushAll(t testing.TB, c *client.Client, channel string, values ...string) {
	t.Helper()
	for _, value := range values {
		if err := c.Push(patient(t), []byte(value), channel); err != nil {
			t.Fatal(err)
		}
	}
}

// popAll pops until the channel is empty and returns the values in alphabetical order.
func popAll(t testing.TB, c *client.Client, channel string) (values []string) {
	t.Helper()
	for {
		value, err := c.Pop(patient(t), channel)
		if err != nil {
			wantError(t, err, client.ErrEmpty)
			slices.Sort(values)
			return values
		}
		values = append(values, string(value))
	}
}

// numbered returns n values in alphabetical order.
func numbered(n int) []string {
	values := make([]string, n)
	for i := range values {
		values[i] = fmt.Sprintf("record %06d", i)
	}
	return values
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errorIs(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
}

func wantText(t testing.TB, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Fatalf("got error %v, want one with the text %q", err, text)
	}
}

func wantValues(t testing.TB, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("got %d values %.20q, want %d %.20q", len(got), got, len(want), want)
	}
}
