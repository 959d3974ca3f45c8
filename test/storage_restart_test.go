package test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// ending is a way in which a node ends before it is started again.
type ending struct {
	name    string
	options nodetest.Option // that the node needs for it
	end     func(t *testing.T, node *nodetest.Node)
}

var endings = []ending{
	{"kill", nodetest.All(), func(_ *testing.T, node *nodetest.Node) { node.Kill() }},
	{"stop", nodetest.All(), stopInOrder},
	{"keep", keepFiles, stopKeeping},
}

// start starts a node that is to end in that way.
func (e ending) start(t *testing.T, options ...nodetest.Option) *nodetest.Node {
	t.Helper()
	return nodetest.Start(t, append(options, e.options)...)
}

// keepFiles makes a clean stop leave the files of this node, not those of a D node.
var keepFiles = nodetest.Set("Storage.stop", "keep")

// stopKeeping ends such a node with SIGTERM.
func stopKeeping(t *testing.T, node *nodetest.Node) {
	t.Helper()
	if status := node.Stop(); status != 0 {
		t.Errorf("got exit status %d after SIGTERM, want 0", status)
	}
	for _, name := range namesOf(t, node.Path("data")) {
		if strings.HasSuffix(name, ".rq") || name == "overflow.dat" || name == "ofchannels.csv" {
			t.Errorf("with stop = keep a stop leaves %s", name)
		}
	}
}

// stopInOrder ends a node with SIGTERM. What it leaves must be fit for a D node.
func stopInOrder(t *testing.T, node *nodetest.Node) {
	t.Helper()
	if status := node.Stop(); status != 0 {
		t.Errorf("got exit status %d after SIGTERM, want 0", status)
	}
	if _, err := readStopped(node.Path("data"), anySize); err != nil {
		t.Errorf("after SIGTERM the data directory is not one of storage spec §9: %v", err)
	}
}

// eachEnding runs a test for each ending.
func eachEnding(t *testing.T, test func(t *testing.T, e ending)) {
	for _, ending := range endings {
		t.Run(ending.name, func(t *testing.T) {
			t.Parallel()
			test(t, ending)
		})
	}
}

// The functions below have connections of their own and leave none open, for which a clean
// stop would wait.

// produceTo stores records of 100 bytes with the numbers first to last-1.
func produceTo(t *testing.T, node *nodetest.Node, channel string, first, last int) {
	t.Helper()
	c := dial(t, node)
	c.produceRecords(channel, first, last, 100)
	c.must(c.Close())
}

// pushTo stores records, with one neo Push each.
func pushTo(t *testing.T, node *nodetest.Node, channel string, records ...string) {
	t.Helper()
	c := connect(t, node)
	for _, r := range records {
		c.push(r, channel)
	}
	c.must(c.Close())
}

// subscribeTo makes subscribers of a channel without records.
func subscribeTo(t *testing.T, node *nodetest.Node, channel string, subscribers ...string) {
	t.Helper()
	for _, subscriber := range subscribers {
		wantQueue(t, node, channel, subscriber)
	}
}

// wantQueue requires the queue of a subscriber to consist of these records, and takes them.
func wantQueue(t *testing.T, node *nodetest.Node, channel, subscriber string, want ...string) {
	t.Helper()
	c := connect(t, node)
	k := c.consume(channel, subscriber)
	k.wantRecords(want...)
	k.stop()
	c.must(c.Close())
}

// wantFirst requires a plain channel to begin with these records, and takes them. When it
// returns, the node knows that they have been delivered.
func wantFirst(t *testing.T, node *nodetest.Node, channel string, want ...string) {
	t.Helper()
	c := connect(t, node)
	for _, record := range want {
		c.wantPop(channel, record)
	}
	c.alive()
	c.must(c.Close())
}

// wantPops requires a plain channel to consist of these records, and takes them.
func wantPops(t *testing.T, node *nodetest.Node, channel string, want ...string) {
	t.Helper()
	wantFirst(t, node, channel, want...)
	c := connect(t, node)
	c.wantPopStatus(channel, popEmpty)
	c.must(c.Close())
}

// smallRings make most records of the tests below go to the overflow.
var smallRings = nodetest.Set("Server.channel_size_limit", "1000")

// The records of a channel stay in order wherever they are, ring or overflow, over any
// number of restarts between which records come and go. The channel stays plain.
func TestRestartKeepsPlainChannel(t *testing.T) {
	eachEnding(t, func(t *testing.T, e ending) {
		node := e.start(t, smallRings)
		first, last := 0, 0
		for _, step := range []struct{ push, pop int }{{5, 0}, {30, 3}, {10, 20}, {0, 0}, {1, 22}, {50, 10}, {0, 41}} {
			produceTo(t, node, "plain", last, last+step.push)
			last += step.push
			wantFirst(t, node, "plain", numbered(first, first+step.pop, 100)...)
			first += step.pop
			e.end(t, node)
			node.Restart()
		}
		if first != last {
			t.Fatalf("the test leaves records %d to %d", first, last-1)
		}
		pushTo(t, node, "plain", "last")
		wantPops(t, node, "plain", "last")
	})
}

// Subscribers stay subscribed, each with its own records, also those without any.
func TestRestartKeepsSubscribers(t *testing.T) {
	eachEnding(t, func(t *testing.T, e ending) {
		node := e.start(t, smallRings)
		produceTo(t, node, "ch", 0, 30)
		wantQueue(t, node, "ch", "", numbered(0, 30, 100)...)
		subscribeTo(t, node, "ch", "a", "b")
		produceTo(t, node, "ch", 30, 60)
		wantQueue(t, node, "ch", "b", numbered(30, 60, 100)...)
		subscribeTo(t, node, "neo", "x")
		legacy := dial(t, node)
		legacy.consume("legacy")
		legacy.must(legacy.Close())
		e.end(t, node)
		node.Restart()

		for _, channel := range []string{"ch", "legacy", "neo"} {
			c := connect(t, node)
			c.wantPopStatus(channel, popSubscribed)
			c.must(c.Close())
			produceTo(t, node, channel, 60, 61)
		}
		e.end(t, node)
		node.Restart()
		wantQueue(t, node, "ch", "", numbered(30, 61, 100)...)
		wantQueue(t, node, "ch", "a", numbered(30, 61, 100)...)
		wantQueue(t, node, "ch", "b", record(60, 100))
		wantQueue(t, node, "ch", "new")
		wantQueue(t, node, "legacy", "", record(60, 100))
		wantQueue(t, node, "neo", "x", record(60, 100))
		wantQueue(t, node, "neo", "")
	})
}

// A clean stop leaves a dump of 12 bytes for a subscriber without records, so that D knows
// it too (storage spec §5.5), and nothing of an empty plain channel.
func TestStopSavesEmptySubscribers(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	subscribeTo(t, node, "subscribed", "", "a")
	pushTo(t, node, "plain", "gone")
	wantPops(t, node, "plain", "gone")
	stopInOrder(t, node)
	wantSameFiles(t, node.Path("data"), map[string]string{"@subscribed.rq": dumpOf(), "a@subscribed.rq": dumpOf()})
}

// A removed channel stays removed with all its subscribers and records, and a channel that
// got its name later keeps what it has.
func TestRestartKeepsChannelsRemoved(t *testing.T) {
	eachEnding(t, func(t *testing.T, e ending) {
		node := e.start(t, smallRings)
		for _, channel := range []string{"plain", "subscribed", "again", "stays"} {
			produceTo(t, node, channel, 0, 30)
		}
		consumer, c := connect(t, node), dial(t, node)
		consumer.consume("subscribed", "a").batch() // and does not confirm it
		consumer.consume("subscribed", "b")
		consumer.consume("again", "a")
		for _, channel := range []string{"plain", "subscribed", "again", "unknown"} {
			c.remove(channel)
		}
		c.must(c.Close())
		c.must(consumer.Close())
		produceTo(t, node, "again", 30, 60)
		e.end(t, node)
		node.Restart()
		c = dial(t, node)
		for _, channel := range []string{"plain", "subscribed", "unknown"} {
			c.do(legacyclient.Request(legacyclient.Pop, channel), legacyclient.Error) // no such channel
		}
		wantPops(t, node, "again", numbered(30, 60, 100)...)
		wantPops(t, node, "stays", numbered(0, 30, 100)...)
	})
}

// Records of length 0, which only neo clients can push and get, survive; legacy clients
// skip them before and after (legacy protocol spec §7.7).
func TestRestartKeepsEmptyRecords(t *testing.T) {
	eachEnding(t, func(t *testing.T, e ending) {
		node := e.start(t, nodetest.Set("Server.channel_size_limit", "30"))
		long := strings.Repeat("long", 10)
		records := []string{"", "a", "", "", long, "", "c", ""}
		subscribeTo(t, node, "subscribed", "")
		for _, channel := range []string{"neo", "legacy", "consumed", "subscribed"} {
			pushTo(t, node, channel, records...)
		}
		e.end(t, node)
		node.Restart()
		wantPops(t, node, "neo", records...)
		wantQueue(t, node, "consumed", "x", records...)
		popper, consumer := dial(t, node), dial(t, node)
		consumer.consume("subscribed")
		for _, r := range []string{"a", long, "c"} {
			popper.wantPop("legacy", r)
			consumer.wantArray(r)
		}
		popper.wantPop("legacy", "")
		popper.must(popper.Close())
		consumer.must(consumer.Close())
		e.end(t, node)
		node.Restart()
		wantPops(t, node, "neo")
	})
}

// A neo consumer has got a batch and not confirmed it: the whole of it comes again, first
// and in order, and nothing that was confirmed before.
func TestRestartRedeliversUnconfirmedBatch(t *testing.T) {
	for _, ring := range []string{"1000", "1000000"} {
		t.Run(ring, func(t *testing.T) {
			eachEnding(t, func(t *testing.T, e ending) {
				node := e.start(t, nodetest.Set("Server.channel_size_limit", ring))
				produceTo(t, node, "ch", 0, 3000)
				k := connect(t, node).consume("ch", "a")
				confirmed := k.batch()
				k.send(neoclient.Continue)
				k.batch()
				e.end(t, node)
				node.Restart()
				wantQueue(t, node, "ch", "a", numbered(len(confirmed), 3000, 100)...)
			})
		})
	}
}

// Several consumers hold a batch each, and another one has confirmed batches that lie between
// those: what was confirmed must not come again. (After a kill that holds for the first eight
// batches that were confirmed behind others.)
func TestRestartBehindBatchesThatAreHeld(t *testing.T) {
	for _, ring := range []string{"1000", "2000000"} {
		for _, holders := range []int{2, 6} {
			t.Run(fmt.Sprintf("ring=%s, holders=%d", ring, holders), func(t *testing.T) {
				eachEnding(t, func(t *testing.T, e ending) {
					testHeldBatches(t, ring, holders, e)
				})
			})
		}
	}
}

func testHeldBatches(t *testing.T, ring string, holders int, e ending) {
	node := e.start(t, nodetest.Set("Server.channel_size_limit", ring))
	const count = 15_000
	produceTo(t, node, "ch", 0, count)
	other := connect(t, node).consume("ch", "a")
	unconfirmed := other.batch()
	taken := len(unconfirmed)
	var want []string
	for range holders {
		held := connect(t, node).consume("ch", "a").batch()
		want = append(want, held...)
		other.send(neoclient.Continue)
		unconfirmed = other.batch()
		taken += len(held) + len(unconfirmed)
	}
	want = append(want, unconfirmed...)
	want = append(want, numbered(taken, count, 100)...)
	e.end(t, node)
	node.Restart()
	wantQueue(t, node, "ch", "a", want...)
}

// A dump that an earlier process left lies under the name of a storage whose dump is to be
// written: it must not win.
func TestStopReplacesAnotherDump(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	pushTo(t, node, "ch", "new")
	if err := os.WriteFile(node.Path("data/ch.rq"), []byte(dumpOf("foreign")), 0o644); err != nil {
		t.Fatal(err)
	}
	stopInOrder(t, node)
	wantStopped(t, node.Path("data"), map[string][]string{"ch": {"new"}})
	node.WaitLog(`^Warn \[storage:ch\] .*ch\.rq`)
}

// One dump can't get its name. The others are written, the exit status and the log tell, and
// when the obstacle is gone everything is there once.
func TestStopWithADumpThatFails(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, smallRings)
	channels := []string{"first", "second", "third"}
	for _, channel := range channels {
		produceTo(t, node, channel, 0, 30)
	}
	must(t, os.Mkdir(node.Path("data/second.rq"), 0o755))
	if status := node.Stop(); status != 1 {
		t.Errorf("got exit status %d, want 1", status)
	}
	node.WaitLog(`^Error \[dmqnode\.storage\] .*second\.rq`)
	for _, name := range []string{"first.rq", "third.rq"} {
		if _, err := os.Stat(node.Path("data/" + name)); err != nil {
			t.Errorf("another dump: %v", err)
		}
	}
	must(t, os.Remove(node.Path("data/second.rq")))
	node.Restart()
	for _, channel := range channels {
		wantPops(t, node, channel, numbered(0, 30, 100)...)
	}
}
