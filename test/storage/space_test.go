package storage

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/datadir"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// filesOfChannel are the ring and spill files that tell that they belong to the channel, or to
// one whose name contains that.
func filesOfChannel(t *testing.T, node *nodetest.Node, channel string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(node.Path("data"))
	nodetest.Must(t, err)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "ring-") && !strings.HasPrefix(e.Name(), "spill-") {
			continue
		}
		head := make([]byte, 4096)
		f, err := os.Open(node.Path("data/" + e.Name()))
		if os.IsNotExist(err) {
			continue // it was deleted just then
		}
		nodetest.Must(t, err)
		n, _ := f.ReadAt(head, 0)
		f.Close()
		if strings.Contains(string(head[:n]), channel) {
			names = append(names, e.Name())
		}
	}
	return names
}

// idlePatience is how long a test waits for what queues do that have not been used for a while.
const idlePatience = 4 * nodetest.Patience

// A queue that was large and has been empty for a while costs neither memory nor disk space, and
// one that never had a record has no file.
func TestIdleQueueGivesItsSpaceBack(t *testing.T) {
	t.Parallel()
	nodetest.Slow(t)
	node := nodetest.Start(t, nodetest.ResidentRings, nodetest.Set("Server.channel_size_limit", "50000000"))
	clients.SubscribeTo(t, node, "empty", "a", "b")
	if files := ringFiles(t, node.Path("data")); len(files) > 0 {
		t.Errorf("subscribers without records have the files %v", files)
	}
	const count, size = 1000, 100_000 // half of it in the ring
	c := clients.Legacy(t, node)
	before := node.RSS()
	c.ProduceRecords("idle", 0, count, size)
	full := node.RSS() - before
	used := datadir.DiskSpace(t, node.Path("data"), "*")
	if full < 40<<20 || used < count*size {
		t.Fatalf("with all records the node has %d bytes of memory more, and %d of disk space", full, used)
	}
	for number := range count {
		c.WantPop("idle", clients.Record(number, size))
	}
	for _, want := range []struct {
		what  string
		there func() bool
	}{
		{"disk space", func() bool { return datadir.DiskSpace(t, node.Path("data"), "*") < 1<<20 }},
		{"the files", func() bool { return len(filesOfChannel(t, node, "idle")) == 0 }},
		{"memory", func() bool { return node.RSS()-before < full/4 || nodetest.RaceEnabled }},
	} {
		nodetest.EventuallyWithin(t, idlePatience, "an idle queue gives back "+want.what, want.there)
	}
	c.MustPush("idle", "again")
	c.Must(c.Close())
	node.Kill()
	node.Restart()
	clients.WantPops(t, node, "idle", "again")
}

// min_free keeps the disk from being filled: what is refused then costs nobody else anything.
func TestMinFreeKeepsRoom(t *testing.T) {
	for _, mode := range []stopMode{dumpMode, keepMode} {
		t.Run(mode.value, func(t *testing.T) {
			t.Parallel()
			disk := newDisk(t, 40<<20) // room for records, and for their dump besides
			node := nodetest.Start(t, dataOn(disk), nodetest.Set("Storage.min_free", "28000000"),
				nodetest.Set("Storage.stop", mode.value), nodetest.Set("Server.channel_size_limit", "50000"))
			clients.PushTo(t, node, "other", "before")
			stored := pushUntilFull(t, node, "full")
			if free := disk.free(); free < 20_000_000 {
				t.Errorf("%d bytes of the disk are left, with min_free = 28000000", free)
			}
			node.WaitLog(`^Error .*request=Push .*min_free = 28000000`)
			wantRefused(t, node, "full", 3)
			clients.PushTo(t, node, "other", "meanwhile")
			node.Kill()
			node.Restart()
			clients.WantFirst(t, node, "full", stored[:10]...)
			if status := node.Stop(); status != 0 { // which is what the room is for, too
				t.Errorf("got exit status %d, want 0", status)
			}
			node.Restart()
			clients.WantPops(t, node, "full", stored[10:]...)
			clients.WantPops(t, node, "other", "before", "meanwhile")
		})
	}
}

// On a full disk a stop that keeps the files needs no room.
func TestFullDiskAndStopThatKeeps(t *testing.T) {
	t.Parallel()
	disk := newDisk(t, 8<<20)
	node := nodetest.Start(t, dataOn(disk), keepFiles, nodetest.Set("Server.channel_size_limit", "50000"))
	clients.SubscribeTo(t, node, "subscribed", "a")
	clients.ProduceTo(t, node, "subscribed", 0, 1000)
	stored := pushUntilFull(t, node, "full")
	disk.fill(0)
	for range 2 {
		if status := node.Stop(); status != 0 {
			t.Errorf("got exit status %d, want 0", status)
		}
		node.Restart()
	}
	clients.WantQueue(t, node, "subscribed", "a", clients.Numbered(0, 1000, 100)...)
	clients.WantPops(t, node, "full", stored...)
}

// Without descriptors no ring file can be made: pushes to new channels are refused, not
// acknowledged into memory, and channels that have their files go on.
func TestNoDescriptorNoAcknowledgement(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c, neo := clients.Legacy(t, node), clients.Neo(t, node)
	c.MustPush("old", "before")
	neo.Alive()
	node.LimitDescriptors(3) // it has more, so it gets none
	stored := map[string]bool{}
	for i := range 100 { // more than there are files in reserve
		channel := fmt.Sprintf("new%d", i)
		status, err := neo.Push([]byte(channel), channel)
		neo.Must(err)
		if stored[channel] = status == clients.Pushed; !stored[channel] && status != clients.PushError {
			t.Fatalf("Push without a descriptor: got status %02x, want 01 or 02", status)
		}
	}
	node.WaitLog(`^Error .*request=push .*too many open files`)
	c.MustPush("old", "meanwhile")
	refused := 0
	node.Kill()
	node.Restart()
	for channel, there := range stored {
		if !there {
			refused++
			continue
		}
		clients.WantPops(t, node, channel, channel)
	}
	if refused == 0 {
		t.Error("no push was refused, so the test proves nothing")
	}
	clients.WantPops(t, node, "old", "before", "meanwhile")
}

// Records that one consumer has confirmed do not count any more while another one of the same
// queue keeps a batch that was handed out before.
func TestStatsBesideAConsumerThatStalls(t *testing.T) {
	for _, ring := range []string{"5000", "2000000"} { // the records are in spill files, or in the ring
		t.Run(ring, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", ring), nodetest.Set("STATS.interval", "1"))
			const count = 10_000
			clients.ProduceTo(t, node, "ch", 0, count)
			stalled, working := clients.Neo(t, node).MustConsume("ch", "a"), clients.Neo(t, node).MustConsume("ch", "a")
			held := stalled.Batch()
			for taken := len(held); taken < count; {
				taken += len(working.Batch())
				working.Send(neoclient.Continue)
			}
			line := nodetest.WaitStats(t, node, 0, fmt.Sprintf("total_records:%d", len(held)))
			line.Want(t, fmt.Sprintf("channel/ch/records:%d", len(held)))
			if ring != "5000" {
				line.Want(t, fmt.Sprintf("channel/a@ch/bytes_memory:%d", len(held)*108))
				line.Want(t, fmt.Sprintf("channel/a@ch/percent_memory:%d", len(held)*108*100/2_000_000))
				line.Want(t, "channel/a@ch/records_overflow:0")
			}
		})
	}
}

// Thousands of channels with a record each.
func TestThousandsOfChannels(t *testing.T) {
	t.Parallel()
	nodetest.Slow(t)
	const count, at = 5000, 1000
	node := nodetest.Start(t)
	channel := func(i int) string { return fmt.Sprint("channel", i) }
	c := clients.Legacy(t, node)
	for first := 0; first < count; first += at {
		var pushes []byte
		for i := first; i < first+at; i++ {
			pushes = append(pushes, legacyclient.Request(legacyclient.Push, channel(i), channel(i))...)
		}
		c.MustSend(pushes)
		for range at {
			c.WantStatus(legacyclient.Ok)
		}
	}
	c.Must(c.Close())
	timed := func(what string, f func()) {
		began := time.Now()
		f()
		t.Logf("%s: %v", what, time.Since(began))
	}
	node.Kill()
	timed("start after a kill", node.Restart)
	timed("clean stop", func() { stopInOrder(t, node) })
	if n := len(datadir.NamesOf(t, node.Path("data"))); n != count {
		t.Errorf("the stop has left %d files, want %d", n, count)
	}
	timed("start after the stop", node.Restart)
	c = clients.Legacy(t, node)
	for first := 0; first < count; first += at {
		var pops []byte
		for i := first; i < first+at; i++ {
			pops = append(pops, legacyclient.Request(legacyclient.Pop, channel(i))...)
		}
		c.MustSend(pops)
		for i := first; i < first+at; i++ {
			c.WantStatus(legacyclient.Ok)
			c.WantArray(channel(i))
		}
	}
	c.Must(c.Close())
}
