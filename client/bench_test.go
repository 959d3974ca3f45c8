package client_test

import (
	"context"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
)

// value is the record of the benchmarks.
var value = make([]byte, 100)

func BenchmarkPush(b *testing.B) {
	c := connect(b, startNodes(b, 1)...)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if err := c.Push(ctx, value, "jobs"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPop(b *testing.B) {
	c := connect(b, startNodes(b, 1)...)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Pop(ctx, "jobs"); err == nil {
			b.Fatal("got a record")
		}
	}
}

// BenchmarkProducer measures records from the first Push to the node's last answer.
func BenchmarkProducer(b *testing.B) {
	for _, nodes := range []int{1, 3} {
		b.Run(map[int]string{1: "1node", 3: "3nodes"}[nodes], func(b *testing.B) {
			c := connect(b, startNodes(b, nodes)...)
			p := c.Producer(client.ProducerOptions{})
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				if err := p.Push(ctx, value, "jobs"); err != nil {
					b.Fatal(err)
				}
			}
			if err := p.Close(ctx); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkConsume measures records from the node to the loop.
func BenchmarkConsume(b *testing.B) {
	c := connect(b, startNodes(b, 1)...)
	ctx := context.Background()
	consumer, err := c.Consume(ctx, "jobs", client.ConsumeOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer consumer.Close()
	if err := consumer.WaitStarted(ctx, 0); err != nil {
		b.Fatal(err)
	}
	p := c.Producer(client.ProducerOptions{})
	go func() {
		for p.Push(ctx, value, "jobs") == nil {
		}
	}()
	b.ReportAllocs()
	b.ResetTimer()
	n := 0
	for range consumer.Records() {
		if n++; n == b.N {
			break
		}
	}
	b.StopTimer()
	done, cancel := context.WithCancel(ctx)
	cancel()
	p.Close(done)
}
