package storage

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/datadir"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// The same after a kill, when the records are in rings.
func TestFailedStartLeavesTheRings(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.SmallRings)
	clients.ProduceTo(t, node, "plain", 0, 30)
	node.Kill()
	node.Configure(nodetest.Credentials("test"))
	datadir.WantFailedStart(t, node, "etc/credentials")
	node.Configure(nodetest.Credentials("test:" + strings.Repeat("0", 256)))
	node.Restart()
	clients.WantPops(t, node, "plain", clients.Numbered(0, 30, 100)...)
}

// A data directory that no node leaves behind: the index has a channel both plain and with
// subscribers (storage spec §2.5).
func TestFailedStartOnMixedIndex(t *testing.T) {
	t.Parallel()
	node := nodetest.Prepare(t)
	datadir.UseFixture(t, node, "loadfiles")
	path := node.Path("data/ofchannels.csv")
	index := datadir.FilesOf(t, node.Path("data"))["ofchannels.csv"]
	nodetest.Must(t, os.WriteFile(path, []byte(strings.Replace(index, "ch4 ", "ch1 ", 1)), 0o644))
	datadir.WantFailedStart(t, node, "ch1")
	nodetest.Must(t, os.WriteFile(path, []byte(index), 0o644))
	node.Restart()
	clients.WantPops(t, node, "ch4", "Hello ch4!")
	clients.WantQueue(t, node, "ch1", "sub1", "Hello ch1!", "Hello ch1!")
}

// A second node in the same data directory ends at once and says which directory that is;
// the first one notices nothing.
func TestSecondNodeInTheDirectory(t *testing.T) {
	t.Parallel()
	first := nodetest.Start(t, nodetest.SmallRings)
	clients.ProduceTo(t, first, "plain", 0, 30)
	clients.SubscribeTo(t, first, "subscribed", "a")
	clients.ProduceTo(t, first, "subscribed", 0, 30)
	first.Hang() // so that it is not the one that changes files
	before := datadir.FilesOf(t, first.Path("data"))
	for range 3 {
		second := nodetest.Prepare(t, nodetest.Set("Server.data_dir", first.Path("data")))
		second.Launch()
		if status := second.Wait(); status != 1 {
			t.Errorf("the second node: got exit status %d, want 1", status)
		}
		if !strings.Contains(second.Console(), first.Path("data")) {
			t.Errorf("the console of the second node does not mention %s:\n%s", first.Path("data"), second.Console())
		}
	}
	datadir.WantSameFiles(t, first.Path("data"), before)
	first.Signal(syscall.SIGCONT)
	clients.WantPops(t, first, "plain", clients.Numbered(0, 30, 100)...)
	clients.ProduceTo(t, first, "plain", 30, 60)
	first.Kill() // the lock goes with it
	second := nodetest.Start(t, nodetest.SmallRings, nodetest.Set("Server.data_dir", first.Path("data")))
	clients.WantPops(t, second, "plain", clients.Numbered(30, 60, 100)...)
	clients.WantQueue(t, second, "subscribed", "a", clients.Numbered(0, 30, 100)...)
}

// Clients may do anything from the moment at which the node serves. So by then a dump must not
// be able to bring back a channel that they remove, nor to clash with one to which they
// subscribe. Many dumps make the time long in which a kill finds some of them not deleted yet.
func TestDumpsDoNotComeBack(t *testing.T) {
	nodetest.Slow(t)
	for name, change := range map[string]func(t *testing.T, node *nodetest.Node){
		"remove": func(t *testing.T, node *nodetest.Node) { clients.Legacy(t, node).MustRemove("zzz") },
		"subscribe": func(t *testing.T, node *nodetest.Node) {
			c := clients.Neo(t, node)
			c.MustConsume("zzz", "a").WantBatch("record")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Prepare(t, nodetest.Set("Server.channel_size_limit", "100"))
			nodetest.Must(t, os.Mkdir(node.Path("data"), 0o755))
			for i := range 500 {
				nodetest.Must(t, os.WriteFile(node.Path(fmt.Sprintf("data/s%d@many.rq", i)), []byte(datadir.DumpOf()), 0o644))
			}
			nodetest.Must(t, os.WriteFile(node.Path("data/zzz.rq"), []byte(datadir.DumpOf("record")), 0o644))
			node.Launch()
			if !node.Serves() {
				t.Fatalf("the node does not start:\n%s", node.Console())
			}
			change(t, node)
			node.Kill()
			node.Restart()
			if name == "remove" {
				clients.Legacy(t, node).MustDo(legacyclient.Request(legacyclient.Pop, "zzz"), legacyclient.Error) // no such channel
			} else {
				clients.WantQueue(t, node, "zzz", "a", "record")
			}
			node.Kill() // a clean stop would take long
			if strings.Contains(node.Log(), " Error ") {
				t.Error("there is an error in root.log")
			}
		})
	}
}
