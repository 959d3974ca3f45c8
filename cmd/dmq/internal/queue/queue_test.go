package queue

import (
	"errors"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/dmq"
)

// A record that was given up ends the producer, and Close says so again. The nodes that are
// not there would otherwise cost the time of a retry for every few thousand records.
func TestProducerEndsWithARecordGivenUp(t *testing.T) {
	c, err := client.New(client.Options{Nodes: []string{"127.0.0.1:1"}, Credentials: client.Credentials{Name: "test"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p := newProducer(c, dmq.ProducerOptions{Retry: -1}, []string{"jobs"})
	var pushed error
	for range 100_000 {
		if pushed = p.Push(t.Context(), []byte("a record")); pushed != nil {
			break
		}
	}
	for after, err := range map[string]error{"Push": pushed, "Flush": p.Flush(t.Context()), "Close": p.Close(t.Context())} {
		if _, given := errors.AsType[*dmq.ProduceError](err); !given {
			t.Errorf("%s: got %v, want that records were given up", after, err)
		}
	}
}
