package storage

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/datadir"
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
	for _, name := range datadir.NamesOf(t, node.Path("data")) {
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
	if _, err := datadir.ReadStopped(node.Path("data"), datadir.AnySize); err != nil {
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

// The records of a channel stay in order wherever they are, ring or overflow, over any
// number of restarts between which records come and go. The channel stays plain.
func TestRestartKeepsPlainChannel(t *testing.T) {
	eachEnding(t, func(t *testing.T, e ending) {
		node := e.start(t, nodetest.SmallRings)
		first, last := 0, 0
		for _, step := range []struct{ push, pop int }{{5, 0}, {30, 3}, {10, 20}, {0, 0}, {1, 22}, {50, 10}, {0, 41}} {
			clients.ProduceTo(t, node, "plain", last, last+step.push)
			last += step.push
			clients.WantFirst(t, node, "plain", clients.Numbered(first, first+step.pop, 100)...)
			first += step.pop
			e.end(t, node)
			node.Restart()
		}
		if first != last {
			t.Fatalf("the test leaves records %d to %d", first, last-1)
		}
		clients.PushTo(t, node, "plain", "last")
		clients.WantPops(t, node, "plain", "last")
	})
}

// Subscribers stay subscribed, each with its own records, also those without any.
func TestRestartKeepsSubscribers(t *testing.T) {
	eachEnding(t, func(t *testing.T, e ending) {
		node := e.start(t, nodetest.SmallRings)
		clients.ProduceTo(t, node, "ch", 0, 30)
		clients.WantQueue(t, node, "ch", "", clients.Numbered(0, 30, 100)...)
		clients.SubscribeTo(t, node, "ch", "a", "b")
		clients.ProduceTo(t, node, "ch", 30, 60)
		clients.WantQueue(t, node, "ch", "b", clients.Numbered(30, 60, 100)...)
		clients.SubscribeTo(t, node, "neo", "x")
		legacy := clients.Legacy(t, node)
		legacy.MustConsume("legacy")
		legacy.Must(legacy.Close())
		e.end(t, node)
		node.Restart()

		for _, channel := range []string{"ch", "legacy", "neo"} {
			c := clients.Neo(t, node)
			c.WantPopStatus(channel, clients.PopSubscribed)
			c.Must(c.Close())
			clients.ProduceTo(t, node, channel, 60, 61)
		}
		e.end(t, node)
		node.Restart()
		clients.WantQueue(t, node, "ch", "", clients.Numbered(30, 61, 100)...)
		clients.WantQueue(t, node, "ch", "a", clients.Numbered(30, 61, 100)...)
		clients.WantQueue(t, node, "ch", "b", clients.Record(60, 100))
		clients.WantQueue(t, node, "ch", "new")
		clients.WantQueue(t, node, "legacy", "", clients.Record(60, 100))
		clients.WantQueue(t, node, "neo", "x", clients.Record(60, 100))
		clients.WantQueue(t, node, "neo", "")
	})
}

// A clean stop leaves a dump of 12 bytes for a subscriber without records, so that D knows
// it too (storage spec §5.5), and nothing of an empty plain channel.
func TestStopSavesEmptySubscribers(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	clients.SubscribeTo(t, node, "subscribed", "", "a")
	clients.PushTo(t, node, "plain", "gone")
	clients.WantPops(t, node, "plain", "gone")
	stopInOrder(t, node)
	datadir.WantSameFiles(t, node.Path("data"), map[string]string{"@subscribed.rq": datadir.DumpOf(), "a@subscribed.rq": datadir.DumpOf()})
}

// A removed channel stays removed with all its subscribers and records, and a channel that
// got its name later keeps what it has.
func TestRestartKeepsChannelsRemoved(t *testing.T) {
	eachEnding(t, func(t *testing.T, e ending) {
		node := e.start(t, nodetest.SmallRings)
		for _, channel := range []string{"plain", "subscribed", "again", "stays"} {
			clients.ProduceTo(t, node, channel, 0, 30)
		}
		consumer, c := clients.Neo(t, node), clients.Legacy(t, node)
		consumer.MustConsume("subscribed", "a").Batch() // and does not confirm it
		consumer.MustConsume("subscribed", "b")
		consumer.MustConsume("again", "a")
		for _, channel := range []string{"plain", "subscribed", "again", "unknown"} {
			c.MustRemove(channel)
		}
		c.Must(c.Close())
		c.Must(consumer.Close())
		clients.ProduceTo(t, node, "again", 30, 60)
		e.end(t, node)
		node.Restart()
		c = clients.Legacy(t, node)
		for _, channel := range []string{"plain", "subscribed", "unknown"} {
			c.MustDo(legacyclient.Request(legacyclient.Pop, channel), legacyclient.Error) // no such channel
		}
		clients.WantPops(t, node, "again", clients.Numbered(30, 60, 100)...)
		clients.WantPops(t, node, "stays", clients.Numbered(0, 30, 100)...)
	})
}

// Records of length 0, which only neo clients can push and get, survive; legacy clients
// skip them before and after (legacy protocol spec §7.7).
func TestRestartKeepsEmptyRecords(t *testing.T) {
	eachEnding(t, func(t *testing.T, e ending) {
		node := e.start(t, nodetest.Set("Server.channel_size_limit", "30"))
		long := strings.Repeat("long", 10)
		records := []string{"", "a", "", "", long, "", "c", ""}
		clients.SubscribeTo(t, node, "subscribed", "")
		for _, channel := range []string{"neo", "legacy", "consumed", "subscribed"} {
			clients.PushTo(t, node, channel, records...)
		}
		e.end(t, node)
		node.Restart()
		clients.WantPops(t, node, "neo", records...)
		clients.WantQueue(t, node, "consumed", "x", records...)
		popper, consumer := clients.Legacy(t, node), clients.Legacy(t, node)
		consumer.MustConsume("subscribed")
		for _, r := range []string{"a", long, "c"} {
			popper.WantPop("legacy", r)
			consumer.WantArray(r)
		}
		popper.WantPop("legacy", "")
		popper.Must(popper.Close())
		consumer.Must(consumer.Close())
		e.end(t, node)
		node.Restart()
		clients.WantPops(t, node, "neo")
	})
}

// A neo consumer has got a batch and not confirmed it: the whole of it comes again, first
// and in order, and nothing that was confirmed before.
func TestRestartRedeliversUnconfirmedBatch(t *testing.T) {
	for _, ring := range []string{"1000", "1000000"} {
		t.Run(ring, func(t *testing.T) {
			eachEnding(t, func(t *testing.T, e ending) {
				node := e.start(t, nodetest.Set("Server.channel_size_limit", ring))
				clients.ProduceTo(t, node, "ch", 0, 3000)
				k := clients.Neo(t, node).MustConsume("ch", "a")
				confirmed := k.Batch()
				k.Send(neoclient.Continue)
				k.Batch()
				e.end(t, node)
				node.Restart()
				clients.WantQueue(t, node, "ch", "a", clients.Numbered(len(confirmed), 3000, 100)...)
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
	clients.ProduceTo(t, node, "ch", 0, count)
	other := clients.Neo(t, node).MustConsume("ch", "a")
	unconfirmed := other.Batch()
	taken := len(unconfirmed)
	var want []string
	for range holders {
		held := clients.Neo(t, node).MustConsume("ch", "a").Batch()
		want = append(want, held...)
		other.Send(neoclient.Continue)
		unconfirmed = other.Batch()
		taken += len(held) + len(unconfirmed)
	}
	want = append(want, unconfirmed...)
	want = append(want, clients.Numbered(taken, count, 100)...)
	e.end(t, node)
	node.Restart()
	clients.WantQueue(t, node, "ch", "a", want...)
}

// A dump that an earlier process left lies under the name of a storage whose dump is to be
// written: it must not win.
func TestStopReplacesAnotherDump(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	clients.PushTo(t, node, "ch", "new")
	if err := os.WriteFile(node.Path("data/ch.rq"), []byte(datadir.DumpOf("foreign")), 0o644); err != nil {
		t.Fatal(err)
	}
	stopInOrder(t, node)
	datadir.WantStopped(t, node.Path("data"), map[string][]string{"ch": {"new"}})
	node.WaitLog(`^Warn \[storage:ch\] .*ch\.rq`)
}

// One dump can't get its name. The others are written, the exit status and the log tell, and
// when the obstacle is gone everything is there once.
func TestStopWithADumpThatFails(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.SmallRings)
	channels := []string{"first", "second", "third"}
	for _, channel := range channels {
		clients.ProduceTo(t, node, channel, 0, 30)
	}
	nodetest.Must(t, os.Mkdir(node.Path("data/second.rq"), 0o755))
	if status := node.Stop(); status != 1 {
		t.Errorf("got exit status %d, want 1", status)
	}
	node.WaitLog(`^Error \[dmqnode\.storage\] .*second\.rq`)
	for _, name := range []string{"first.rq", "third.rq"} {
		if _, err := os.Stat(node.Path("data/" + name)); err != nil {
			t.Errorf("another dump: %v", err)
		}
	}
	nodetest.Must(t, os.Remove(node.Path("data/second.rq")))
	node.Restart()
	for _, channel := range channels {
		clients.WantPops(t, node, channel, clients.Numbered(0, 30, 100)...)
	}
}
