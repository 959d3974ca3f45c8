package client_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// clusterOptions are for tests in which nodes hang: they are noticed soon, and still a busy
// machine is not taken for a node that hangs.
func clusterOptions(nodes ...*nodetest.Node) client.Options {
	options := client.Options{ConnectTimeout: time.Second, RequestTimeout: time.Second}
	for _, node := range nodes {
		options.Nodes = append(options.Nodes, node.Neo())
	}
	return options
}

// ledger notes how often each record came.
type ledger struct {
	mu    sync.Mutex
	times map[string]int
	total int
}

func (l *ledger) note(value []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.times == nil {
		l.times = map[string]int{}
	}
	l.times[string(value)]++
	l.total++
}

// distinct returns how many different records came, and how many came again.
func (l *ledger) distinct() (different, again int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.times), l.total - len(l.times)
}

// A producer and two consumers of three nodes go on while the nodes are stopped, killed and
// paused in turn. No record is lost. Twice come at most those that were under way when a
// connection broke: pending records of the producer, one batch per node of the consumers.
func TestNodesComeAndGo(t *testing.T) {
	nodes := startNodes(t, 3)
	c := newClient(t, clusterOptions(nodes...))
	waitConnected(t, c, 3)
	const pending = 100
	p := newProducer(t, c, client.ProducerOptions{MaxPendingRecords: pending})
	var got ledger
	var group sync.WaitGroup
	var consumers []client.Consumer
	for range 2 {
		consumer := consume(t, c, "jobs", client.ConsumeOptions{})
		consumers = append(consumers, consumer)
		group.Go(func() {
			if err := consumer.Each(func(_ context.Context, r client.Record) error { got.note(r.Value); return nil }); err != nil {
				t.Errorf("Consume: %v", err)
			}
		})
	}

	pushed, done := 0, atomic.Bool{}
	var producing sync.WaitGroup
	producing.Go(func() {
		for !done.Load() {
			if err := p.Push(patient(t), fmt.Appendf(nil, "record %d", pushed), "jobs"); err != nil {
				t.Errorf("Push: %v", err)
				return
			}
			pushed++
		}
	})
	flows := func() { // records go through
		t.Helper()
		before := p.State().Stored
		eventually(t, "records are stored", func() bool { return p.State().Stored > before+300 })
	}
	breaks := 0
	stop, kill := func(n *nodetest.Node) { n.Stop() }, (*nodetest.Node).Kill
	rounds := [][]func(*nodetest.Node){{stop, kill, stop}, {kill, stop, kill}}
	if testing.Short() {
		rounds = rounds[:1]
	}
	for _, ends := range rounds {
		for i, end := range ends {
			flows()
			end(nodes[i])
			breaks++
			flows()
			nodes[i].Restart()
			waitConnected(t, c, 3)
		}
	}
	done.Store(true)
	producing.Wait()
	if err := p.Close(patient(t)); err != nil {
		t.Error(err)
	}
	eventually(t, "all records have come", func() bool {
		different, _ := got.distinct()
		return different == pushed
	})
	for _, consumer := range consumers {
		consumer.Stop()
	}
	group.Wait()
	different, again := got.distinct()
	// Records of at least 8 + 8 bytes, two batches of MinBatch bytes at each break.
	if limit := breaks * (pending + 2*100_000/16); different != pushed || again > limit {
		t.Errorf("of %d records got %d, and %d again, want all, and %d again at most", pushed, different, again, limit)
	}
	t.Logf("%d records, %d came again", pushed, again)
}

// Pushes and Pops of many goroutines go on with the other nodes when one is stopped in an
// orderly way or killed.
func TestPushWhileNodesEnd(t *testing.T) {
	nodes := startNodes(t, 3)
	c := newClient(t, clusterOptions(nodes...))
	waitConnected(t, c, 3)
	const goroutines = 8
	var done atomic.Bool
	var pushed [goroutines]int
	var group sync.WaitGroup
	for i := range goroutines {
		group.Go(func() {
			for ; !done.Load(); pushed[i]++ {
				if err := c.Push(patient(t), fmt.Appendf(nil, "record %d-%d", i, pushed[i]), "jobs"); err != nil {
					t.Errorf("Push: %v", err)
					return
				}
			}
		})
	}
	flows := func() {
		t.Helper()
		before := pushesOf(c)
		eventually(t, "records are pushed", func() bool { return pushesOf(c) > before+100 })
	}
	flows()
	nodes[0].Stop()
	flows()
	nodes[1].Kill()
	flows()
	nodes[0].Restart()
	nodes[1].Restart()
	waitConnected(t, c, 3)
	done.Store(true)
	group.Wait()

	var got ledger
	for {
		value, err := c.Pop(patient(t), "jobs")
		if errors.Is(err, client.ErrEmpty) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got.note(value)
	}
	want := 0
	for _, n := range pushed {
		want += n
	}
	if different, again := got.distinct(); different != want || again > 2*goroutines {
		t.Errorf("of %d records got %d, and %d again, want all, and %d again at most", want, different, again, 2*goroutines)
	}
}

func pushesOf(c *client.Client) (n uint64) {
	for _, state := range c.Nodes() {
		n += state.Pushed
	}
	return n
}

// A node that hangs is left out after RequestTimeout, and comes back when it goes on.
func TestPausedNode(t *testing.T) {
	nodes := startNodes(t, 3)
	c := newClient(t, clusterOptions(nodes...))
	waitConnected(t, c, 3)
	p := newProducer(t, c, client.ProducerOptions{})
	values := numbered(3000)
	produce(t, p, "jobs", values[:1000]...)
	nodes[1].Signal(syscall.SIGSTOP)
	t.Cleanup(func() { nodes[1].Signal(syscall.SIGCONT) })
	produce(t, p, "jobs", values[1000:2000]...)
	if err := p.Flush(patient(t)); err != nil {
		t.Error(err)
	}
	eventually(t, "the state tells of it", func() bool {
		// The producer may have got along without that node.
		if err := c.Push(patient(t), []byte("more"), "others"); err != nil {
			t.Error(err)
		}
		s := c.Nodes()[1]
		return s.State != client.Connected && s.Err != nil
	})
	if err := c.Push(patient(t), []byte("one more"), "others"); err != nil {
		t.Error(err)
	}
	nodes[1].Signal(syscall.SIGCONT)
	waitConnected(t, c, 3)
	produce(t, p, "jobs", values[2000:]...)
	if err := p.Close(patient(t)); err != nil {
		t.Error(err)
	}
	var got ledger
	for _, value := range popAll(t, c, "jobs") {
		got.note([]byte(value))
	}
	if different, again := got.distinct(); different != len(values) || again > 2000 {
		t.Errorf("of %d records got %d, and %d again, want all, and 2000 again at most", len(values), different, again)
	}
}

// A node that knows other credentials costs the requests nothing.
func TestOneNodeRejects(t *testing.T) {
	nodes := startNodes(t, 2)
	nodes = append(nodes, startNodes(t, 1, nodetest.Credentials("other:"+strings.Repeat("0", 256)+"\n"))...)
	c := newClient(t, clusterOptions(nodes...))
	waitConnected(t, c, 2)
	values := numbered(100)
	pushAll(t, c, "jobs", values...)
	consumer, err := c.Consume(context.Background(), "jobs", client.ConsumeOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var got ledger
	for _, value := range collect(t, consumer, 100) {
		got.note([]byte(value))
	}
	if different, again := got.distinct(); different != 100 || again != 0 {
		t.Errorf("got %d records, and %d again, want 100 and 0", different, again)
	}
	eventually(t, "the state tells of it", func() bool { return errors.Is(c.Nodes()[2].Err, client.ErrRejected) })
	consumer.Stop()
	wantValues(t, rest(t, consumer), nil)
}

// lines gathers what is logged.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// A node that is restarted with other credentials is logged as rejecting, once for the client
// and once for the consumer, though failures to reach it have been logged before.
func TestCredentialsChange(t *testing.T) {
	nodes := startNodes(t, 1)
	options := clusterOptions(nodes...)
	var log lines
	options.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	c := newClient(t, options)
	waitConnected(t, c, 1)
	consumer := consume(t, c, "jobs", client.ConsumeOptions{})
	if err := consumer.WaitStarted(patient(t), 1); err != nil {
		t.Fatal(err)
	}
	nodes[0].Stop()
	eventually(t, "refused", func() bool { return strings.Contains(fmt.Sprint(c.Nodes()[0].Err), "refused") })
	nodes[0].Configure(nodetest.Credentials("other:" + strings.Repeat("0", 256) + "\n"))
	nodes[0].Launch()
	eventually(t, "the log tells that the node rejects both", func() bool {
		return log.count(client.ErrRejected.Error()) == 2
	})
}

// Several goroutines share the records of one consumer; each batch is acknowledged when the
// last of its records is handled, so in the end nothing comes again.
func TestConsumeInSeveralGoroutines(t *testing.T) {
	c := connect(t, startNodes(t, 2)...)
	p := newProducer(t, c, client.ProducerOptions{})
	values := numbered(12000)
	produce(t, p, "jobs", values...)
	if err := p.Close(patient(t)); err != nil {
		t.Fatal(err)
	}
	consumer := consume(t, c, "jobs", client.ConsumeOptions{})
	var got ledger
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for record, err := range consumer.Records() {
				if err != nil {
					t.Errorf("Consume: %v", err)
					return
				}
				got.note(record.Value)
			}
		})
	}
	eventually(t, "all records have come", func() bool {
		different, _ := got.distinct()
		return different == len(values)
	})
	consumer.Stop()
	group.Wait()
	if different, again := got.distinct(); different != len(values) || again != 0 {
		t.Errorf("of %d records got %d, and %d again, want all and none again", len(values), different, again)
	}
	next := consume(t, c, "jobs", client.ConsumeOptions{})
	next.Stop()
	wantValues(t, rest(t, next), nil)
}

// Every subscriber gets every record; consumers of one subscriber share them.
func TestSubscribers(t *testing.T) {
	c := connect(t, startNodes(t, 2)...)
	names := []string{"", "a", "b"}
	var consumers []client.Consumer
	for _, name := range names {
		consumers = append(consumers, consume(t, c, "jobs", client.ConsumeOptions{Subscriber: name}))
	}
	values := numbered(100)
	pushAll(t, c, "jobs", values...)
	for i, consumer := range consumers {
		var got ledger
		for _, value := range collect(t, consumer, len(values)) {
			got.note([]byte(value))
		}
		if different, again := got.distinct(); different != len(values) || again != 0 {
			t.Errorf("subscriber %q: got %d records, and %d again, want %d and 0", names[i], different, again, len(values))
		}
	}
}

// However often a consumer is stopped, at whatever moment, suspended and resumed, every
// record comes once: Stop loses and doubles nothing.
func TestStopAtAnyMoment(t *testing.T) {
	c := connect(t, startNodes(t, 2)...)
	p := newProducer(t, c, client.ProducerOptions{MaxPendingRecords: 50})
	const records = 3000
	var producing sync.WaitGroup
	producing.Go(func() {
		for i := range records {
			err := p.Push(patient(t), fmt.Appendf(nil, "record %d", i), "jobs")
			if err == nil && i%20 == 0 {
				err = p.Flush(patient(t)) // so that it takes a while
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	defer producing.Wait()
	var got ledger
	consumers := 0
	for deadline := patient(t); ; consumers++ {
		if different, _ := got.distinct(); different == records {
			break
		}
		if deadline.Err() != nil {
			different, _ := got.distinct()
			t.Fatalf("got %d of %d records in time, by %d consumers", different, records, consumers)
		}
		consumer, err := c.Consume(context.Background(), "jobs", client.ConsumeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		stopAfter := rand.IntN(200)
		var group sync.WaitGroup
		group.Go(func() { // at a moment that has nothing to do with the records
			time.Sleep(rand.N(3 * time.Millisecond))
			consumer.Suspend()
			consumer.Resume()
			consumer.Stop()
		})
		for n := range 2 {
			group.Go(func() {
				taken := 0
				for record, err := range consumer.Records() {
					if err != nil {
						t.Error(err)
						return
					}
					got.note(record.Value)
					if taken++; n == 0 && taken == stopAfter {
						consumer.Stop()
					}
				}
			})
		}
		group.Wait()
	}
	if different, again := got.distinct(); different != records || again != 0 {
		t.Errorf("of %d records got %d, and %d again, want all and none again; %d consumers", records, different, again, consumers)
	}
}
