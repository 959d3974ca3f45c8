package storage

import (
	"errors"
	"fmt"
	"maps"
	"math/rand"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/datadir"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// The test below runs a node under load and ends it at random moments, mostly by SIGKILL,
// sometimes in order, and starts it again in the same directory. A ledger judges every record
// that any client gets, and every one that a clean stop leaves on disk.

// killRings are usual ring sizes by channel prefix: so small that the overflow is used all the
// time, and that some records fit no ring.
var killRings = map[string]int{"sub": 20_000, "legacy": 100_000, "popped": 3000, "short": 200, "churn": 2000, "shared": 300_000}

// killWorld is the node and its clients.
type killWorld struct {
	t       *testing.T
	node    *nodetest.Node
	random  *rand.Rand
	ledger  *ledger
	workers []worker
	neo     map[*queue]bool // is read by a neo consumer
	churns  []*churn
	shared  shared
	rings   map[string]int // sizes by channel prefix
	mode    stopMode

	kills, stops int
}

// worker is a client that works until its connection ends. It belongs to one round.
type worker func(r *round) error

// round is the time from a start to the end of the node.
type round struct {
	legacy, neo string // addresses
	ending      atomic.Bool
	group       sync.WaitGroup
	errs        chan error
}

// violation is an error that the end of the node does not excuse.
type violation struct{ error }

func violated(format string, a ...any) error { return violation{fmt.Errorf(format, a...)} }

func newKillWorld(t *testing.T) *killWorld {
	w := &killWorld{t: t, random: nodetest.Random(t), neo: map[*queue]bool{}, rings: maps.Clone(killRings), mode: dumpMode}
	w.node = nodetest.Prepare(t,
		nodetest.Set("EventLoop.count", "2"),
		nodetest.Set("Storage.sync_ms", "70"))
	w.resize()
	w.node.Restart()
	w.ledger = newLedger(w.random)
	w.addConsumers()
	w.addProducers()
	for i := range 2 {
		c := newChurn(fmt.Sprintf("churn%d", i), w.random.Int63())
		w.churns = append(w.churns, c)
		w.workers = append(w.workers, c.work)
	}
	clients.SubscribeTo(t, w.node, sharedChannel, "s")
	w.workers = append(w.workers, w.shared.workers(w.random)...)
	return w
}

// resize changes the sizes of rings, and what stops leave, for the next start.
func (w *killWorld) resize() {
	for _, prefix := range slices.Sorted(maps.Keys(w.rings)) {
		if w.random.Intn(2) == 0 {
			w.rings[prefix] = killRings[prefix]/2 + w.random.Intn(killRings[prefix])
		}
		w.node.Configure(nodetest.Set("ChannelSizeById."+prefix, fmt.Sprint(w.rings[prefix])))
	}
	w.mode = []stopMode{dumpMode, keepMode}[w.random.Intn(2)]
	w.node.Configure(nodetest.Set("Storage.stop", w.mode.value))
}

// ringSize is that of a channel since the last start.
func (w *killWorld) ringSize(channel string) int {
	for prefix, size := range w.rings {
		if strings.HasPrefix(channel, prefix) {
			return size
		}
	}
	return 0
}

// addConsumers makes the queues, each with one client that reads it.
func (w *killWorld) addConsumers() {
	subscriber := func(channel, subscriber string, pause time.Duration) {
		q := w.ledger.addQueue(channel, subscriber)
		w.neo[q] = true
		clients.SubscribeTo(w.t, w.node, channel, subscriber)
		random := rand.New(rand.NewSource(w.random.Int63()))
		w.workers = append(w.workers, func(r *round) error { return r.consume(q, random, pause) })
	}
	subscriber("sub1", "", 0)
	subscriber("sub1", "a", time.Millisecond)
	subscriber("sub1", "slow", 20*time.Millisecond)
	subscriber("sub2", "a", 0)
	clients.SubscribeTo(w.t, w.node, "sub2", "worker")
	works := w.ledger.addQueue("sub2", "worker")
	w.neo[works] = true
	random := rand.New(rand.NewSource(w.random.Int63()))
	w.workers = append(w.workers, func(r *round) error { return r.work(works, random) })
	subscriber("legacy", "slow", 20*time.Millisecond)
	clients.SubscribeTo(w.t, w.node, "legacy", "")
	q := w.ledger.addQueue("legacy", "")
	w.workers = append(w.workers, func(r *round) error { return r.consumeLegacy(q) })
	for _, channel := range []string{"popped-legacy", "short"} {
		q := w.ledger.addQueue(channel)
		w.workers = append(w.workers, func(r *round) error { return r.popLegacy(q) })
	}
	q2 := w.ledger.addQueue("popped-neo")
	w.workers = append(w.workers, func(r *round) error { return r.popNeo(q2) })
}

func (w *killWorld) addProducers() {
	add := func(produce func(*round, *source, *rand.Rand) error, channels ...string) *source {
		s := w.ledger.addSource(channels...)
		random := rand.New(rand.NewSource(w.random.Int63()))
		w.workers = append(w.workers, func(r *round) error { return produce(r, s, random) })
		return s
	}
	add((*round).push, "sub1")
	add((*round).push, "popped-legacy")
	add((*round).push, "short").short = true
	add((*round).pushMulti, "sub2", "popped-neo")
	add((*round).pushMulti, "legacy", "sub1")
	add((*round).pushNeo, "sub2")
	add((*round).pushNeo, "popped-legacy", "popped-neo")
	add((*round).produce, "sub2")
	add((*round).produce, "legacy")
	add((*round).produceMulti, "sub1", "legacy")
}

// run lets the clients work for a while, ends the node, and waits for the clients.
func (w *killWorld) run(while time.Duration, end func()) {
	w.t.Helper()
	r := &round{legacy: w.node.Legacy(), neo: w.node.Neo(), errs: make(chan error, len(w.workers))}
	w.ledger.begin()
	for _, work := range w.workers {
		r.group.Go(func() {
			err := work(r)
			if isViolation := errors.As(err, new(violation)); err != nil && (isViolation || !r.ending.Load()) {
				r.errs <- err
			}
		})
	}
	var failed error
	select {
	case <-time.After(while): // the random moment
	case failed = <-r.errs:
	}
	r.ending.Store(true)
	end()
	w.ledger.end()
	r.group.Wait()
	close(r.errs)
	for err := range r.errs {
		w.t.Error(err)
	}
	if failed != nil {
		w.t.Error(failed)
	}
	if w.t.Failed() {
		w.t.Fatalf("after %d kills and %d stops", w.kills, w.stops)
	}
}

func (w *killWorld) kill() {
	w.kills++
	w.node.Kill()
}

// stop ends the node in order and judges what it leaves.
func (w *killWorld) stop() {
	w.t.Helper()
	w.stops++
	w.node.Signal(syscall.SIGTERM)
	w.ledger.end() // those who wait for others close their connections
	if status := w.node.Wait(); status != 0 {
		w.t.Errorf("got exit status %d, want 0", status)
	}
}

func (w *killWorld) judgeStop() {
	w.t.Helper()
	if w.mode.value == keepMode.value { // then clients judge what it has left
		for _, q := range w.ledger.queues {
			q.stopped(w.neo[q])
		}
		return
	}
	storages, err := datadir.ReadStopped(w.node.Path("data"), w.ringSize)
	if err != nil {
		w.t.Fatalf("stop %d: %v", w.stops, err)
	}
	for _, q := range w.ledger.queues {
		s, there := storages[q.storage()]
		if q.subscribed && !there {
			w.t.Errorf("stop %d: nothing is left of subscriber %s", w.stops, q.storage())
		}
		q.stopped(w.neo[q])
		if err := q.onDisk(s.All()); err != nil {
			w.t.Errorf("stop %d: %v", w.stops, err)
		}
		delete(storages, q.storage())
	}
	if err := w.shared.onDisk(storages["s@"+sharedChannel].All()); err != nil {
		w.t.Errorf("stop %d: %v", w.stops, err)
	}
	delete(storages, "s@"+sharedChannel)
	for storage := range storages {
		if !strings.Contains(storage, "churn") {
			w.t.Errorf("stop %d: there is a storage %s", w.stops, storage)
		}
	}
	if w.t.Failed() {
		w.t.FailNow()
	}
}

// drain reads all queues to their ends and requires that nothing is missing.
func (w *killWorld) drain() {
	w.t.Helper()
	for _, q := range w.ledger.queues {
		if err := q.drain(w.node); err != nil {
			w.t.Error(err)
		}
	}
	for _, c := range w.churns {
		if err := c.verify(w.node.Legacy(), w.node.Neo()); err != nil {
			w.t.Error(err)
		}
	}
	if err := w.shared.drain(w.node); err != nil {
		w.t.Error(err)
	}
	var records, copies int
	for _, q := range w.ledger.queues {
		records += q.delivered
		copies += q.copies
	}
	w.t.Logf("%d kills and %d stops; %d records, of which %d came again", w.kills, w.stops, records, copies)
}

// lastRecord begins the records that drain pushes; no producer has them.
const lastRecord = "the last record of "

// drain reads the queue up to a record that it pushes.
func (q *queue) drain(node *nodetest.Node) error {
	c, err := neoclient.Connect(node.Neo(), clients.TestLogin())
	if err != nil {
		return err
	}
	defer c.Close()
	last := lastRecord + q.storage()
	if status, err := c.Push([]byte(last), q.channel); err != nil || status != clients.Pushed {
		return fmt.Errorf("Push: got status %02x, error %v", status, err)
	}
	k, err := c.Consume(q.channel, q.subscriber)
	if err != nil {
		return err
	}
	for reader := q.newReader(); ; {
		batch, err := k.Records()
		if err != nil {
			return err
		}
		for i, value := range batch {
			switch {
			case string(value) == last && i < len(batch)-1:
				return fmt.Errorf("queue %s: %d records behind the last one", q.storage(), len(batch)-1-i)
			case string(value) == last:
				return reader.complete()
			case strings.HasPrefix(string(value), lastRecord):
				continue // that of another subscriber
			}
			if err := reader.take(value); err != nil {
				return err
			}
		}
		if err := k.Feedback(neoclient.Continue); err != nil {
			return err
		}
	}
}

// What was acknowledged is received once per subscriber and in order, whatever happens to the
// node and whenever.
func TestKillUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("kills at random moments are not for the short run")
	}
	t.Parallel()
	w := newKillWorld(t)
	usual := 15 * time.Second
	for inTime := nodetest.AtMost(usual); inTime(); w.node.Restart() {
		while := time.Duration(w.random.Intn(250)) * time.Millisecond
		if w.random.Intn(4) > 0 {
			w.run(while, w.kill)
		} else {
			w.run(while, w.stop)
			w.judgeStop()
		}
		if w.random.Intn(6) == 0 {
			w.resize()
		}
	}
	w.drain()
	if n := strings.Count(w.node.Log(), " Error "); n > 0 {
		t.Errorf("%d errors in root.log", n)
	}
}
