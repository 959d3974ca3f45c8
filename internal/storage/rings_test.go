package storage

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/catalogue"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// ringFiles returns the names of ring files that queues have.
func ringFiles(dir *disktest.Dir) (names []string) {
	for _, name := range dir.Names() {
		if head, err := ring.ReadHead(dir, name); err == nil && head.Queue != 0 {
			names = append(names, name)
		}
	}
	return names
}

// An empty queue costs no file: none before its first record, and none some time after its last.
func TestAnEmptyQueueGivesItsFileUp(t *testing.T) {
	n := newTrial(t)
	n.silent = true
	n.start()
	n.subscribe("c", "s")
	n.push("plain", false)
	if got := ringFiles(n.dir); len(got) > 0 {
		t.Errorf("queues without records have %q", got)
	}
	reader := n.attach("c", "s")
	for range 2 {
		n.push("c", false, 10)
		if got := ringFiles(n.dir); len(got) != 1 {
			t.Errorf("a queue with a record has %q", got)
		}
		for range mostIdle + 2 {
			n.tick() // it is not empty
		}
		if got := ringFiles(n.dir); len(got) != 1 {
			t.Errorf("a queue with an old record has %q", got)
		}
		n.push("c", false, 10)
		n.next(reader, 1)
		n.next(reader, 1)
		n.next(reader, 1)
		n.tick()
		if got := ringFiles(n.dir); len(got) != 1 {
			t.Errorf("a queue that was just drained has %q", got)
		}
		for range mostIdle {
			n.tick()
		}
		if got := ringFiles(n.dir); len(got) != 0 {
			t.Errorf("a queue that has been empty for long has %q", got)
		}
		n.examine(n.dir.Clone(), "without a file", 1)
	}
}

// used is the disk space of a file.
func used(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}

func onlyRing(t *testing.T, path string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(path, "ring-*.dat"))
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(names, func(a, b string) int { return int(used(t, b) - used(t, a)) })
	return names[0] // the others are spare
}

// Disk space follows what is stored, both ways; with reserve = full, all of it is taken at once.
func TestDiskSpaceFollowsUse(t *testing.T) {
	const size, record = 20 << 20, 100_000
	path := t.TempDir()
	options := realOptions(path)
	options.inline = true
	options.RingSize = func(string) uint64 { return size }
	cs := serve(t, options)
	push(t, cs, "c", "x")
	file := onlyRing(t, path)
	if got := used(t, file); got > 1<<20 {
		t.Errorf("a record takes %d bytes of the disk", got)
	}
	for range size / (record + 8) {
		push(t, cs, "c", strings.Repeat("x", record))
	}
	full := used(t, file)
	if full < size*9/10 {
		t.Errorf("a full ring of %d bytes has %d on the disk: the writer may meet a full disk", size, full)
	}
	if got := drain(t, cs); len(got) != size/(record+8)+1 {
		t.Errorf("got %d records", len(got))
	}
	for range 2 {
		cs.trim()
	}
	if got := used(t, file); got > full/10 {
		t.Errorf("a drained ring has %d bytes on the disk, %d before", got, full)
	}
	push(t, cs, "c", "again")
	if got := drain(t, cs); !slices.Equal(got, []string{"again"}) {
		t.Errorf("got %q", got)
	}

	options = realOptions(t.TempDir())
	options.inline, options.ReserveAll = true, true
	options.RingSize = func(string) uint64 { return size }
	cs = serve(t, options)
	push(t, cs, "c", "x")
	if got := used(t, onlyRing(t, options.Dir)); got < size {
		t.Errorf("with reserve = full a ring of %d bytes has %d on the disk", size, got)
	}
}

// Whatever the backlog, only the files being read and written are mapped.
func TestALongBacklogIsNotMapped(t *testing.T) {
	n := newTrial(t)
	n.start()
	for range 12 {
		n.push("c", false, 700_000)
	}
	s := n.channels.Find([]byte("c")).storages[0]
	attached := func() (all []int) {
		for i, p := range s.parts {
			if p.InFile() && p.Attached() {
				all = append(all, i)
			}
		}
		return all
	}
	if got := attached(); len(s.parts) < 4 || len(got) > 2 {
		t.Errorf("of %d files %v are mapped", len(s.parts), got)
	}
	n.crash()
	n.start()
	s = n.channels.Find([]byte("c")).storages[0]
	if got := attached(); len(got) > 0 {
		t.Errorf("after a start files %v are mapped", got)
	}
	n.push("c", false, 10)
	for len(s.parts) > 1 {
		n.pop("c")
		if got := attached(); len(got) > 2 || len(got) == 2 && got[1] != len(s.parts)-1 {
			t.Errorf("of %d files %v are mapped", len(s.parts), got)
		}
		n.deliver(0)
	}
}

// A file with records that is missing keeps the node from starting: its file system may not be
// mounted. It takes an empty file to give the records up.
func TestAMissingFile(t *testing.T) {
	for index, kind := range []string{"ring", "spill"} {
		t.Run(kind, func(t *testing.T) {
			n := newTrial(t)
			n.start()
			n.push("c", false, 10, 20, 90, 30) // two in each
			missing := n.channels.Find([]byte("c")).storages[0].parts[index].Head().FileName()
			n.crash()
			content, _ := n.dir.Content(missing)
			n.dir.Remove(missing)
			before := contentsOf(n.dir, anyName)
			for range 2 {
				_, err := n.load(n.dir)
				if err == nil || !strings.Contains(err.Error(), n.dir.Path(missing)) || !strings.Contains(err.Error(), "make an empty one of that name") {
					t.Fatalf("got error %v", err)
				}
			}
			if after := contentsOf(n.dir, anyName); !reflect.DeepEqual(after, before) {
				t.Errorf("a start that failed has changed %d files to %d", len(before), len(after))
			}
			given := n.dir.Clone()
			n.dir.Put(missing, content)
			n.start() // compares
			n.crash()

			n.dir = given
			n.dir.Put(missing, nil)
			for _, item := range n.queue("c").items[2*index:][:2] {
				item.gone = yes
			}
			logs := logged(&n.options)
			n.start()
			if found := logs.FilterLevelExact(zapcore.WarnLevel).FilterMessageSnippet("given up").Len(); found == 0 {
				t.Errorf("nothing was logged about the file that had records: %v", logs.All())
			}
			n.push("c", false, 30)
			n.crash()
			n.start()
		})
	}
}

// Ring files in memory may be gone because the machine was started.
func TestMissingFilesInMemory(t *testing.T) {
	const memory = "/dev/shm"
	if !inMemory(memory) {
		t.Skipf("%s is no file system in memory", memory)
	}
	rings, err := os.MkdirTemp(memory, "rings")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(rings) })
	o := realOptions(t.TempDir())
	o.RingDir = rings
	cs := mustLoad(t, o)
	if err := cs.Serve(); err != nil {
		t.Fatal(err)
	}
	push(t, cs, "c", "in memory", strings.Repeat("spilled", 200))
	kill(cs)
	for name := range files(t, rings) {
		os.Remove(filepath.Join(rings, name))
	}
	logs := logged(&o)
	cs = serve(t, o)
	if found := logs.FilterLevelExact(zapcore.WarnLevel).FilterMessageSnippet("it was in memory").Len(); found != 1 {
		t.Errorf("%d warnings were logged, want one: %v", found, logs.All())
	}
	if got := contents(newTrial(t), cs)["c"]; len(got) != 1 || len(got[0]) != 1400 {
		t.Errorf("got %.20q, want what was not in memory", got)
	}
}

// kill leaves the directory as a killed process does.
func kill(cs *Channels) {
	st := cs.store
	st.ticker.stop()
	st.preparer.stop()
	st.remover.stop()
	if lock, ok := st.lock.(ringLock); ok { // the file stays
		lock.file.Close()
		lock.data.Close()
		return
	}
	st.lock.Close()
}

// The catalogue can be made again of what the files tell.
func TestALostCatalogue(t *testing.T) {
	for name, damage := range map[string]func(b []byte) []byte{
		"missing":         func([]byte) []byte { return nil },
		"empty":           func(b []byte) []byte { return b[:0] },
		"cut":             func(b []byte) []byte { return b[:100] },
		"its first bytes": func(b []byte) []byte { b[9] ^= 3; return b },
		"its phase":       func(b []byte) []byte { b[24] = 77; return b },
		"an entry":        func(b []byte) []byte { b[4096+40] ^= 3; return b },
	} {
		t.Run(name, func(t *testing.T) {
			n := newTrial(t)
			logs := logged(&n.options)
			n.start()
			n.push("a", false, 10, 20, 90, 700_000, 700_000, 2_000_000, 30)
			n.subscribe("b", "s")
			n.subscribe("b", "t")
			n.push("b", false, 60, 60)
			n.push("c", false, 60, 60, 60, 60)
			for range 4 {
				n.pop("a")
				n.pop("c")
			}
			for range 2 {
				n.deliver(len(n.popped) - 1)
				n.deliver(0)
			}
			n.crash()
			catalogueBytes, _ := n.dir.Content(catalogue.FileName)
			n.dir.Remove(catalogue.FileName)
			damaged := damage(slices.Clone(catalogueBytes))
			if damaged != nil {
				n.dir.Put(catalogue.FileName, damaged)
			}
			n.examine(n.dir.Clone(), "with a damaged catalogue", 1)
			n.start() // compares
			if logs.FilterLevelExact(zapcore.ErrorLevel).Len() == 0 {
				t.Error("nothing was logged as an error")
			}
			if aside, ok := n.dir.Content("catalogue-aside.dat"); ok != (damaged != nil) || string(aside) != string(damaged) {
				t.Error("the damaged catalogue was not kept")
			}
			n.push("b", false, 10, 100)
			n.crash()
			n.start()
			n.stop()
			n.start()
		})
	}
}

func TestADamagedRingFileIsKeptAside(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(ring []byte) []byte
		want   []string
	}{
		"a record":    {func(b []byte) []byte { b[4096+11+7] = 255; return b }, []string{"one"}},
		"lost pages":  {func(b []byte) []byte { clear(b[4096+11:]); return b }, nil},
		"the head":    {func(b []byte) []byte { b[9] ^= 3; return b }, nil},
		"no head":     {func(b []byte) []byte { clear(b[:4096]); return b }, nil},
		"cut":         {func(b []byte) []byte { return b[:4096+11+5] }, []string{"one"}},
		"all records": {func(b []byte) []byte { return b[:4096] }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "lost pages" {
				test.want = append([]string{"one"}, make([]string, 2)...) // zeros are records, too
			}
			n := newTrial(t)
			n.sizes["c"] = 10_000
			logs := logged(&n.options)
			n.start()
			push(t, n.channels, "c", "one", "two", "three")
			push(t, n.channels, "spills", strings.Repeat("x", 200))
			file := n.channels.Find([]byte("c")).storages[0].parts[0].Head().FileName()
			n.dir = n.dir.Clone()
			content, _ := n.dir.Content(file)
			n.dir.Put(file, test.damage(content))
			start := func(dir *disktest.Dir, when string) {
				t.Helper()
				cs, err := n.load(dir)
				if err == nil {
					err = cs.Serve()
				}
				if err != nil {
					t.Fatalf("%s: %v", when, err)
				}
				// What is intact is handed out, and what is left of it is not lost by a kill.
				if got := contents(n, cs); !reflect.DeepEqual(got["c"], test.want) || len(got["spills"]) != 1 {
					t.Errorf("%s: got %.20q, want %q and the record that spilled", when, got, test.want)
				}
				if name != "lost pages" { // where nobody can tell what is a record
					push(t, cs, "c", "later")
					killed := dir.Clone()
					defer killed.Release()
					again, err := n.load(killed)
					if err != nil {
						t.Fatal(err)
					}
					if got := contents(n, again)["c"]; !reflect.DeepEqual(got, append(slices.Clone(test.want), "later")) {
						t.Errorf("%s, pushed to and killed: got %.20q", when, got)
					}
				}
				drain(t, cs)
				cs.trim()
				for _, name := range dir.Names() {
					if strings.Contains(name, "-aside") {
						return
					}
				}
				if name != "lost pages" {
					t.Errorf("%s: the damaged file is gone: there are %q", when, dir.Names())
				}
			}
			kills := make(map[string]*disktest.Dir)
			n.dir.After = func(c disktest.Call) {
				if interesting(c) {
					kills["killed after "+c.String()] = n.dir.Clone()
				}
			}
			cs, err := n.load(n.dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := cs.Serve(); err != nil {
				t.Fatal(err)
			}
			n.dir.After = nil
			start(n.dir.Clone(), "at first")
			if logs.FilterLevelExact(zapcore.ErrorLevel).Len() == 0 && name != "lost pages" {
				t.Error("nothing was logged as an error")
			}
			for when, dir := range kills {
				start(dir, when)
			}
		})
	}
}

// drain takes and delivers what is in channel c.
func drain(t *testing.T, cs *Channels) []string {
	t.Helper()
	c := openChannel(t, cs, "c")
	var runs []*Run
	for {
		run, err := c.Pop(false)
		if err != nil {
			t.Fatal(err)
		}
		if run == nil {
			break
		}
		runs = append(runs, run)
	}
	c.Commit()
	got := payloads(runs)
	for _, run := range runs {
		run.Deliver()
	}
	return got
}

// A ring in memory is put into a file by a stop that keeps ring files, and nowhere else.
func TestRingsInMemoryAreKeptByAStop(t *testing.T) {
	n := newTrial(t)
	n.options.RingInFile, n.options.Keep = false, true
	n.start()
	n.subscribe("c", "s")
	n.push("c", false, 10, 0, 20, 90, 30)
	if got := ringFiles(n.dir); len(got) != 1 || !strings.HasPrefix(got[0], "spill-") {
		t.Errorf("there are %q, want one file for what spilled", got)
	}
	one, two := n.attach("c", "s"), n.attach("c", "s")
	n.next(one, 1)
	n.next(two, 1)
	n.next(two, 1) // one is delivered out of turn
	n.dir.Store = func(name string) { n.examine(n.dir.Clone(), "before something is stored in "+name, 0) }
	for range 2 {
		n.stop()
		if len(originalFiles(n.dir)) > 0 {
			t.Errorf("there are %q", n.dir.Names())
		}
		n.start() // compares
	}
	n.push("c", false, 40)
	n.stop()
	n.options.RingInFile, n.options.Keep = true, false
	n.start()
	n.stop()
	n.start()
}

// However many readers hold something back, a kill brings no record back that was delivered
// behind theirs: not from the ring, not from spill files, not after a second kill, and not in what
// a clean stop leaves to a D node.
func TestDeliveredOutOfTurnIsDeliveredForGood(t *testing.T) {
	const records = 600
	for _, size := range []uint64{records * 20, records * 10, 0} {
		t.Run(fmt.Sprintf("ring of %d", size), func(t *testing.T) {
			n := newTrial(t)
			n.sizes["c"] = size
			n.start()
			for range records {
				n.push("c", false, 10)
			}
			for range records {
				n.pop("c")
			}
			for i := range records/2 - 1 {
				n.deliver(i + 1) // every second record
			}
			n.crash()
			n.start() // compares
			for range 20 {
				n.pop("c")
			}
			for range 5 {
				n.deliver(3)
			}
			n.crash()
			n.start()
			n.pop("c")
			n.pop("c")
			n.deliver(1)
			n.crash()
			n.examine(n.dir.Clone(), "with marks", 1)
			n.start()
			n.stop() // compares what is left to a D node
			n.start()
		})
	}
}

// A removed channel whose runs readers still hold keeps their bytes, and has no files after that.
func TestARemovedChannelWhoseRunsAreHeld(t *testing.T) {
	n := newTrial(t)
	n.start()
	n.subscribe("c", "s")
	n.subscribe("c", "t")
	n.push("c", false, 10, 20, 90, 700_000, 700_000)
	readers := []*keptReader{n.attach("c", "s"), n.attach("c", "s"), n.attach("c", "t")}
	for _, r := range readers {
		n.next(r, 1)
	}
	n.next(readers[2], 1000)
	readers, n.readers = n.readers, nil // so that they stay
	n.remove("c")
	push(t, n.channels, "c", "a new one")
	n.examineRemoved()
	for _, r := range readers {
		for _, h := range r.outs {
			if got := runPayloads(h.run.Bytes()); got[0] != h.items[0].payload {
				t.Errorf("got %.20q, want %.20q", got[0], h.items[0].payload)
			}
		}
		r.Leave(r.runs, 30)
	}
	if got := ringFiles(n.dir); len(got) != 1 {
		t.Errorf("there are %q, want the file of the new channel", got)
	}
}

// examineRemoved checks that after a kill there is only the new channel.
func (n *trial) examineRemoved() {
	n.t.Helper()
	n.settle(map[string][]string{"c": {"a new one"}})
	n.examine(n.dir.Clone(), "with runs of a removed channel", 1)
}

// Durable is what was acknowledged before a sync, and everything that was made by then.
func TestASyncReachesAllFilesThatHaveChanged(t *testing.T) {
	n := newTrial(t)
	n.options.Sync = time.Second
	n.start()
	n.push("a", false, 10, 200)
	n.push("b", false, 10)
	wanted := func() map[string]bool {
		all := map[string]bool{catalogue.FileName: true, "": true}
		for _, name := range ringFiles(n.dir) {
			all[name] = true
		}
		return all
	}
	synced := make(map[string]bool)
	n.dir.Before = func(c disktest.Call) error {
		if c.Op == "sync map" || c.Op == "sync dir" {
			synced[c.Name] = true
		}
		return nil
	}
	n.tick()
	n.tick()
	if want := wanted(); !reflect.DeepEqual(synced, want) {
		t.Errorf("synced were %v, want %v", synced, want)
	}
	clear(synced)
	n.push("b", false, 10)
	n.tick()
	if len(synced) != 0 {
		t.Errorf("at once after a push, synced were %v", synced)
	}
	n.tick()
	if len(synced) != 1 { // the file of b
		t.Errorf("after one push, synced were %v", synced)
	}
	clear(synced)
	n.push("c", false, 10)
	n.pop("c")
	n.deliver(0)
	n.tick()
	delete(synced, catalogue.FileName) // there is a new queue
	delete(synced, "")
	n.tick()
	if len(synced) != 1 { // the head of its file
		t.Errorf("of what is consumed at once, synced were %v", synced)
	}
	clear(synced)
	n.push("c", false, 10)
	n.pop("c")
	n.deliver(0)
	n.tick()
	n.tick()
	if len(synced) != 0 {
		t.Errorf("of what is consumed at once, synced were %v", synced)
	}
}
