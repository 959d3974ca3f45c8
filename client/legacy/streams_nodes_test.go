package legacy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"sync"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy"
)

// consumer is a Consume whose records a test takes one by one.
type consumer struct {
	legacy.Consumer
	t    testing.TB
	next func() (legacy.Record, error, bool)
}

// consume starts a Consume. The test ends it with stop, or its end does.
func consume(t testing.TB, ctx context.Context, client *legacy.Client, channel string, options legacy.ConsumeOptions) (c *consumer, stop func()) {
	t.Helper()
	started, err := client.Consume(ctx, channel, options)
	if err != nil {
		t.Fatal(err)
	}
	next, end := iter.Pull2(started.Records())
	stop = func() {
		end()
		started.Close()
	}
	t.Cleanup(stop)
	return &consumer{started, t, next}, stop
}

// expect takes as many records as there are values, which may come in any order.
func (c *consumer) expect(values ...string) {
	c.t.Helper()
	var got []string
	for range values {
		record, err, _ := c.next()
		if err != nil {
			c.t.Fatalf("after %q: %v", got, err)
		}
		got = append(got, string(record.Value))
	}
	slices.Sort(got)
	slices.Sort(values)
	if !slices.Equal(got, values) {
		c.t.Fatalf("got %q, want %q", got, values)
	}
}

// expectEnd takes an error, behind which nothing comes.
func (c *consumer) expectEnd(want error) {
	c.t.Helper()
	record, err, more := c.next()
	if record.Value != nil || !more || !errors.Is(err, want) {
		c.t.Fatalf("got %q, error %v, want error %v", record.Value, err, want)
	}
	if record, err, more := c.next(); more {
		c.t.Fatalf("behind the end: got %q, error %v", record.Value, err)
	}
}

func TestConsumeFromAllNodes(t *testing.T) {
	nodes := startNodes(t, 3)
	client := newClient(t, legacy.Options{}, nodes...)
	c, _ := consume(t, patient(t), client, "a", legacy.ConsumeOptions{})
	push(t, client, "a", numbered("r", 30)...)
	c.expect(numbered("r", 30)...)

	nodes[0].Stop() // a killed node may deliver again what it has just delivered
	waitState(t, client, nodes[0].Legacy(), legacy.Disconnected)
	push(t, client, "a", numbered("s", 10)...)
	c.expect(numbered("s", 10)...)
	nodes[0].Restart()
	push(t, newClient(t, legacy.Options{}, nodes[0]), "a", numbered("t", 3)...)
	c.expect(numbered("t", 3)...) // it has come back by itself

	if err := client.WaitConnected(patient(t), 0); err != nil {
		t.Fatal(err)
	}
	if err := client.RemoveChannel(patient(t), "a"); err != nil {
		t.Fatal(err)
	}
	var removed []string
	for range nodes {
		var e *legacy.Error
		_, err, _ := c.next()
		if wantError(t, err, legacy.ErrChannelRemoved); errors.As(err, &e) {
			removed = append(removed, e.Node)
		}
	}
	for _, node := range nodes {
		if !slices.Contains(removed, node.Legacy()) {
			t.Errorf("removed at %q, want at %s too", removed, node.Legacy())
		}
	}
	if _, err, more := c.next(); more {
		t.Errorf("after the channel was removed everywhere: got error %v, want the end", err)
	}
}

func TestConsumeEnds(t *testing.T) {
	for _, tc := range []struct {
		name string
		end  func(cancel func(), client *legacy.Client)
		want error
	}{
		{"by its context", func(cancel func(), _ *legacy.Client) { cancel() }, context.Canceled},
		{"by Close", func(_ func(), client *legacy.Client) { client.Close() }, legacy.ErrClosed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			nodes := startNodes(t, 2)
			client := newClient(t, legacy.Options{}, nodes...)
			nodes[1].Stop() // a part that waits ends too
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			c, _ := consume(t, ctx, client, "a", legacy.ConsumeOptions{})
			push(t, client, "a", "x")
			c.expect("x")
			tc.end(cancel, client)
			c.expectEnd(tc.want)
		})
	}
}

// The connections of consumers that are left are closed.
func TestConsumeIsLeft(t *testing.T) {
	nodes := startNodes(t, 2)
	client := newClient(t, legacy.Options{}, nodes...)
	for i := range 3 {
		channel := fmt.Sprint("a", i) // of its own: a node may not know yet that a consumer is gone
		c, stop := consume(t, patient(t), client, channel, legacy.ConsumeOptions{})
		push(t, client, channel, "x")
		c.expect("x")
		stop()
		for _, n := range client.Nodes() {
			if n.InFlight != 0 || n.State != legacy.Connected {
				t.Errorf("after leaving: got %+v, want no connection in use", n)
			}
		}
	}
}

func TestConsumeOnceReportsALostNode(t *testing.T) {
	nodes := startNodes(t, 2)
	client := newClient(t, legacy.Options{}, nodes...)
	c, _ := consume(t, patient(t), client, "a", legacy.ConsumeOptions{Once: true})
	push(t, client, "a", numbered("r", 2)...)
	c.expect(numbered("r", 2)...)
	nodes[1].Stop()
	_, err, _ := c.next()
	var e *legacy.Error
	if wantError(t, err, io.ErrUnexpectedEOF); !errors.As(err, &e) || e.Node != nodes[1].Legacy() {
		t.Errorf("got %v, want one about %s", err, nodes[1].Legacy())
	}
	push(t, client, "a", "x")
	c.expect("x")
}

func TestProduceSpreadsOverAllNodes(t *testing.T) {
	nodes := startNodes(t, 3)
	client := newClient(t, legacy.Options{}, nodes...)
	p := client.Producer(legacy.ProducerOptions{})
	values := numbered("r", 300)
	for _, value := range values {
		if err := p.Push(patient(t), []byte(value), "a", "b"); err != nil {
			t.Fatal(err)
		}
		if err := p.Flush(patient(t)); err != nil {
			t.Fatal(err)
		}
	}
	if s := p.State(); s.Stored != 300 || s.Pending != 0 || s.PendingBytes != 0 {
		t.Errorf("got %+v, want 300 stored", s)
	}
	if err := p.Close(patient(t)); err != nil {
		t.Error(err)
	}
	for _, n := range client.Nodes() {
		if n.Pushed == 0 || n.InFlight != 0 {
			t.Errorf("got %+v, want records on each node and no connection in use", n)
		}
	}
	for _, channel := range []string{"a", "b"} {
		wantEach(t, popAll(t, client, channel), values, exactly(1))
	}
}

// produce pushes records. In the middle it flushes, pushes more, and disturbs.
func produce(t testing.TB, p legacy.Producer, values []string, disturb func()) error {
	for i, value := range values {
		if i == len(values)/2 {
			if err := p.Flush(patient(t)); err != nil {
				return err
			}
		}
		if err := p.Push(patient(t), []byte(value), "a"); err != nil {
			return err
		}
		if i == len(values)*3/4 {
			disturb()
		}
	}
	return p.Close(patient(t))
}

func TestProduceToAKilledNodeIsUncertain(t *testing.T) {
	nodes := startNodes(t, 1)
	client := newClient(t, legacy.Options{AtMostOnce: true}, nodes...)
	var mu sync.Mutex
	lost := make(map[string]bool)
	p := client.Producer(legacy.ProducerOptions{Retry: -1, OnError: func(value []byte, _ []string, err error) {
		mu.Lock()
		defer mu.Unlock()
		lost[string(value)] = errors.Is(err, legacy.ErrUncertain)
	}})
	values := numbered("r", 1000)
	err := produce(t, p, values, nodes[0].Kill)
	if s := p.State(); s.Stored < 500 || int(s.Failed) != len(lost) || s.Stored+s.Failed != 1000 || (err == nil) != (s.Failed == 0) {
		t.Errorf("got %+v, %d told, error %v, want 500 stored at least", s, len(lost), err)
	}
	nodes[0].Restart()
	if err := client.WaitConnected(patient(t), 0); err != nil {
		t.Fatal(err)
	}
	got := popAll(t, client, "a")
	for _, value := range values {
		uncertain, failed := lost[value]
		switch {
		case !failed && got[value] != 1, failed && !uncertain && got[value] != 0, got[value] > 1:
			t.Errorf("%s: there %d times; failed %v, uncertain %v", value, got[value], failed, uncertain)
		}
	}
}

func TestProduceAtLeastOnce(t *testing.T) {
	for _, tc := range []struct {
		name  string
		nodes int
	}{
		{"goes on at another node", 3},
		{"waits for the node to come back", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			nodes := startNodes(t, tc.nodes)
			client := newClient(t, legacy.Options{}, nodes...)
			p := client.Producer(legacy.ProducerOptions{MaxPendingBytes: 2000})
			values := numbered("r", 1000)
			err := produce(t, p, values, func() {
				nodes[0].Kill()
				nodes[0].Restart() // while the producer tries again
			})
			if s := p.State(); err != nil || s.Stored != 1000 {
				t.Errorf("got error %v, %+v, want 1000 stored", err, s)
			}
			if err := client.WaitConnected(patient(t), 0); err != nil {
				t.Fatal(err)
			}
			wantEach(t, popAll(t, client, "a"), values, times{1, 2})
		})
	}
}
