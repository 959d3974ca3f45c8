package storage

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/datadir"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// startOn starts a node on a copy of one of the specification's data directories.
func startOn(t *testing.T, fixture string, options ...nodetest.Option) *nodetest.Node {
	t.Helper()
	node := nodetest.Prepare(t, options...)
	datadir.UseFixture(t, node, fixture)
	node.Restart()
	return node
}

// asInLOAD is the configuration of the acceptance case LOAD, storage spec §8.1.
func asInLOAD(t *testing.T) *nodetest.Node {
	t.Helper()
	return startOn(t, "loadfiles",
		nodetest.Set("Server.channel_size_limit", "100000"),
		nodetest.Set("Performance.write_flush_ms", "1"))
}

// The acceptance case LOAD, storage spec §8.1: all requests at once on one neo connection.
func TestLOADOverNeo(t *testing.T) {
	t.Parallel()
	node := asInLOAD(t)
	c := clients.Neo(t, node)
	want := map[uint64]string{} // what is still to come, by request: the records, or nothing
	consume := func(channel, subscriber string, records ...string) {
		id := c.NextID()
		c.Must(c.Send(id, neoclient.ConsumePayload(channel, subscriber)))
		want[id] = strings.Join(records, "")
	}
	consume("ch1", "", "Hello ch1!", "Hello ch1!")
	consume("ch1", "sub1", "Hello ch1!", "Hello ch1!")
	consume("ch1", "sub2", "Hello ch1!", "Hello ch1!")
	consume("ch3", "", "Hello ch3!")
	consume("ch3", "sub1", "Hello ch3!")
	consume("ch5", "", "Hello ch5!")
	var pops []uint64
	for _, channel := range []string{"ch2", "ch2", "ch4"} {
		pops = append(pops, c.NextID())
		c.Must(c.Send(pops[len(pops)-1], neoclient.PopPayload(channel)))
	}
	for i, value := range []string{"Hello ch2!", "Hello ch2!", "Hello ch4!"} {
		c.Must(c.Supported(pops[i]))
		status, got, err := c.Popped(pops[i])
		c.Must(err)
		if status != clients.Popped || string(got) != value {
			t.Errorf("Pop %d: got status %02x, value %q; want %q", i, status, got, value)
		}
	}
	for id, left := range want {
		c.Must(c.Supported(id))
		c.WantReply(id, clients.Started)
		for left != "" {
			payload, err := c.ReadFor(id)
			c.Must(err)
			batch, err := neoclient.Batch(payload)
			c.Must(err)
			for _, r := range batch {
				rest, ok := strings.CutPrefix(left, string(r))
				if !ok {
					t.Fatalf("Consume %d: got record %q, want %q", id, r, left)
				}
				left = rest
			}
			c.Must(c.Send(id, []byte{neoclient.Continue}))
		}
	}
	for id := range want {
		c.Must(c.Send(id, []byte{neoclient.Stop}))
		c.WantReply(id, neoclient.Stopped)
	}
	c.WantPopStatus("ch2", clients.PopEmpty)
	c.WantPopStatus("ch4", clients.PopEmpty)
	c.WantNothing()
	wantDrained(t, node)
}

// The part of LOAD that the legacy protocol can express, and the refused Pops.
func TestLOADOverLegacy(t *testing.T) {
	t.Parallel()
	node := asInLOAD(t)
	for channel, records := range map[string][]string{
		"ch1": {"Hello ch1!", "Hello ch1!"}, "ch3": {"Hello ch3!"}, "ch5": {"Hello ch5!"},
	} {
		c := clients.Legacy(t, node)
		c.MustDo(legacyclient.Request(legacyclient.Pop, channel), legacyclient.Error)
		c.MustConsume(channel)
		for _, r := range records {
			c.WantArray(r)
		}
		c.WantSilence()
		c.Must(c.Close())
	}
	c := clients.Legacy(t, node)
	for _, value := range []string{"Hello ch2!", "Hello ch2!", ""} {
		c.WantPop("ch2", value)
	}
	c.WantPop("ch4", "Hello ch4!")
	c.WantPop("ch4", "")
	c.Must(c.Close())
	for _, storage := range []string{"sub1@ch1", "sub2@ch1", "sub1@ch3"} {
		subscriber, channel, _ := strings.Cut(storage, "@")
		records := []string{"Hello " + channel + "!", "Hello " + channel + "!"}
		if channel == "ch3" {
			records = records[1:]
		}
		clients.WantQueue(t, node, channel, subscriber, records...)
	}
	wantDrained(t, node)
}

// wantDrained requires the state of the LOAD directory after all its records have been read,
// after a clean stop: of the subscribers remains that they exist (storage spec §5.5).
func wantDrained(t *testing.T, node *nodetest.Node) {
	t.Helper()
	if status := node.Stop(); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
	want := map[string]string{}
	for _, storage := range []string{"@ch1", "sub1@ch1", "sub2@ch1", "@ch3", "sub1@ch3", "@ch5"} {
		want[storage+".rq"] = datadir.DumpOf()
	}
	datadir.WantSameFiles(t, node.Path("data"), want)
}

// The files of a D node are deleted once the node serves, not before. A clean stop then writes
// the same files again, but for the order of the index lines, and for what the overflow has that
// belongs to nobody.
func TestStartAndStopReproduceADirectory(t *testing.T) {
	for _, fixture := range []string{"loadfiles", "interleaved"} {
		t.Run(fixture, func(t *testing.T) {
			t.Parallel()
			before := datadir.FilesOf(t, filepath.Join(datadir.Fixtures, fixture))
			node := startOn(t, fixture, nodetest.Set("Server.channel_size_limit", "64"))
			node.WaitLog(`listening path=dmqnode\.socket`) // the last thing a start does
			during := datadir.FilesOf(t, node.Path("data"))
			for name := range during {
				if _, there := before[name]; there {
					t.Errorf("while the node serves there is still %s", name)
				}
			}
			if status := node.Stop(); status != 0 {
				t.Errorf("got exit status %d, want 0", status)
			}
			if fixture == "interleaved" {
				wantSameStopped(t, filepath.Join(datadir.Fixtures, fixture), node.Path("data"))
				return
			}
			lines := strings.SplitAfter(before["ofchannels.csv"], "\n")
			after := datadir.FilesOf(t, node.Path("data"))["ofchannels.csv"]
			if got := strings.SplitAfter(after, "\n"); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(lines))) {
				t.Errorf("got index\n%s\nwant the lines of\n%s", after, before["ofchannels.csv"])
			}
			before["ofchannels.csv"] = after
			datadir.WantSameFiles(t, node.Path("data"), before)
		})
	}
}

// wantSameStopped requires two directories that clean stops have left to have the same records
// in the same places, and the storages the same ids in the overflow.
func wantSameStopped(t *testing.T, want, got string) {
	t.Helper()
	var all [2]map[string]datadir.Saved
	var ids [2]map[string]uint32
	for i, dir := range []string{want, got} {
		var err error
		all[i], err = datadir.ReadStopped(dir, datadir.AnySize)
		nodetest.Must(t, err)
		files := datadir.FilesOf(t, dir)
		records, err := datadir.ReadOverflow([]byte(files["overflow.dat"]))
		nodetest.Must(t, err)
		ids[i] = make(map[string]uint32)
		for _, line := range strings.Split(strings.TrimSuffix(files["ofchannels.csv"], "\n"), "\n") {
			fields := strings.Fields(line)
			first, err := strconv.ParseInt(fields[3], 10, 64)
			nodetest.Must(t, err)
			ids[i][fields[0]] = records[first].Channel
		}
	}
	if !reflect.DeepEqual(all[0], all[1]) {
		t.Errorf("got %v, want %v", all[1], all[0])
	}
	if !maps.Equal(ids[0], ids[1]) {
		t.Errorf("got ids %v, want %v", ids[1], ids[0])
	}
}

// The directory of storage spec §8.2: chains of several records, a dummy record, an orphan, empty records.
func TestLoadInterleaved(t *testing.T) {
	t.Parallel()
	node := startOn(t, "interleaved", nodetest.Set("Server.channel_size_limit", "64"))
	e1, e3 := "e1-"+strings.Repeat("y", 57), "e3-"+strings.Repeat("y", 57)
	clients.WantPops(t, node, "logs", "log-1", "", "log-3", "log-5", "log-6-abc", "log-4-"+strings.Repeat("x", 24),
		"", "log-8", "log-9-after-truncation")
	clients.WantQueue(t, node, "events", "", "e0", "e2", e1, e3)
	clients.WantQueue(t, node, "events", "sub1", "e2", e1, e3)
	// The next new storage gets id 7.
	clients.PushTo(t, node, "newer", strings.Repeat("n", 65))
	stopInOrder(t, node)
	datadir.WantStopped(t, node.Path("data"), map[string][]string{
		"new-chan": {strings.Repeat("N", 70)}, "newer": {strings.Repeat("n", 65)}, "@events": nil, "sub1@events": nil,
	})
	records, err := datadir.ReadOverflow([]byte(datadir.FilesOf(t, node.Path("data"))["overflow.dat"]))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if r.Payload == strings.Repeat("n", 65) && r.Channel != 7 {
			t.Errorf("the overflow id of a new storage is %d, want 7", r.Channel)
		}
	}
}

// A dump that is larger than the ring is loaded all the same: the surplus goes to the
// overflow, in front of what is there.
func TestLoadWithSmallerRings(t *testing.T) {
	t.Parallel()
	node := startOn(t, "interleaved", nodetest.Set("Server.channel_size_limit", "20"))
	clients.WantPops(t, node, "logs", "log-1", "", "log-3", "log-5", "log-6-abc", "log-4-"+strings.Repeat("x", 24),
		"", "log-8", "log-9-after-truncation")
	clients.WantQueue(t, node, "events", "sub1", "e2", "e1-"+strings.Repeat("y", 57), "e3-"+strings.Repeat("y", 57))
	clients.WantPops(t, node, "new-chan", strings.Repeat("N", 70))
}

// What killed D nodes leave, storage spec §8.3: the records that the files prove.
func TestLoadAfterACrash(t *testing.T) {
	for fixture, channels := range map[string]map[string][]string{
		"stale-pushed":  {"ch1": {"first", "second", "third", "fourth"}},
		"stale-popped":  {"ch1": {"first", "second", "third"}},
		"stale-drained": {"ch1": {"new"}, "hold": {"keep"}},
	} {
		t.Run(fixture, func(t *testing.T) {
			eachEnding(t, func(t *testing.T, e ending) {
				node := startOn(t, "crash/"+fixture, e.options)
				e.end(t, node)
				node.Restart()
				for channel, records := range channels {
					clients.WantPops(t, node, channel, records...)
				}
				clients.PushTo(t, node, "ch1", "goes on")
				clients.WantPops(t, node, "ch1", "goes on")
			})
		})
	}
}

// Without an index nothing tells whose the records are. The file is kept under another name,
// and the log says so.
func TestLoadWithLostIndex(t *testing.T) {
	t.Parallel()
	data := datadir.FilesOf(t, filepath.Join(datadir.Fixtures, "crash/lost-index"))["overflow.dat"]
	node := startOn(t, "crash/lost-index")
	c := clients.Legacy(t, node)
	for _, channel := range []string{"ch1", "ch2"} {
		c.MustDo(legacyclient.Request(legacyclient.Pop, channel), legacyclient.Error) // no such channel
	}
	c.Must(c.Close())
	node.WaitLog(`^Error \[scan-datadir\] .*aside`)
	kept := func() (name string) {
		t.Helper()
		for name, content := range datadir.FilesOf(t, node.Path("data")) {
			if content == data && name != "overflow.dat" {
				return name
			}
		}
		t.Fatalf("none of %v has the contents of overflow.dat", slices.Sorted(maps.Keys(datadir.FilesOf(t, node.Path("data")))))
		return ""
	}
	name := kept()
	if !strings.Contains(node.Log(), name) {
		t.Errorf("root.log does not mention %s", name)
	}
	clients.PushTo(t, node, "ch1", strings.Repeat("x", 30_000_000)) // to the new overflow
	if status := node.Stop(); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
	kept()
	// A D node accepts the directory, since it ignores names that end in .dat and .csv.
	for name := range datadir.FilesOf(t, node.Path("data")) {
		if strings.Contains(name, "aside") {
			if err := os.Remove(node.Path("data/" + name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	datadir.WantStopped(t, node.Path("data"), map[string][]string{"ch1": {strings.Repeat("x", 30_000_000)}})
}

// A dump whose end is missing: the whole records in front of that are loaded, once, and the
// file is kept.
func TestLoadDamagedDump(t *testing.T) {
	t.Parallel()
	node := nodetest.Prepare(t)
	nodetest.Must(t, os.Mkdir(node.Path("data"), 0o755))
	damaged := datadir.DumpOf(clients.Numbered(0, 10, 100)...)[:12+5*108+50]
	nodetest.Must(t, os.WriteFile(node.Path("data/ch.rq"), []byte(damaged), 0o644))
	node.Restart()
	node.WaitLog(`^Error .*ch\.rq`)
	node.Kill()
	node.Restart()
	clients.WantPops(t, node, "ch", clients.Numbered(0, 5, 100)...)
	for name, content := range datadir.FilesOf(t, node.Path("data")) {
		if content == damaged && name != "ch.rq" {
			return
		}
	}
	t.Errorf("none of %v has the contents of the damaged dump", datadir.NamesOf(t, node.Path("data")))
}
