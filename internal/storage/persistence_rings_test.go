package storage

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/state"
)

func TestADirectoryBelongsToOneProcess(t *testing.T) {
	path := t.TempDir()
	cs := mustLoad(t, realStore(path))
	push(t, cs, "c", "1")
	before := files(t, path)
	if _, err := Load(realStore(path)); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("second Load: got error %v, want that the directory is in use", err)
	}
	if after := files(t, path); !reflect.DeepEqual(after, before) {
		t.Error("a Load that failed changed the directory")
	}
	if err := cs.Close(); err != nil {
		t.Fatal(err)
	}
	cs = mustLoad(t, realStore(path))
	if err := cs.Close(); err != nil {
		t.Fatal(err)
	}
}

// A check of the directory has a lock, for an instant; a node has one until it ends.
func TestALockThatIsTakenIsTriedForAgain(t *testing.T) {
	for _, test := range []struct {
		holder   string
		how      int
		released int // after so many waits
		ok       bool
	}{
		{"nobody", unix.LOCK_UN, 0, true},
		{"a check", unix.LOCK_SH, 1, true},
		{"some checks", unix.LOCK_SH, 10, true},
		{"a node that ends in time", unix.LOCK_EX, int(lockPatience / lockStep), true},
		{"a node", unix.LOCK_EX, math.MaxInt, false},
	} {
		t.Run(test.holder, func(t *testing.T) {
			path := t.TempDir()
			holder, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer holder.Close()
			if err := unix.Flock(int(holder.Fd()), test.how); err != nil {
				t.Fatal(err)
			}
			waits, waited := 0, time.Duration(0)
			lock, err := lockDir(path, func(d time.Duration) {
				waited += d
				if waits++; waits == test.released {
					holder.Close()
				}
			})
			if err == nil {
				lock.Close()
			}
			if ok := err == nil; ok != test.ok || ok && waits != test.released {
				t.Errorf("got error %v after %d waits, want success: %v, after %d", err, waits, test.ok, test.released)
			}
			if !test.ok && (waited != lockPatience || !strings.Contains(err.Error(), "in use by another process")) {
				t.Errorf("got error %v after %v, want that the directory is in use after %v", err, waited, lockPatience)
			}
		})
	}
}

func TestALoadThatFailsLeavesTheDirectoryFree(t *testing.T) {
	path := t.TempDir()
	state := filepath.Join(path, "storages.dat")
	if err := os.WriteFile(state, []byte("damaged"), 0o666); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := Load(realStore(path)); err == nil || !strings.Contains(err.Error(), "storages.dat: damaged") || !strings.Contains(err.Error(), "moved away") {
			t.Fatalf("got error %v, want one about storages.dat", err)
		}
		if got := files(t, path)["storages.dat"]; got != "damaged" {
			t.Fatalf("the file was changed to %q", got)
		}
	}
	if err := os.Remove(state); err != nil {
		t.Fatal(err)
	}
	if err := mustLoad(t, realStore(path)).Close(); err != nil {
		t.Fatal(err)
	}
}

// A full disk must be an error of Push, and never a fault when the mapped memory is touched:
// so disk space is reserved for every byte of the files that are mapped.
func TestDiskSpaceIsReservedForAllThatIsMapped(t *testing.T) {
	path := t.TempDir()
	options := realStore(path)
	options.RingSize = func(string) uint64 { return 5 << 20 }
	cs := mustLoad(t, options)
	defer cs.Close()
	for i := range 100 { // more than the first state file has slots for
		push(t, cs, fmt.Sprintf("c%d", i), "x")
		options.RingSize = nil
		if i == 2 {
			cs.shared.Options.RingSize = func(string) uint64 { return 10_000 }
		}
	}
	push(t, cs, "c5", strings.Repeat("x", 6<<20))
	mapped := 0
	for name := range files(t, path) {
		info, err := os.Stat(filepath.Join(path, name))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(name, ".dat") {
			continue
		}
		mapped++
		if got := info.Sys().(*syscall.Stat_t).Blocks * 512; got < info.Size() {
			t.Errorf("%s: %d bytes of the disk are reserved for %d", name, got, info.Size())
		}
	}
	if mapped != 102 {
		t.Errorf("%d mapped files, want 100 rings, the overflow and storages.dat", mapped)
	}
}

func TestWithoutAFileTheRingIsInMemory(t *testing.T) {
	for _, op := range []string{"create", "allocate", "map"} {
		t.Run(op, func(t *testing.T) {
			n := newTrial(t)
			logs := logged(&n.options)
			full := true
			n.dir.Before = func(c disktest.Call) error {
				if full && c.Op == op && strings.HasPrefix(c.Name, "ring-") {
					return fmt.Errorf("%w: %w", errInjected, unix.ENOSPC)
				}
				return nil
			}
			n.start()
			n.push("c", false, 10, 20)
			n.push("c", false, 90, 90) // to the overflow
			if found := logs.FilterLevelExact(zapcore.WarnLevel).FilterMessageSnippet("no file for a ring").Len(); found != 1 {
				t.Errorf("%d warnings that the ring has no file, want 1", found)
			}
			for _, name := range n.dir.Names() {
				if strings.HasPrefix(name, "ring-") {
					t.Errorf("%s was left", name)
				}
			}
			full = false
			n.stop()
			n.start()
			if len(n.queues) != 1 || len(n.queues[0].items) != 4 {
				t.Errorf("after a clean stop there are %v, want 4 records", n.queues)
			}
			n.stop()
		})
	}
}

// Rings in memory do not survive a kill. But dumps do, until clients are served, and what
// was in the overflow.
func TestRingsInMemory(t *testing.T) {
	for _, size := range []uint64{64, 30, 8} {
		n := newTrial(t)
		n.options.RingInFile = false
		n.sizes = map[string]uint64{"logs": size, "events": size}
		n.fixture("interleaved")
		for _, life := range []string{"first", "after a kill", "after another kill"} {
			cs, err := n.load(n.dir)
			if err != nil {
				t.Fatal(err)
			}
			if got := contents(n, cs); !reflect.DeepEqual(got, fixtures["interleaved"]) {
				t.Errorf("rings of %d bytes, start %s:\n got %.20q\nwant %.20q", size, life, got, fixtures["interleaved"])
			}
			n.dir = n.dir.Clone()
		}
		n.start()
		n.push("logs", false, 10)
		n.stop()
		n.start()
		n.stop()
	}
}

// From one kind of ring to the other, after a kill and after a stop.
func TestRingsMoveBetweenFileAndMemory(t *testing.T) {
	n := newTrial(t)
	n.start()
	n.push("c", false, 10, 0, 20, 30, 40)
	n.crash()
	n.options.RingInFile = false
	n.start()
	for _, name := range n.dir.Names() {
		if strings.HasPrefix(name, "ring-") {
			t.Errorf("with rings in memory there is %s", name)
		}
	}
	n.push("c", false, 50)
	n.stop()
	n.options.RingInFile = true
	n.start()
	n.push("c", false, 60)
	n.crash()
	n.start()
	n.stop()
}

// In a directory of rings that several nodes have, each leaves the rings of the others.
func TestNodesMayShareADirectoryOfRings(t *testing.T) {
	rings := t.TempDir()
	one, two := realStore(t.TempDir()), realStore(t.TempDir())
	one.RingDir, two.RingDir = rings, rings
	first := mustLoad(t, one)
	push(t, first, "c", "one")
	first.shared.store.lock.Close() // killed
	second := mustLoad(t, two)
	push(t, second, "c", "two")
	logs := logged(&two)
	second.shared.store.lock.Close()
	for path, want := range map[*StoreOptions]string{&one: "one", &two: "two"} {
		cs := mustLoad(t, *path)
		if got := contents(newTrial(t), cs)["c"]; !reflect.DeepEqual(got, []string{want}) {
			t.Errorf("got %q, want %q", got, want)
		}
		if err := cs.Close(); err != nil {
			t.Error(err)
		}
	}
	_ = logs
	if left := files(t, rings); len(left) > 0 {
		t.Errorf("after clean stops there are %d ring files", len(left))
	}
}

// A copy of a data directory says that the same ring files are its own. Not while the node runs
// that has them; after that they are there for either.
func TestACopyOfADataDirectoryDoesNotTakeTheRingsOfTheOther(t *testing.T) {
	rings, path := t.TempDir(), filepath.Join(t.TempDir(), "data")
	one, two := realStore(t.TempDir()), realStore(path)
	one.RingDir, two.RingDir = rings, rings
	first := mustLoad(t, one)
	push(t, first, "c", "1", "2")
	if err := os.CopyFS(path, os.DirFS(one.Dir)); err != nil {
		t.Fatal(err)
	}
	before, beforeRings := files(t, path), files(t, rings)
	_, err := Load(two)
	for _, want := range []string{rings, one.Dir, path, "another ring_dir"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one with %s", err, want)
		}
	}
	if !reflect.DeepEqual(files(t, path), before) || !reflect.DeepEqual(files(t, rings), beforeRings) {
		t.Error("a start that failed has changed a file")
	}
	push(t, first, "c", "3")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if left := slices.Sorted(keys(files(t, rings))); len(left) > 0 {
		t.Errorf("a clean stop leaves %q in the directory of rings", left)
	}
	if _, err := Load(two); err == nil || !strings.Contains(err.Error(), "in a ring file that is not there") {
		t.Errorf("the copy has no ring any more: got error %v", err)
	}
	cs := mustLoad(t, one)
	if got := contents(newTrial(t), cs)["c"]; !reflect.DeepEqual(got, []string{"1", "2", "3"}) {
		t.Errorf("got %q, want 1, 2, 3", got)
	}
	if err := cs.Close(); err != nil {
		t.Error(err)
	}
}

// The lock file of a killed node stays, and is no obstacle. A start that fails leaves none.
func TestALockFileWithoutOwner(t *testing.T) {
	options := realStore(t.TempDir())
	options.RingDir = t.TempDir()
	cs := mustLoad(t, options)
	push(t, cs, "c", "1")
	lock := cs.shared.store.lock.(ringLock)
	lock.file.Close() // killed
	lock.data.Close()
	cs = mustLoad(t, options)
	if got := contents(newTrial(t), cs)["c"]; !reflect.DeepEqual(got, []string{"1"}) {
		t.Errorf("after a kill: got %q, want the record", got)
	}
	if err := cs.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(options.Dir, "overflow.dat"), 0o777); err != nil {
		t.Fatal(err)
	}
	if cs, err := Load(options); err == nil {
		cs.Close()
		t.Error("the node has started where the overflow is a directory")
	}
	if left := slices.Sorted(keys(files(t, options.RingDir))); len(left) > 0 {
		t.Errorf("a start that failed leaves %q in the directory of rings", left)
	}
}

// Who waits for the lock file while its owner deletes it must not have one that nobody sees.
func TestALockFileThatIsDeletedWhileItIsOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	done := make(chan error)
	for range 4 {
		go func() {
			for range 500 {
				f, err := lockFile(path)
				if errors.Is(err, unix.EWOULDBLOCK) {
					continue
				}
				if err == nil {
					err = os.Remove(path) // fails if another one has, who must have had the lock then
					f.Close()
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestADamagedRingFileIsKeptAside(t *testing.T) {
	for name, test := range map[string]struct {
		damage func(ring []byte) []byte
		want   []string
	}{
		"a record":    {func(b []byte) []byte { b[4096+11] = 255; return b }, []string{"one"}},
		"lost pages":  {func(b []byte) []byte { clear(b[4096+11:]); return b }, []string{"one"}},
		"the header":  {func(b []byte) []byte { b[9]++; return b }, []string{"one", "two", "three"}},
		"no header":   {func(b []byte) []byte { clear(b[:4096]); return b }, []string{"one", "two", "three"}},
		"cut":         {func(b []byte) []byte { return b[:5000] }, []string{"one", "two", "three"}},
		"empty":       {func(b []byte) []byte { return nil }, nil},
		"longer":      {func(b []byte) []byte { return append(b, 0) }, []string{"one", "two", "three"}},
		"all is zero": {func(b []byte) []byte { clear(b[4096:]); return b }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			n := newTrial(t)
			n.sizes["c"] = 10_000
			logs := logged(&n.options)
			n.start()
			for _, p := range []string{"one", "two", "three"} {
				c := n.open("c")
				c.Push([]byte(p))
				c.Unlock()
			}
			c := n.open("overflows")
			c.Push(make([]byte, 200))
			c.Unlock()
			n.dir = n.dir.Clone()
			file, _ := n.dir.Content("ring-000001.dat")
			damaged := test.damage(file)
			n.dir.Put("ring-000001.dat", damaged)
			start := func(dir *disktest.Dir, when string) {
				cs, err := n.load(dir)
				if err != nil {
					t.Fatal(err)
				}
				if got := contents(n, cs); !reflect.DeepEqual(got["c"], test.want) || len(got["overflows"]) != 1 {
					t.Errorf("%s: got %.20q, want %q and a record that overflowed", when, got, test.want)
				}
				for _, name := range dir.Names() {
					if b, _ := dir.Content(name); string(b) == string(damaged) {
						return
					}
				}
				t.Errorf("%s: the damaged file is gone: there are %q", when, dir.Names())
			}
			kills := make(map[string]*disktest.Dir)
			n.dir.Before = func(c disktest.Call) error {
				if c.Op == "rename" {
					kills["killed before "+c.String()] = n.dir.Clone()
				}
				return nil
			}
			n.dir.After = func(c disktest.Call) {
				if interesting(c) {
					kills["killed after "+c.String()] = n.dir.Clone()
				}
			}
			start(n.dir, "at first")
			n.dir.Before, n.dir.After = nil, nil
			if logs.FilterLevelExact(zapcore.ErrorLevel).Len() == 0 {
				t.Error("nothing was logged as an error")
			}
			for when, dir := range kills {
				start(dir, when)
				start(dir.Clone(), when+", and again")
			}
		})
	}
}

// Without storages.dat nobody knows what is in ring files; but they are kept.
func TestRingFilesAreKeptIfTheStateIsLost(t *testing.T) {
	n := newTrial(t)
	n.start()
	n.push("c", false, 10)
	n.crash()
	n.dir.Remove("storages.dat")
	ring, _ := n.dir.Content("ring-000001.dat")
	n.foreign = map[string]string{"ring-000001.dat": string(ring)}
	n.settle(nil)
	n.start()
	n.push("c", false, 10)
	n.stop()
	n.start()
	if got, _ := n.dir.Content("ring-000001.dat"); string(got) != string(ring) {
		t.Error("the ring file was changed or deleted")
	}
}

// Without a ring file that has records no node starts: its file system may not be mounted. It
// takes an empty file to give the records up. A ring file without records is not missed.
func TestAMissingRingFile(t *testing.T) {
	n := newTrial(t)
	n.start()
	n.push("c", false, 10, 20)
	n.push("c", false, 200)
	n.push("d", false, 10)
	n.pop("d")
	n.deliver(0)
	n.crash()
	ring, _ := n.dir.Content("ring-000001.dat")
	n.dir.Remove("ring-000001.dat")
	n.dir.Remove("ring-000002.dat")
	for range 2 {
		_, err := n.load(n.dir)
		if err == nil || !strings.Contains(err.Error(), "storage c has 2 records in a ring file that is not there: open data/ring-000001.dat") {
			t.Fatalf("got error %v", err)
		}
	}
	given := n.dir.Clone()
	n.dir.Put("ring-000001.dat", ring)
	n.start() // compares
	n.crash()

	n.dir = given
	n.dir.Put("ring-000001.dat", nil)
	q := n.queue("c")
	q.items[0].gone, q.items[1].gone = yes, yes
	logs := logged(&n.options)
	n.start()
	if found := logs.FilterLevelExact(zapcore.ErrorLevel).FilterMessageSnippet("records of a ring are lost").Len(); found == 0 {
		t.Error("no error was logged about the ring that had records")
	}
	n.push("c", false, 30)
	n.crash()
	n.start()
}

// What is intact of a damaged ring is not left to a ring in memory.
func TestADamagedRingFileOnAFullDisk(t *testing.T) {
	n := newTrial(t)
	n.start()
	n.push("c", false, 10, 20)
	n.crash()
	intact, _ := n.dir.Content("ring-000001.dat")
	damaged := slices.Clone(intact)
	damaged[8]++
	n.dir.Put("ring-000001.dat", damaged)
	n.dir.Before = func(c disktest.Call) error {
		if c.Op == "create" && strings.HasPrefix(c.Name, "ring-") {
			return unix.ENOSPC
		}
		return nil
	}
	if _, err := n.load(n.dir); err == nil || !strings.Contains(err.Error(), "Make room") {
		t.Errorf("got error %v", err)
	}
	n.dir.Before = nil
	n.dir = n.dir.Clone()
	n.start() // compares
}

// Ring files in memory may be gone because the machine was started.
func TestMissingRingFilesInMemory(t *testing.T) {
	const memory = "/dev/shm"
	var fs unix.Statfs_t
	if err := unix.Statfs(memory, &fs); err != nil || fs.Type != unix.TMPFS_MAGIC {
		t.Skipf("%s is no file system in memory: %v", memory, err)
	}
	rings, err := os.MkdirTemp(memory, "rings")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(rings) })
	o := realStore(t.TempDir())
	o.RingDir = rings
	cs := mustLoad(t, o)
	push(t, cs, "c", "in memory")
	cs.shared.store.lock.Close() // killed
	if err := os.Remove(filepath.Join(rings, "ring-000001.dat")); err != nil {
		t.Fatal(err)
	}
	logs := logged(&o)
	cs = mustLoad(t, o)
	if found := logs.FilterLevelExact(zapcore.ErrorLevel).FilterMessageSnippet("records of a ring are lost").Len(); found != 1 {
		t.Errorf("%d errors were logged, want one", found)
	}
	if err := cs.Close(); err != nil {
		t.Error(err)
	}
}

// A start that fails with the last of the dump files has lost nothing, whatever has been
// configured for it.
func TestAStartThatFailsLateLosesNothing(t *testing.T) {
	for name, configure := range map[string]func(n *trial){
		"as before":       func(*trial) {},
		"rings in memory": func(n *trial) { n.options.RingInFile = false },
		"smaller rings":   func(n *trial) { n.sizes["c"] = 40 },
		"larger rings":    func(n *trial) { n.sizes["c"] = 400 },
		"no rings":        func(n *trial) { n.sizes["c"] = 0 },
	} {
		t.Run(name, func(t *testing.T) {
			n := newTrial(t)
			n.start()
			n.push("c", false, 20, 30, 20, 90, 10)
			n.push("d", false, 10)
			n.crash()
			n.dir.Put("z.rq", dumpOf("from a dump"))
			n.queue("z").exists = yes
			n.queue("z").items = []*item{{payload: "from a dump", pushed: yes}}
			configure(n)
			opened := 0
			n.dir.Before = func(c disktest.Call) error {
				if c.Op == "open" && c.Name == "z.rq" {
					opened++
				}
				if opened > 1 { // the first time, it is found to be readable
					return errInjected
				}
				return nil
			}
			if _, err := n.load(n.dir); !errors.Is(err, errInjected) {
				t.Fatalf("got error %v", err)
			}
			n.dir = n.dir.Clone()
			n.options.RingInFile = true
			n.start() // compares
			n.stop()
			n.start()
		})
	}
}

// A start that fails with the last of the dump files, and is killed while it undoes what it has
// made, has lost nothing either, and leaves nothing that the next start complains of.
func TestAKillOfAStartThatFails(t *testing.T) {
	for _, fixture := range []string{"loadfiles", "interleaved"} {
		n := newTrial(t)
		n.fixture(fixture)
		n.silent = true
		failing, last := false, ""
		for _, name := range n.dir.Names() {
			if strings.HasSuffix(name, ".rq") {
				last = name
			}
		}
		opened, kills := 0, 0
		n.dir.Before = func(c disktest.Call) error {
			if c.Op == "open" && c.Name == last {
				if opened++; opened > 1 { // the first time, it is found to be readable
					failing = true
					return errInjected
				}
			}
			return nil
		}
		n.dir.After = func(c disktest.Call) {
			if failing && c.Changes {
				kills++
				n.examine(n.dir.Clone(), "after "+c.String()+" of a start that failed", 0)
			}
		}
		if _, err := n.load(n.dir); !errors.Is(err, errInjected) {
			t.Fatalf("%s: got error %v", fixture, err)
		}
		if kills == 0 {
			t.Errorf("%s: nothing was undone", fixture)
		}
		n.dir.Before, n.dir.After = nil, nil
		n.start() // compares
		n.stop()
	}
}

// A ring file with records that no storage has is kept: the state file has lost the storage.
// One that no storage needs any more is deleted, and those of others are left.
func TestStrayRingFiles(t *testing.T) {
	n := newTrial(t)
	n.start()
	n.push("c", false, 10, 20)
	n.push("d", false, 10)
	n.crash()
	slots, err := state.Open(n.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range slots.Used() {
		slots.Free(slot)
	}
	if err := slots.Close(); err != nil {
		t.Fatal(err)
	}
	records, _ := n.dir.Content("ring-000001.dat")
	spare := slices.Clone(records)
	spare[40] = 1
	n.dir.Put("ring-000002.dat", spare)
	n.dir.Put("ring-000003.dat", make([]byte, 5000))
	n.dir.Put("ring-000004.dat", []byte("no ring at all"))
	unfinished := make([]byte, 5000)
	copy(unfinished, records[:20])
	unfinished[40] = 1
	n.dir.Put("ring-000005.dat", unfinished)
	n.dir.Put("ring-000006.dat", records) // a copy
	n.settle(nil)
	logs := logged(&n.options)
	n.start()
	if found := logs.FilterLevelExact(zapcore.ErrorLevel).FilterMessageSnippet("a ring file has records").Len(); found == 0 {
		t.Error("no error was logged")
	}
	n.push("c", false, 10)
	n.stop()
	n.start()
	n.stop()
	want := []string{"c.rq", "ring-000001-aside.dat", "ring-000004.dat", "ring-000006.dat"}
	if got := n.dir.Names(); !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
	if got, _ := n.dir.Content("ring-000001-aside.dat"); string(got) != string(records) {
		t.Error("the ring file that is kept was changed")
	}
}

// A state file that has lost storages keeps the node from starting, and from forgetting them.
func TestAStateFileThatHasLostStorages(t *testing.T) {
	n := newTrial(t)
	n.start()
	n.push("c", false, 10, 20, 90)
	n.push("d", false, 10, 20, 90)
	n.crash()
	content, _ := n.dir.Content("storages.dat")
	damaged := slices.Clone(content)
	for at := 4096; at < len(damaged); at += 1024 {
		if damaged[at] == 1 {
			clear(damaged[at : at+1024])
			break
		}
	}
	n.dir.Put("storages.dat", damaged)
	for range 2 {
		if _, err := n.load(n.dir); !errors.Is(err, state.ErrDamaged) {
			t.Fatalf("got error %v, want %v", err, state.ErrDamaged)
		}
	}
	n.dir.Put("storages.dat", content)
	n.start() // compares
}

// A dump that a stop has written, and that was gone before the stop was finished, may have
// been loaded by a D node or not: its ring file is kept.
func TestADumpThatIsGoneBeforeTheStopIsFinished(t *testing.T) {
	n := newTrial(t)
	n.start()
	n.push("c", false, 10, 20)
	records, _ := n.dir.Content("ring-000001.dat")
	var killed *disktest.Dir
	n.dir.After = func(c disktest.Call) {
		if c.Op == "rename" && strings.HasPrefix(c.Name, "dump-") {
			killed = n.dir.Clone()
		}
	}
	n.stop()
	killed.Remove("c.rq")
	n.dir = killed
	n.settle(nil)
	logs := logged(&n.options)
	n.start()
	if found := logs.FilterLevelExact(zapcore.ErrorLevel).FilterMessageSnippet("the dump file that the last stop has written is gone").Len(); found == 0 {
		t.Error("no error was logged")
	}
	if got, _ := n.dir.Content("ring-000001-aside.dat"); string(got) != string(records) {
		t.Error("the ring file was not kept")
	}
}

// Rings in memory are dumped also if the overflow could not be closed.
func TestRingsInMemoryAreDumpedWithoutAnIndex(t *testing.T) {
	n := newTrial(t)
	n.options.RingInFile = false
	n.start()
	n.push("c", false, 10, 20, 90, 30)
	n.faulty = true
	n.dir.Before = func(c disktest.Call) error {
		if c.Name == "ofchannels-new.csv" {
			return errInjected
		}
		return nil
	}
	n.stop()
	if n.errors == 0 {
		t.Error("the stop did not fail")
	}
	n.dir = n.dir.Clone()
	n.start() // compares
	n.dir.Before = nil
	n.stop()
	n.start()
}

// What the overflow file does not hold any more is an error in the log, and the file is kept
// aside with what may be left in it; the other storages have their records.
func TestADamagedOverflowFile(t *testing.T) {
	for name, damage := range map[string]func(b []byte) []byte{
		"missing":             func([]byte) []byte { return nil },
		"empty":               func(b []byte) []byte { return b[:0] },
		"another magic":       func(b []byte) []byte { b[0]++; return b },
		"cut":                 func(b []byte) []byte { return b[:250] },
		"the header of one":   func(b []byte) []byte { b[8+16]++; return b },
		"all of one":          func(b []byte) []byte { clear(b[8:240]); return b },
		"zeros from a record": func(b []byte) []byte { clear(b[240:]); return b },
	} {
		t.Run(name, func(t *testing.T) {
			n := newTrial(t)
			logs := logged(&n.options)
			n.sizes = map[string]uint64{"a": 0, "b": 0}
			n.start()
			n.push("ring", false, 10)
			n.push("a", false, 200)
			n.push("b", false, 200)
			n.push("a", false, 200)
			n.push("b", false, 200)
			n.crash()
			b, _ := n.dir.Content("overflow.dat")
			n.dir.Remove("overflow.dat")
			if b = damage(b); b != nil {
				n.dir.Put("overflow.dat", b)
			}
			damaged := string(b)
			start := func(dir *disktest.Dir, when string) {
				cs, err := n.load(dir)
				if err != nil {
					t.Fatalf("%s, the node does not start: %v", when, err)
				}
				found := contents(n, cs)
				if len(found["ring"]) != 1 {
					t.Errorf("%s: got %.10q, want the record of the ring", when, found)
				}
				if strings.HasSuffix(name, " of one") {
					if len(found["a"]) != 1 || len(found["b"]) != 2 {
						t.Errorf("%s: got %.10q, want all but the first record of a", when, found)
					}
					return
				}
				if aside, _ := dir.Content("overflow-aside-1.dat"); aside == nil && damaged != "" || string(aside) != damaged {
					t.Errorf("%s: the damaged file is not kept aside as it was; there are %q", when, dir.Names())
				}
			}
			kills := make(map[string]*disktest.Dir)
			n.dir.After = func(c disktest.Call) {
				if interesting(c) {
					kills["killed after "+c.String()] = n.dir.Clone()
				}
			}
			start(n.dir, "at first")
			n.dir.After = nil
			start(n.dir.Clone(), "after a kill")
			for when, dir := range kills {
				start(dir, when)
			}
			if logs.FilterLevelExact(zapcore.ErrorLevel).Len() == 0 {
				t.Error("nothing was logged as an error")
			}
		})
	}
}

// The head of the overflow was just being cut off when the node was killed, and then somebody
// changed the size of the file: the node starts, and keeps it aside.
func TestAnOverflowFileOfAnotherSizeThanACutLeaves(t *testing.T) {
	n := newTrial(t)
	logs := logged(&n.options)
	n.sizes["a"] = 0
	n.start()
	n.push("ring", false, 10)
	n.push("a", false, 200)
	n.tick()
	n.crash()
	f, err := state.Open(n.dir)
	if err != nil {
		t.Fatal(err)
	}
	h := f.Header()
	h.OverflowCut, h.OverflowSize = 1<<20, 10<<20
	f.SetHeader(h)
	cs, err := n.load(n.dir)
	if err != nil {
		t.Fatalf("the node does not start: %v", err)
	}
	found := contents(n, cs)
	if len(found["ring"]) != 1 {
		t.Errorf("got %.10q, want the record of the ring", found)
	}
	if _, aside := n.dir.Content("overflow-aside-1.dat"); !aside && len(found["a"]) != 1 {
		t.Errorf("the record in the overflow is neither in its queue nor kept aside: there are %q", n.dir.Names())
	}
	if logs.FilterLevelExact(zapcore.ErrorLevel).Len() == 0 {
		t.Error("nothing was logged as an error")
	}
}
