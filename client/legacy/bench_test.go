package legacy_test

import (
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// dialNode returns a client of a new node.
func dialNode(b *testing.B) *legacy.Client {
	b.Helper()
	client, err := legacy.New(legacy.Options{Nodes: []string{nodetest.Start(b).Legacy()}})
	if err != nil {
		b.Fatal(err)
	}
	if err := client.WaitConnected(b.Context(), 0); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { client.Close() })
	return client
}

// BenchmarkPush pushes records of 100 bytes one at a time.
func BenchmarkPush(b *testing.B) {
	client, record := dialNode(b), make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		if err := client.Push(b.Context(), record, "a"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkProduceConsume sends records of 100 bytes through a node.
func BenchmarkProduceConsume(b *testing.B) {
	client, record := dialNode(b), make([]byte, 100)
	b.ReportAllocs()
	b.ResetTimer()
	go func() {
		p := client.Producer(legacy.ProducerOptions{})
		for range b.N {
			if err := p.Push(b.Context(), record, "a"); err != nil {
				b.Error(err)
			}
		}
		if err := p.Close(b.Context()); err != nil {
			b.Error(err)
		}
	}()
	left := b.N
	consumer, err := client.Consume(b.Context(), "a", legacy.ConsumeOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer consumer.Close()
	for _, err := range consumer.Records() {
		if err != nil {
			b.Fatal(err)
		}
		if left--; left == 0 {
			break
		}
	}
}
