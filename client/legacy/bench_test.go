package legacy_test

import (
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// dialNode returns a client of a new node.
func dialNode(b *testing.B) *legacy.Client {
	b.Helper()
	client, err := legacy.Dial(b.Context(), nodetest.Start(b).Legacy())
	if err != nil {
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
		if err := client.Push(b.Context(), "a", record); err != nil {
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
		p, err := client.Produce(b.Context(), "a")
		for range b.N {
			if err == nil {
				err = p.Write(record)
			}
		}
		if err == nil {
			err = p.Close()
		}
		if err != nil {
			b.Error(err)
		}
	}()
	left := b.N
	for _, err := range client.Consume(b.Context(), "a") {
		if err != nil {
			b.Fatal(err)
		}
		if left--; left == 0 {
			break
		}
	}
}
