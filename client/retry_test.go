package client

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// A full node that takes its time to refuse does not make a producer try for longer than Retry,
// from the first refusal: what was under way then is given up with its next refusal, what waits
// behind without one. The time for each record began with its own refusal once.
func TestRetryCountsFromTheFirstRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const (
			records = 20
			pause   = 2 * time.Second
			retry   = 30 * time.Second
		)
		c, err := New(Options{
			Nodes: []string{"pipe:1"}, Credentials: Credentials{Name: "test"}, MaxRequests: records / 2,
			Dial: func(context.Context, string, string) (net.Conn, error) {
				near, far := net.Pipe()
				go refuse(far, pause)
				return near, nil
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.WaitConnected(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		p := c.Producer(ProducerOptions{Retry: retry})
		begin := time.Now()
		for range records {
			if err := p.Push(t.Context(), []byte("x"), "jobs"); err != nil {
				t.Fatal(err)
			}
		}
		err = p.Close(t.Context())
		if e, ok := errors.AsType[*ProduceError](err); !ok || e.Failed != records || !errors.Is(err, ErrNodeError) {
			t.Errorf("got error %v, want one about %d records refused", err, records)
		}
		// One round of refusals may be under way when the time is up.
		if took, most := time.Since(begin), retry+(records/2+2)*pause; took < retry || took > most {
			t.Errorf("it took %v, want %v to %v", took, retry, most)
		}
	})
}

// refuse is a node that answers one Push after the other, each after a pause.
func refuse(far net.Conn, pause time.Duration) {
	defer far.Close()
	acceptClient(far)
	requests := make(chan uint64, 1000)
	defer close(requests)
	go func() {
		for id := range requests {
			time.Sleep(pause)
			far.Write(wire.AppendPushStatus(wire.AppendSupport(nil, id, wire.Supported), id, wire.PushError))
		}
	}()
	var in []byte
	buffer := make([]byte, 1<<16)
	for {
		n, err := far.Read(buffer)
		if err != nil {
			return
		}
		in = append(in, buffer[:n]...)
		for {
			id, _, size, err := wire.Next(in, 1<<20)
			if err != nil || size > len(in) {
				break
			}
			in = in[size:]
			requests <- id
		}
	}
}
