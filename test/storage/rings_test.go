package storage

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/datadir"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// The limit of the rings is another one after the restart, while some storages have records
// in both places, some in one and some none.
func TestRestartWithOtherChannelSize(t *testing.T) {
	for _, limit := range []string{"100", "999", "1001", "3000", "1000000"} {
		t.Run(limit, func(t *testing.T) {
			eachEnding(t, func(t *testing.T, e ending) {
				testOtherChannelSize(t, limit, e)
			})
		})
	}
}

func testOtherChannelSize(t *testing.T, limit string, e ending) {
	node := e.start(t, nodetest.SmallRings)
	counts := map[string]int{"none": 0, "one": 1, "ring": 9, "both": 30, "many": 200}
	for channel, count := range counts {
		clients.SubscribeTo(t, node, channel, "", "a")
		clients.ProduceTo(t, node, channel, 0, count)
		clients.ProduceTo(t, node, "plain-"+channel, 0, count)
	}
	clients.WantQueue(t, node, "both", "", clients.Numbered(0, 30, 100)...)
	e.end(t, node)
	node.Configure(nodetest.Set("Server.channel_size_limit", limit))
	node.Restart()
	for channel, count := range counts {
		clients.ProduceTo(t, node, channel, count, count+10)
	}
	e.end(t, node)
	node.Restart()
	for channel, count := range counts {
		clients.WantQueue(t, node, channel, "a", clients.Numbered(0, count+10, 100)...)
		first := 0
		if channel == "both" {
			first = count
		}
		clients.WantQueue(t, node, channel, "", clients.Numbered(first, count+10, 100)...)
		clients.WantPops(t, node, "plain-"+channel, clients.Numbered(0, count, 100)...)
	}
}

// With rings in memory a clean stop keeps everything and a kill loses what was in the rings.
// No ring file is made, and what an earlier start left in ring files is taken over.
func TestRestartWithRingsInMemory(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.SmallRings)
	fill := func(first int) {
		t.Helper()
		clients.ProduceTo(t, node, "plain", first, first+30)
		clients.ProduceTo(t, node, "subscribed", first, first+30)
	}
	clients.SubscribeTo(t, node, "subscribed", "a", "b")
	fill(0)
	node.Kill()
	left := ringFiles(t, node.Path("data"))
	node.Configure(nodetest.Set("Storage.ring", "memory"))
	node.Restart()
	fill(30)
	for _, ring := range ringFiles(t, node.Path("data")) {
		if !slices.Contains(left, ring) {
			t.Errorf("with ring = memory there is %s", ring)
		}
	}
	stopInOrder(t, node)
	node.Restart()
	clients.WantPops(t, node, "plain", clients.Numbered(0, 60, 100)...)
	clients.WantQueue(t, node, "subscribed", "a", clients.Numbered(0, 60, 100)...)
	clients.WantQueue(t, node, "subscribed", "b", clients.Numbered(0, 60, 100)...)

	fill(100) // 9 of them go to the rings
	if rings := ringFiles(t, node.Path("data")); len(rings) > 0 {
		t.Errorf("with ring = memory there are %v", rings)
	}
	node.Kill()
	node.Restart()
	clients.WantPops(t, node, "plain", clients.Numbered(109, 130, 100)...)
	clients.WantQueue(t, node, "subscribed", "a", clients.Numbered(109, 130, 100)...)
	fill(200)
	stopInOrder(t, node)
	node.Configure(nodetest.Set("Storage.ring", "file"))
	node.Restart()
	node.Kill()
	node.Restart()
	clients.WantPops(t, node, "plain", clients.Numbered(200, 230, 100)...)
	clients.WantQueue(t, node, "subscribed", "a", clients.Numbered(200, 230, 100)...)
	clients.WantQueue(t, node, "subscribed", "b", append(clients.Numbered(109, 130, 100), clients.Numbered(200, 230, 100)...)...)
}

func ringFiles(t *testing.T, dir string) []string {
	t.Helper()
	rings, err := filepath.Glob(filepath.Join(dir, "ring-*"))
	if err != nil {
		t.Fatal(err)
	}
	return rings
}

// Ring files can lie in another directory than the data.
func TestRestartWithRingDirectory(t *testing.T) {
	t.Parallel()
	rings := t.TempDir()
	node := nodetest.Start(t, nodetest.SmallRings, nodetest.Set("Storage.ring_dir", rings))
	clients.ProduceTo(t, node, "plain", 0, 30)
	node.Kill()
	if n := len(ringFiles(t, rings)); n == 0 {
		t.Error("no ring file in ring_dir")
	}
	if n := len(ringFiles(t, node.Path("data"))); n != 0 {
		t.Errorf("%d ring files in the data directory, want none", n)
	}
	// One that the kill has left without a head might be in the making by another node, for an hour.
	nodetest.Must(t, os.WriteFile(filepath.Join(rings, "ring-000099.dat"), nil, 0o600))
	past := time.Now().Add(-2 * time.Hour)
	for _, file := range ringFiles(t, rings) {
		nodetest.Must(t, os.Chtimes(file, past, past))
	}
	node.Restart()
	clients.ProduceTo(t, node, "plain", 30, 40)
	stopInOrder(t, node)
	if names := datadir.NamesOf(t, rings); len(names) > 0 {
		t.Errorf("a clean stop has left %v in ring_dir", names)
	}
	node.Restart()
	clients.WantPops(t, node, "plain", clients.Numbered(0, 40, 100)...)
}

// Ring files are gone. If they were in memory, the machine may have been started again: the
// log tells of the loss; what was in the overflow is there, and who subscribed. Otherwise the
// node does not start before somebody gives the records up.
func TestRestartWithoutRingFiles(t *testing.T) {
	for _, inMemory := range []bool{true, false} {
		t.Run(fmt.Sprintf("in memory=%t", inMemory), func(t *testing.T) {
			t.Parallel()
			rings := t.TempDir()
			if inMemory {
				rings = newDisk(t, 4<<20).path
			}
			node := nodetest.Start(t, nodetest.SmallRings, nodetest.Set("Storage.ring_dir", rings), nodetest.Set("Storage.min_free", "0"))
			clients.SubscribeTo(t, node, "subscribed", "a", "b")
			for _, channel := range []string{"plain", "subscribed"} {
				clients.ProduceTo(t, node, channel, 0, 30)
			}
			node.Kill()
			files := ringFiles(t, rings)
			for _, ring := range files {
				nodetest.Must(t, os.Remove(ring))
			}
			if !inMemory {
				node.Launch()
				if status := node.Wait(); status != 1 || !strings.Contains(node.Console(), "a file that its records are in is missing: "+rings) {
					t.Errorf("got exit status %d, want 1 and a line about a ring file:\n%s", status, node.Console())
				}
				for _, ring := range files {
					nodetest.Must(t, os.WriteFile(ring, nil, 0o666))
				}
			}
			node.Restart()
			for _, storage := range []string{"plain", "a@subscribed", "b@subscribed"} {
				node.WaitLog(`^Warn \[scan-datadir\] .*(lost|given up).* storage=` + storage + `$`)
			}
			for _, channel := range []string{"plain", "subscribed"} {
				clients.ProduceTo(t, node, channel, 30, 60)
			}
			node.Kill()
			node.Restart()
			clients.WantPops(t, node, "plain", clients.Numbered(9, 60, 100)...)
			clients.WantQueue(t, node, "subscribed", "a", clients.Numbered(9, 60, 100)...)
			clients.WantQueue(t, node, "subscribed", "b", clients.Numbered(9, 60, 100)...)
		})
	}
}

// ring_dir is another one than before: the node says so and changes nothing, whether it is an
// empty directory, or none is set any more.
func TestRestartWithAnotherRingDirectory(t *testing.T) {
	for name, other := range map[string]func(*testing.T) string{
		"empty": func(t *testing.T) string { return t.TempDir() },
		"unset": func(*testing.T) string { return "" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rings := t.TempDir()
			node := nodetest.Start(t, nodetest.SmallRings, nodetest.Set("Storage.ring_dir", rings))
			clients.ProduceTo(t, node, "ch", 0, 30)
			node.Kill()
			before := datadir.FilesOf(t, rings)
			node.Configure(nodetest.Set("Storage.ring_dir", other(t)))
			datadir.WantFailedStart(t, node, "missing", "ring-", "[Storage] ring_dir what they were")
			datadir.WantSameFiles(t, rings, before)
			node.Configure(nodetest.Set("Storage.ring_dir", rings))
			node.Restart()
			clients.WantPops(t, node, "ch", clients.Numbered(0, 30, 100)...)
		})
	}
}

// A copy of the data directory of a running node, with the same ring_dir: it does not start, and
// the running node notices nothing.
func TestCopyWithTheSameRingDirectory(t *testing.T) {
	t.Parallel()
	rings := t.TempDir()
	first := nodetest.Start(t, nodetest.SmallRings, nodetest.Set("Storage.ring_dir", rings))
	clients.ProduceTo(t, first, "ch", 0, 30)
	second := nodetest.Prepare(t, nodetest.SmallRings, nodetest.Set("Storage.ring_dir", rings))
	first.Hang() // so that it makes no files meanwhile
	nodetest.Must(t, os.CopyFS(second.Path("data"), os.DirFS(first.Path("data"))))
	datadir.WantFailedStart(t, second, "has the same ring files", rings)
	first.Signal(syscall.SIGCONT)
	clients.ProduceTo(t, first, "ch", 30, 60)
	first.Kill()
	first.Restart()
	clients.WantPops(t, first, "ch", clients.Numbered(0, 60, 100)...)
}

// Two nodes that are told the same ring_dir, each with a data directory of its own, must not
// take each other's rings for strays: either both work, or the second does not start.
func TestNodesShareRingDirectory(t *testing.T) {
	t.Parallel()
	rings := t.TempDir()
	first := nodetest.Start(t, nodetest.Set("Storage.ring_dir", rings))
	clients.ProduceTo(t, first, "plain", 0, 10)
	second := nodetest.Prepare(t, nodetest.Set("Storage.ring_dir", rings))
	second.Launch()
	if second.Serves() {
		clients.ProduceTo(t, second, "plain", 10, 20)
		second.Kill()
		second.Restart()
		clients.WantPops(t, second, "plain", clients.Numbered(10, 20, 100)...)
		stopInOrder(t, second)
	} else if status := second.Wait(); status != 1 || !strings.Contains(second.Console(), rings) {
		t.Errorf("the second node: got exit status %d, want 1 and a console that mentions %s:\n%s", status, rings, second.Console())
	}
	clients.ProduceTo(t, first, "plain", 20, 30)
	first.Kill()
	first.Restart()
	clients.WantPops(t, first, "plain", append(clients.Numbered(0, 10, 100), clients.Numbered(20, 30, 100)...)...)
}
