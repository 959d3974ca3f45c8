package client_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
)

func errorIs(err, want error) bool { return errors.Is(err, want) }

func TestPushPop(t *testing.T) {
	c := connect(t, startNodes(t, 1)...)
	pushAll(t, c, "jobs", "one", "two", "")
	for _, want := range []string{"one", "two", ""} {
		if got, err := c.Pop(patient(t), "jobs"); err != nil || string(got) != want {
			t.Errorf("got %q, error %v, want %q", got, err, want)
		}
	}
	_, err := c.Pop(patient(t), "jobs")
	wantError(t, err, client.ErrEmpty)
	wantText(t, err, `Pop "jobs"`)
}

func TestPushToSeveralChannels(t *testing.T) {
	c := connect(t, startNodes(t, 1)...)
	if err := c.Push(patient(t), []byte("both"), "a", "b"); err != nil {
		t.Fatal(err)
	}
	wantValues(t, popAll(t, c, "a"), []string{"both"})
	wantValues(t, popAll(t, c, "b"), []string{"both"})
}

// Pushes of three nodes' client go round; Pop finds them all.
func TestThreeNodes(t *testing.T) {
	c := connect(t, startNodes(t, 3)...)
	values := numbered(30)
	pushAll(t, c, "jobs", values...)
	for _, state := range c.Nodes() {
		if state.Pushed != 10 {
			t.Errorf("node %s: got %d pushes, want 10", state.Address, state.Pushed)
		}
	}
	wantValues(t, popAll(t, c, "jobs"), values)
}

func TestLargeValue(t *testing.T) {
	c := connect(t, startNodes(t, 1)...)
	large := strings.Repeat("0123456789abcdef", 3<<16)
	pushAll(t, c, "jobs", large, "small")
	if got, err := c.Pop(patient(t), "jobs"); err != nil || string(got) != large {
		t.Errorf("got %d bytes, error %v, want %d", len(got), err, len(large))
	}
	wantValues(t, popAll(t, c, "jobs"), []string{"small"})
}

func TestBadArguments(t *testing.T) {
	c := newClient(t, client.Options{Nodes: []string{"127.0.0.1:1"}, MaxMessage: 64 << 10})
	ctx := context.Background()
	tests := []struct {
		name string
		err  error
		want error
	}{
		{"no channel", c.Push(ctx, nil), client.ErrNoChannels},
		{"many channels", c.Push(ctx, nil, make([]string, 256)...), client.ErrTooManyChannels},
		{"empty name", c.Push(ctx, nil, "a", ""), client.ErrBadName},
		{"bad name", c.Push(ctx, nil, "a/b"), client.ErrBadName},
		{"long name", c.Push(ctx, nil, strings.Repeat("a", 252)), client.ErrBadName},
		{"large value", c.Push(ctx, make([]byte, 64<<10), "a"), client.ErrTooLarge},
		{"nothing connected", c.Push(ctx, nil, "a"), client.ErrNotConnected},
		{"Pop of a bad name", second(c.Pop(ctx, "a@b")), client.ErrBadName},
		{"Pop with nothing connected", second(c.Pop(ctx, "a")), client.ErrNotConnected},
		{"Consume of a bad name", second(c.Consume(ctx, " ", client.ConsumeOptions{})), client.ErrBadName},
		{"Consume with a bad subscriber", second(c.Consume(ctx, "a", client.ConsumeOptions{Subscriber: "@"})), client.ErrBadName},
	}
	for _, test := range tests {
		var e *client.Error
		if !errors.Is(test.err, test.want) || !errors.As(test.err, &e) {
			t.Errorf("%s: got error %v, want a *client.Error with %v", test.name, test.err, test.want)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestPopOfSubscribedChannel(t *testing.T) {
	c := connect(t, startNodes(t, 1)...)
	consumer := consume(t, c, "jobs", client.ConsumeOptions{})
	consumer.Close()
	_, err := c.Pop(patient(t), "jobs")
	wantError(t, err, client.ErrHasSubscribers)
	var e *client.Error
	if errors.As(err, &e); e.Node != c.Nodes()[0].Address || e.Channel != "jobs" {
		t.Errorf("got an error at %q about %q, want the node's address and jobs", e.Node, e.Channel)
	}
}

func TestManyGoroutines(t *testing.T) {
	c := connect(t, startNodes(t, 2)...)
	values := numbered(1000)
	var group sync.WaitGroup
	for i := range 100 {
		group.Go(func() {
			for _, value := range values[10*i : 10*i+10] {
				if err := c.Push(patient(t), []byte(value), "jobs"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	wantValues(t, popAll(t, c, "jobs"), values)
}

func TestContextEnded(t *testing.T) {
	c := connect(t, startNodes(t, 1)...)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	wantError(t, c.Push(ctx, nil, "jobs"), context.Canceled)
	_, err := c.Pop(ctx, "jobs")
	wantError(t, err, context.Canceled)
}

func TestClosed(t *testing.T) {
	c := connect(t, startNodes(t, 1)...)
	consumer := consume(t, c, "jobs", client.ConsumeOptions{})
	producer := c.Producer(client.ProducerOptions{})
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	ctx := patient(t)
	wantError(t, c.Push(ctx, nil, "jobs"), client.ErrClosed)
	_, err := c.Pop(ctx, "jobs")
	wantError(t, err, client.ErrClosed)
	wantError(t, c.WaitConnected(ctx, 1), client.ErrClosed)
	wantError(t, consumer.Each(nil), client.ErrClosed)
	wantError(t, producer.Push(ctx, nil, "jobs"), client.ErrClosed)
	_, err = c.Consume(ctx, "jobs", client.ConsumeOptions{})
	wantError(t, err, client.ErrClosed)
	wantError(t, c.Producer(client.ProducerOptions{}).Push(ctx, nil, "jobs"), client.ErrClosed)
	if state := c.Nodes()[0].State; state != client.Closed {
		t.Errorf("got state %v, want closed", state)
	}
}

// Nodes may come from a file, and have names.
func TestNodesFile(t *testing.T) {
	address := startNodes(t, 1)[0].Neo()
	file := filepath.Join(t.TempDir(), "nodes")
	text := "# the test's\n" + strings.Replace(address, "127.0.0.1", "localhost", 1) + " # by name\n\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, client.Options{NodesFile: file})
	waitConnected(t, c, 0)
	pushAll(t, c, "jobs", "one")
	wantValues(t, popAll(t, c, "jobs"), []string{"one"})
}
