package clienttest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/clienttest"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/dmq"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy"
)

// A program meets the node over either protocol, in order and out of it.
func TestNode(t *testing.T) {
	for name, open := range map[string]func(*clienttest.Node) (dmq.Client, error){
		"neo": func(n *clienttest.Node) (dmq.Client, error) {
			return client.New(client.Options{Nodes: []string{n.Neo()}, Credentials: clienttest.Credentials, RequestTimeout: 200 * time.Millisecond})
		},
		"legacy": func(n *clienttest.Node) (dmq.Client, error) {
			return legacy.New(legacy.Options{Nodes: []string{n.Legacy()}, RequestTimeout: 200 * time.Millisecond})
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			node := clienttest.Start(t)
			c, err := open(node)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			want := func(err, want error) {
				t.Helper()
				if !errors.Is(err, want) {
					t.Fatalf("got error %v, want %v", err, want)
				}
			}
			want(c.WaitConnected(ctx, 0), nil)
			want(c.Push(ctx, []byte("a"), "jobs", "copy"), nil)
			value, err := c.Pop(ctx, "jobs")
			if want(err, nil); string(value) != "a" {
				t.Errorf("got %q, want a", value)
			}
			_, err = c.Pop(ctx, "jobs")
			want(err, dmq.ErrEmpty)

			node.Refuse(true)
			want(c.Push(ctx, []byte("b"), "jobs"), dmq.ErrNodeError)
			node.Refuse(false)
			node.Hang(true)
			want(c.Push(ctx, []byte("b"), "jobs"), dmq.ErrUncertain)
			node.Hang(false)

			p := c.Producer(dmq.ProducerOptions{})
			want(p.Push(ctx, []byte("c"), "copy"), nil)
			node.Stop()
			node.Restart()
			want(p.Push(ctx, []byte("d"), "copy"), nil)
			want(p.Close(ctx), nil)

			consumer, err := c.Consume(ctx, "copy", dmq.ConsumeOptions{})
			want(err, nil)
			defer consumer.Close()
			got := map[string]bool{}
			for record, err := range consumer.Records() {
				want(err, nil)
				if got[string(record.Value)] = true; len(got) == 3 {
					break
				}
			}
			consumer.Stop()
			want(consumer.Each(func(context.Context, dmq.Record) error { return nil }), nil)
			if left := node.Records("copy", ""); len(left) > 0 {
				t.Errorf("got %q left, want none", left)
			}
		})
	}
}
