package test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// wantFailedStart starts a node that can't, for a reason that its console has to tell, and
// requires its data directory to stay as it was.
func wantFailedStart(t *testing.T, node *nodetest.Node, reason ...string) {
	t.Helper()
	before := filesOf(t, node.Path("data"))
	node.Launch()
	if status := node.Wait(); status != 1 {
		t.Errorf("got exit status %d, want 1", status)
	}
	for _, text := range reason {
		if !strings.Contains(node.Console(), text) {
			t.Errorf("the console does not mention %q:\n%s", text, node.Console())
		}
	}
	wantSameFiles(t, node.Path("data"), before)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The same after a kill, when the records are in rings.
func TestFailedStartLeavesTheRings(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, smallRings)
	produceTo(t, node, "plain", 0, 30)
	node.Kill()
	node.Configure(nodetest.Credentials("test"))
	wantFailedStart(t, node, "etc/credentials")
	node.Configure(nodetest.Credentials("test:" + strings.Repeat("0", 256)))
	node.Restart()
	wantPops(t, node, "plain", numbered(0, 30, 100)...)
}

// A data directory that no node leaves behind: the index has a channel both plain and with
// subscribers (storage spec §2.5).
func TestFailedStartOnMixedIndex(t *testing.T) {
	t.Parallel()
	node := nodetest.Prepare(t)
	useFixture(t, node, "loadfiles")
	path := node.Path("data/ofchannels.csv")
	index := filesOf(t, node.Path("data"))["ofchannels.csv"]
	must(t, os.WriteFile(path, []byte(strings.Replace(index, "ch4 ", "ch1 ", 1)), 0o644))
	wantFailedStart(t, node, "ch1")
	must(t, os.WriteFile(path, []byte(index), 0o644))
	node.Restart()
	wantPops(t, node, "ch4", "Hello ch4!")
	wantQueue(t, node, "ch1", "sub1", "Hello ch1!", "Hello ch1!")
}

// A second node in the same data directory ends at once and says which directory that is;
// the first one notices nothing.
func TestSecondNodeInTheDirectory(t *testing.T) {
	t.Parallel()
	first := nodetest.Start(t, smallRings)
	produceTo(t, first, "plain", 0, 30)
	subscribeTo(t, first, "subscribed", "a")
	produceTo(t, first, "subscribed", 0, 30)
	first.Hang() // so that it is not the one that changes files
	before := filesOf(t, first.Path("data"))
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
	wantSameFiles(t, first.Path("data"), before)
	first.Signal(syscall.SIGCONT)
	wantPops(t, first, "plain", numbered(0, 30, 100)...)
	produceTo(t, first, "plain", 30, 60)
	first.Kill() // the lock goes with it
	second := nodetest.Start(t, smallRings, nodetest.Set("Server.data_dir", first.Path("data")))
	wantPops(t, second, "plain", numbered(30, 60, 100)...)
	wantQueue(t, second, "subscribed", "a", numbered(0, 30, 100)...)
}

// Clients may do anything from the moment at which the node serves. So by then a dump must not
// be able to bring back a channel that they remove, nor to clash with one to which they
// subscribe. Many dumps make the time long in which a kill finds some of them not deleted yet.
func TestDumpsDoNotComeBack(t *testing.T) {
	slow(t)
	for name, change := range map[string]func(t *testing.T, node *nodetest.Node){
		"remove": func(t *testing.T, node *nodetest.Node) { dial(t, node).remove("zzz") },
		"subscribe": func(t *testing.T, node *nodetest.Node) {
			c := connect(t, node)
			c.consume("zzz", "a").wantBatch("record")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Prepare(t, nodetest.Set("Server.channel_size_limit", "100"))
			must(t, os.Mkdir(node.Path("data"), 0o755))
			for i := range 500 {
				must(t, os.WriteFile(node.Path(fmt.Sprintf("data/s%d@many.rq", i)), []byte(dumpOf()), 0o644))
			}
			must(t, os.WriteFile(node.Path("data/zzz.rq"), []byte(dumpOf("record")), 0o644))
			node.Launch()
			if !node.Serves() {
				t.Fatalf("the node does not start:\n%s", node.Console())
			}
			change(t, node)
			node.Kill()
			node.Restart()
			if name == "remove" {
				dial(t, node).do(legacyclient.Request(legacyclient.Pop, "zzz"), legacyclient.Error) // no such channel
			} else {
				wantQueue(t, node, "zzz", "a", "record")
			}
			node.Kill() // a clean stop would take long
			if strings.Contains(node.Log(), " Error ") {
				t.Error("there is an error in root.log")
			}
		})
	}
}
