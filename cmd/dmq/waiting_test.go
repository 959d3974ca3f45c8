package main

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

// slowProducer takes so long for a Push and for a Close, or confirms nothing.
type slowProducer struct {
	queue.Producer
	push, close time.Duration
	unconfirmed int64
	stored      atomic.Int64
}

func (p *slowProducer) Push(context.Context, []byte) error {
	time.Sleep(p.push)
	p.stored.Add(1)
	return nil
}

func (p *slowProducer) Close(context.Context) error {
	time.Sleep(p.close)
	return nil
}

func (p *slowProducer) State() queue.ProducerState {
	return queue.ProducerState{Stored: p.stored.Load(), Unconfirmed: p.unconfirmed}
}

// producing is a queue with that producer.
type producing struct {
	queue.Queue
	producer queue.Producer
}

func (q producing) Produce(context.Context, ...string) (queue.Producer, error) {
	return q.producer, nil
}

// A person is told within the second after the first that nothing goes on, once.
func TestProducerTellsThatItWaits(t *testing.T) {
	const waiting = "waiting until the nodes take the records; stored: 5, not confirmed: "
	for _, tc := range []struct {
		name     string
		producer *slowProducer
		pause    time.Duration // after five records
		want     string
	}{
		{"records are confirmed", &slowProducer{push: 900 * time.Millisecond}, 0, ""},
		{"waiting for records", &slowProducer{}, time.Hour, ""},
		{"records are not confirmed", &slowProducer{unconfirmed: 3}, time.Minute, waiting + "3"},
		{"the end takes long", &slowProducer{close: time.Minute}, 0, waiting + "0"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var said bytes.Buffer
			tool := &tool{stderr: &said}
			p, err := tool.producer(t.Context(), producing{producer: tc.producer}, "jobs")
			if err != nil {
				t.Fatal(err)
			}
			for range 5 {
				p.Push(t.Context(), nil)
			}
			time.Sleep(min(tc.pause, 2*time.Second))
			if tc.pause > 2*time.Second && !strings.Contains(said.String(), tc.want) {
				t.Errorf("%s: got %q after two seconds, want %q", tc.name, said.String(), tc.want)
			}
			time.Sleep(tc.pause)
			p.Close(t.Context())
			want := ""
			if tc.want != "" {
				want = "dmq: " + tc.want + "\n"
			}
			if got := said.String(); got != want {
				t.Errorf("%s: got %q, want %q", tc.name, got, want)
			}
		})
	}
}

// What is not over after a second is told.
func TestWaitingTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said bytes.Buffer
		tool := &tool{stderr: &said}
		over := tool.waiting("for %s", "one")
		time.Sleep(unusual - 1)
		over()
		defer tool.waiting("for %s", "two")()
		time.Sleep(unusual + 1)
		if want := "dmq: waiting for two\n"; said.String() != want {
			t.Errorf("got %q, want %q", said.String(), want)
		}
	})
}

// However produce ends, it says what is stored.
func TestProduceTellsWhatIsStored(t *testing.T) {
	playNode(t, `
		1> 0a000000 0200000000000000 7031
		1< c8000000
		1> 0200000000000000 7231 0200000000000000 7232
		1> 0000000000000000 08000000
		1<EOF`)
	got := dmq(t.Context(), strings.NewReader("r1\nr2\n"), "produce", "p1", "--json")
	check(t, got, 5, `{"stored":0,"unconfirmed":2}`+"\n", "outcome uncertain")
}
