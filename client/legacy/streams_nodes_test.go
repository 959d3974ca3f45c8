package legacy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy"
)

// consumer is a Consume whose records a test takes one by one.
type consumer struct {
	t    testing.TB
	next func() ([]byte, error, bool)
}

// consume starts a Consume. The test ends it with stop, or its end does.
func consume(t testing.TB, ctx context.Context, client *legacy.Client, channel string) (c *consumer, stop func()) {
	next, stop := iter.Pull2(client.Consume(ctx, channel))
	t.Cleanup(stop)
	return &consumer{t, next}, stop
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
		got = append(got, string(record))
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
	if record != nil || !more || !errors.Is(err, want) {
		c.t.Fatalf("got %q, error %v, want error %v", record, err, want)
	}
	if record, err, more := c.next(); more {
		c.t.Fatalf("behind the end: got %q, error %v", record, err)
	}
}

func TestConsumeFromAllNodes(t *testing.T) {
	nodes := startNodes(t, 3)
	client := newClient(t, legacy.Options{}, nodes...)
	c, _ := consume(t, patient(t), client, "a")
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
			c, _ := consume(t, ctx, client, "a")
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
		c, stop := consume(t, patient(t), client, channel)
		push(t, client, channel, "x")
		c.expect("x")
		stop()
		for _, n := range client.Nodes() {
			if n.Busy != 0 || n.State != legacy.Connected {
				t.Errorf("after leaving: got %+v, want no connection in use", n)
			}
		}
	}
}

func TestConsumeOnceReportsALostNode(t *testing.T) {
	nodes := startNodes(t, 2)
	client := newClient(t, legacy.Options{ConsumeOnce: true}, nodes...)
	c, _ := consume(t, patient(t), client, "a")
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

func TestProduceSpreadsWhatIsConfirmed(t *testing.T) {
	nodes := startNodes(t, 3)
	client := newClient(t, legacy.Options{}, nodes...)
	p, err := client.ProduceMulti(patient(t), []string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	values := numbered("r", 300)
	for i, value := range values {
		if err := p.Write([]byte(value)); err != nil {
			t.Fatal(err)
		}
		if i%100 == 99 {
			if err := p.Confirm(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if p.Stored() != 300 {
		t.Errorf("stored: got %d, want 300", p.Stored())
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	for _, n := range client.Nodes() {
		if n.Produced != 100 || n.Busy != 0 {
			t.Errorf("got %+v, want 100 records on each node and no connection in use", n)
		}
	}
	for _, channel := range []string{"a", "b"} {
		wantEach(t, popAll(t, client, channel), values, exactly(1))
	}
}

// produce writes records. In the middle it confirms, sends one more, and disturbs.
func produce(p *legacy.Producer, values []string, disturb func()) error {
	for i, value := range values {
		if i == len(values)/2 {
			if err := p.Confirm(); err != nil {
				return err
			}
		}
		if err := p.Write([]byte(value)); err != nil {
			break // and Close tells
		}
		if i == len(values)/2 {
			if err := p.Flush(); err != nil {
				return err
			}
			disturb()
		}
	}
	return p.Close()
}

func TestProduceToAKilledNodeIsUncertain(t *testing.T) {
	nodes := startNodes(t, 1)
	client := newClient(t, legacy.Options{}, nodes...)
	p, err := client.Produce(patient(t), "a")
	if err != nil {
		t.Fatal(err)
	}
	values := numbered("r", 1000)
	err = produce(p, values, nodes[0].Kill)
	wantError(t, err, legacy.ErrUncertain)
	if p.Stored() != 500 {
		t.Errorf("stored: got %d, want the 500 that were confirmed", p.Stored())
	}
	nodes[0].Restart()
	if err := client.WaitConnected(patient(t), 0); err != nil {
		t.Fatal(err)
	}
	got := popAll(t, client, "a")
	wantEach(t, got, values[:500], exactly(1))
	wantEach(t, got, values[500:], times{0, 1})
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
			client := newClient(t, legacy.Options{AtLeastOnce: true, MaxUnconfirmed: 2000}, nodes...)
			p, err := client.Produce(patient(t), "a")
			if err != nil {
				t.Fatal(err)
			}
			values := numbered("r", 1000)
			half, killed, done := make(chan struct{}), make(chan struct{}), make(chan error)
			go func() {
				done <- produce(p, values, func() {
					close(half)
					<-killed
				})
			}()
			select {
			case <-half:
			case err := <-done:
				t.Fatal(err)
			}
			target := slices.IndexFunc(client.Nodes(), func(n legacy.NodeState) bool { return n.Busy > 0 })
			nodes[target].Kill()
			close(killed)
			nodes[target].Restart() // while the producer tries again
			if err := <-done; err != nil || p.Stored() != 1000 {
				t.Errorf("got error %v, %d stored, want 1000", err, p.Stored())
			}
			if err := client.WaitConnected(patient(t), 0); err != nil {
				t.Fatal(err)
			}
			wantEach(t, popAll(t, client, "a"), values, times{1, 2})
		})
	}
}
