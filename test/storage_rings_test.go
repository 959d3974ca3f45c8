package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

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
	node := e.start(t, smallRings)
	counts := map[string]int{"none": 0, "one": 1, "ring": 9, "both": 30, "many": 200}
	for channel, count := range counts {
		subscribeTo(t, node, channel, "", "a")
		produceTo(t, node, channel, 0, count)
		produceTo(t, node, "plain-"+channel, 0, count)
	}
	wantQueue(t, node, "both", "", numbered(0, 30, 100)...)
	e.end(t, node)
	node.Configure(nodetest.Set("Server.channel_size_limit", limit))
	node.Restart()
	for channel, count := range counts {
		produceTo(t, node, channel, count, count+10)
	}
	e.end(t, node)
	node.Restart()
	for channel, count := range counts {
		wantQueue(t, node, channel, "a", numbered(0, count+10, 100)...)
		first := 0
		if channel == "both" {
			first = count
		}
		wantQueue(t, node, channel, "", numbered(first, count+10, 100)...)
		wantPops(t, node, "plain-"+channel, numbered(0, count, 100)...)
	}
}

// With rings in memory a clean stop keeps everything and a kill loses what was in the rings.
// No ring file is made, and what an earlier start left in ring files is taken over.
func TestRestartWithRingsInMemory(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, smallRings)
	fill := func(first int) {
		t.Helper()
		produceTo(t, node, "plain", first, first+30)
		produceTo(t, node, "subscribed", first, first+30)
	}
	subscribeTo(t, node, "subscribed", "a", "b")
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
	wantPops(t, node, "plain", numbered(0, 60, 100)...)
	wantQueue(t, node, "subscribed", "a", numbered(0, 60, 100)...)
	wantQueue(t, node, "subscribed", "b", numbered(0, 60, 100)...)

	fill(100) // 9 of them go to the rings
	if rings := ringFiles(t, node.Path("data")); len(rings) > 0 {
		t.Errorf("with ring = memory there are %v", rings)
	}
	node.Kill()
	node.Restart()
	wantPops(t, node, "plain", numbered(109, 130, 100)...)
	wantQueue(t, node, "subscribed", "a", numbered(109, 130, 100)...)
	fill(200)
	stopInOrder(t, node)
	node.Configure(nodetest.Set("Storage.ring", "file"))
	node.Restart()
	node.Kill()
	node.Restart()
	wantPops(t, node, "plain", numbered(200, 230, 100)...)
	wantQueue(t, node, "subscribed", "a", numbered(200, 230, 100)...)
	wantQueue(t, node, "subscribed", "b", append(numbered(109, 130, 100), numbered(200, 230, 100)...)...)
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
	node := nodetest.Start(t, smallRings, nodetest.Set("Storage.ring_dir", rings))
	produceTo(t, node, "plain", 0, 30)
	node.Kill()
	if n := len(ringFiles(t, rings)); n == 0 {
		t.Error("no ring file in ring_dir")
	}
	if n := len(ringFiles(t, node.Path("data"))); n != 0 {
		t.Errorf("%d ring files in the data directory, want none", n)
	}
	// One that the kill has left without a head might be in the making by another node, for an hour.
	must(t, os.WriteFile(filepath.Join(rings, "ring-000099.dat"), nil, 0o600))
	past := time.Now().Add(-2 * time.Hour)
	for _, file := range ringFiles(t, rings) {
		must(t, os.Chtimes(file, past, past))
	}
	node.Restart()
	produceTo(t, node, "plain", 30, 40)
	stopInOrder(t, node)
	if names := namesOf(t, rings); len(names) > 0 {
		t.Errorf("a clean stop has left %v in ring_dir", names)
	}
	node.Restart()
	wantPops(t, node, "plain", numbered(0, 40, 100)...)
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
			node := nodetest.Start(t, smallRings, nodetest.Set("Storage.ring_dir", rings), nodetest.Set("Storage.min_free", "0"))
			subscribeTo(t, node, "subscribed", "a", "b")
			for _, channel := range []string{"plain", "subscribed"} {
				produceTo(t, node, channel, 0, 30)
			}
			node.Kill()
			files := ringFiles(t, rings)
			for _, ring := range files {
				must(t, os.Remove(ring))
			}
			if !inMemory {
				node.Launch()
				if status := node.Wait(); status != 1 || !strings.Contains(node.Console(), "a file that its records are in is missing: "+rings) {
					t.Errorf("got exit status %d, want 1 and a line about a ring file:\n%s", status, node.Console())
				}
				for _, ring := range files {
					must(t, os.WriteFile(ring, nil, 0o666))
				}
			}
			node.Restart()
			for _, storage := range []string{"plain", "a@subscribed", "b@subscribed"} {
				node.WaitLog(`^Warn \[scan-datadir\] .*(lost|given up).* storage=` + storage + `$`)
			}
			for _, channel := range []string{"plain", "subscribed"} {
				produceTo(t, node, channel, 30, 60)
			}
			node.Kill()
			node.Restart()
			wantPops(t, node, "plain", numbered(9, 60, 100)...)
			wantQueue(t, node, "subscribed", "a", numbered(9, 60, 100)...)
			wantQueue(t, node, "subscribed", "b", numbered(9, 60, 100)...)
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
			node := nodetest.Start(t, smallRings, nodetest.Set("Storage.ring_dir", rings))
			produceTo(t, node, "ch", 0, 30)
			node.Kill()
			before := filesOf(t, rings)
			node.Configure(nodetest.Set("Storage.ring_dir", other(t)))
			wantFailedStart(t, node, "missing", "ring-", "[Storage] ring_dir what they were")
			wantSameFiles(t, rings, before)
			node.Configure(nodetest.Set("Storage.ring_dir", rings))
			node.Restart()
			wantPops(t, node, "ch", numbered(0, 30, 100)...)
		})
	}
}

// A copy of the data directory of a running node, with the same ring_dir: it does not start, and
// the running node notices nothing.
func TestCopyWithTheSameRingDirectory(t *testing.T) {
	t.Parallel()
	rings := t.TempDir()
	first := nodetest.Start(t, smallRings, nodetest.Set("Storage.ring_dir", rings))
	produceTo(t, first, "ch", 0, 30)
	second := nodetest.Prepare(t, smallRings, nodetest.Set("Storage.ring_dir", rings))
	first.Hang() // so that it makes no files meanwhile
	must(t, os.CopyFS(second.Path("data"), os.DirFS(first.Path("data"))))
	wantFailedStart(t, second, "has the same ring files", rings)
	first.Signal(syscall.SIGCONT)
	produceTo(t, first, "ch", 30, 60)
	first.Kill()
	first.Restart()
	wantPops(t, first, "ch", numbered(0, 60, 100)...)
}

// Two nodes that are told the same ring_dir, each with a data directory of its own, must not
// take each other's rings for strays: either both work, or the second does not start.
func TestNodesShareRingDirectory(t *testing.T) {
	t.Parallel()
	rings := t.TempDir()
	first := nodetest.Start(t, nodetest.Set("Storage.ring_dir", rings))
	produceTo(t, first, "plain", 0, 10)
	second := nodetest.Prepare(t, nodetest.Set("Storage.ring_dir", rings))
	second.Launch()
	if second.Serves() {
		produceTo(t, second, "plain", 10, 20)
		second.Kill()
		second.Restart()
		wantPops(t, second, "plain", numbered(10, 20, 100)...)
		stopInOrder(t, second)
	} else if status := second.Wait(); status != 1 || !strings.Contains(second.Console(), rings) {
		t.Errorf("the second node: got exit status %d, want 1 and a console that mentions %s:\n%s", status, rings, second.Console())
	}
	produceTo(t, first, "plain", 20, 30)
	first.Kill()
	first.Restart()
	wantPops(t, first, "plain", append(numbered(0, 10, 100), numbered(20, 30, 100)...)...)
}
