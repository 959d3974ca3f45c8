package storage

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// realOptions are those of a directory of the operating system.
func realOptions(path string) Options {
	return Options{
		Dir:        path,
		RingInFile: true,
		Checksums:  true,
		RingSize:   func(string) uint64 { return 1000 },
		Logs:       func(string) *zap.Logger { return zap.NewNop() },
	}
}

func mustLoad(t testing.TB, options Options) *Channels {
	t.Helper()
	cs, err := Load(options)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return cs
}

// serve starts a node that is stopped at the end of the test.
func serve(t testing.TB, options Options) *Channels {
	t.Helper()
	cs := mustLoad(t, options)
	if err := cs.Serve(); err != nil {
		t.Fatalf("Serve: %v", err)
	}
	t.Cleanup(func() {
		if err := cs.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return cs
}

// newTestChannels returns channels with rings of that size in memory.
func newTestChannels(t testing.TB, ringSize uint64) *Channels {
	t.Helper()
	options := realOptions(filepath.Join(t.TempDir(), "data"))
	options.RingInFile, options.Keep, options.inline = false, true, true
	options.RingSize = func(string) uint64 { return ringSize }
	return serve(t, options)
}

func openChannel(t testing.TB, cs *Channels, name string) *Channel {
	t.Helper()
	c, err := cs.Open([]byte(name))
	if err != nil {
		t.Fatalf("Open(%s): %v", name, err)
	}
	return c
}

// push pushes records to a channel under one lock.
func push(t testing.TB, cs *Channels, channel string, payloads ...string) {
	t.Helper()
	c := openChannel(t, cs, channel)
	defer c.Commit()
	for _, p := range payloads {
		if err := c.Push([]byte(p)); err != nil {
			t.Fatalf("Push to %s: %v", channel, err)
		}
	}
}

func subscribe(t testing.TB, cs *Channels, channel, subscriber string) *Storage {
	t.Helper()
	c := openChannel(t, cs, channel)
	defer c.Commit()
	s, err := c.Subscribe(subscriber)
	if err != nil {
		t.Fatalf("Subscribe(%s) to %s: %v", subscriber, channel, err)
	}
	return s
}

func remove(t testing.TB, cs *Channels, channel string) {
	t.Helper()
	if err := cs.Remove([]byte(channel)); err != nil {
		t.Errorf("Remove(%s): %v", channel, err)
	}
}

func TestAPushAfterARemovalMakesANewChannel(t *testing.T) {
	cs := newTestChannels(t, 1000)
	push(t, cs, "c", "old")
	subscribe(t, cs, "c", "s")
	old := cs.Find([]byte("c"))
	remove(t, cs, "c")
	if cs.Find([]byte("c")) != nil || len(cs.All()) != 0 {
		t.Error("the channel is still there after its removal")
	}
	if old.Lock() {
		t.Fatal("Lock of a removed channel succeeds")
	}
	push(t, cs, "c", "new")
	c := openChannel(t, cs, "c")
	defer c.Commit()
	if c == old {
		t.Fatal("the removed channel came back")
	}
	run, err := c.Pop(false) // possible: the new one has no subscribers
	if err != nil || string(run.Payload()) != "new" {
		t.Fatalf("Pop: got %v, %v, want the new record", run, err)
	}
	if run, err := c.Pop(false); run != nil || err != nil {
		t.Errorf("Pop: got %v, %v, want nothing more", run, err)
	}
}

func TestABatchMayRemoveTheChannelItHolds(t *testing.T) {
	cs := newTestChannels(t, 1000)
	batch := NewBatch(cs)
	var group sync.WaitGroup
	group.Go(func() {
		for _, name := range []string{"a", "b"} { // itself, and another one
			if _, err := batch.Open([]byte("a")); err != nil {
				t.Error(err)
			}
			batch.Remove([]byte(name))
		}
		batch.End()
		if c := batch.Find([]byte("a")); c == nil {
			t.Error("the removal of b removed a")
		}
		batch.End()
	})
	wait(t, &group, func() string { return "the batch waits for itself" })
}

func TestRemovalOfAnUnknownChannelDoesNothing(t *testing.T) {
	cs := newTestChannels(t, 1000)
	push(t, cs, "a", "x")
	remove(t, cs, "b")
	if n := len(cs.All()); n != 1 {
		t.Errorf("%d channels, want 1", n)
	}
}

func TestAllChannelsInOrderOfCreation(t *testing.T) {
	cs := newTestChannels(t, 1000)
	for _, name := range []string{"c", "a", "b", "d"} {
		push(t, cs, name, "x")
	}
	remove(t, cs, "a")
	push(t, cs, "a", "x")
	var got []string
	for _, c := range cs.All() {
		got = append(got, c.Name())
	}
	wantRecords(t, "All", got, "c b d a")
}

// See storage spec §5.2, §5.3.
func TestTheFirstSubscriberTakesAllRecordsOver(t *testing.T) {
	cs := newTestChannels(t, 100) // the last records overflow
	before := []string{"first", strings.Repeat("x", 60), strings.Repeat("y", 60), "last"}
	push(t, cs, "c", before...)

	c := openChannel(t, cs, "c")
	popped, err := c.Pop(false)
	if err != nil {
		t.Fatal(err)
	}
	c.Commit()
	first := subscribe(t, cs, "c", "s")
	popped.GiveBack(0)
	second := subscribe(t, cs, "c", "")
	if again := subscribe(t, cs, "c", "s"); again != first || first == second {
		t.Error("a subscriber that is known gets another storage than before")
	}
	push(t, cs, "c", "for both")

	c.Lock()
	if run, err := c.Pop(false); run != nil || err != ErrSubscribed {
		t.Errorf("Pop: got %v, %v, want ErrSubscribed", run, err)
	}
	c.Commit()
	var log []string
	for _, s := range []struct {
		storage *Storage
		want    string
	}{
		{first, strings.Join(append(before, "for both"), " ")},
		{second, "for both"},
	} {
		c := &client{name: s.storage.name, log: &log}
		s.storage.channel.Lock()
		c.Attach(s.storage, c)
		s.storage.channel.Commit()
		wantRecords(t, c.name, c.take(t), s.want)
	}
}

// hugeRing is so large that the address space takes only a few of them: whoever forgets
// to unmap one is soon found out.
const (
	hugeRing = 1 << 45
	hugeTry  = 10
)

func skipWithoutHugeRings(t *testing.T) {
	r, err := ring.New(hugeRing)
	if err != nil {
		t.Skipf("this system does not map rings of %d bytes: %v", uint64(hugeRing), err)
	}
	r.Close()
}

func TestARemovedChannelUnmapsItsRingsAfterTheLastRun(t *testing.T) {
	skipWithoutHugeRings(t)
	cs := newTestChannels(t, hugeRing)
	for i := range hugeTry {
		push(t, cs, "c", "popped")
		c := openChannel(t, cs, "c")
		run, err := c.Pop(false)
		if err != nil {
			t.Fatal(err)
		}
		s := c.storages[0]
		c.Commit()
		remove(t, cs, "c")
		if string(run.Payload()) != "popped" || len(s.parts) == 0 {
			t.Fatal("the memory of a run is gone before it is settled")
		}
		if i%2 == 0 {
			run.Deliver()
		} else {
			run.GiveBack(0)
		}
		if len(s.parts) != 0 {
			t.Fatal("the ring is still there after the last run is settled")
		}
	}
}

func TestConcurrentPushesToNewChannelsLoseNothing(t *testing.T) {
	const channels, pushers = 3000, 4
	cs := newTestChannels(t, 1000)
	var group sync.WaitGroup
	for id := range pushers {
		group.Go(func() {
			for i := range channels {
				c, err := cs.Open(fmt.Appendf(nil, "c%d", i))
				if err != nil {
					t.Error(err)
					return
				}
				if err := c.Push([]byte{byte(id)}); err != nil {
					t.Error(err)
				}
				c.Commit()
			}
		})
	}
	wait(t, &group, func() string { return "pushes to new channels" })
	all := cs.All()
	if len(all) != channels {
		t.Errorf("%d channels, want %d", len(all), channels)
	}
	for _, c := range all {
		if n := c.storages[0].available(); n != pushers {
			t.Errorf("channel %s has %d records, want %d", c.Name(), n, pushers)
		}
		cs.Remove([]byte(c.Name()))
	}
}

// All operations on a few channels from many goroutines, in a directory of the system, with all
// that is done in the background and periodically. Each checks what it can see itself; at the end
// all rings must be gone.
func TestConcurrentUseOfChannels(t *testing.T) {
	for _, inFile := range []bool{true, false} {
		t.Run(fmt.Sprintf("rings in files %v", inFile), func(t *testing.T) {
			path := t.TempDir()
			options := realOptions(path)
			options.RingInFile = inFile
			options.RingSize = func(string) uint64 { return 200 }
			options.Sync = time.Millisecond
			cs := mustLoad(t, options)
			if err := cs.Serve(); err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			seen := make(map[*Storage]bool)
			var group sync.WaitGroup
			for id := range 6 {
				group.Go(func() {
					v := visitor{t: t, channels: cs, batch: NewBatch(cs), seen: make(map[*Storage]bool), rng: rand.New(rand.NewPCG(uint64(id), 4))}
					for range 2000 {
						v.step()
					}
					v.goHome()
					mu.Lock()
					for s := range v.seen {
						seen[s] = true
					}
					mu.Unlock()
				})
			}
			group.Go(func() {
				for i := range 200 {
					cs.trim()
					cs.Mark(time.Unix(int64(i), 0))
					cs.Figures()
					if err := cs.sync(all); err != nil {
						t.Error(err)
					}
				}
			})
			wait(t, &group, func() string { return "concurrent use of channels" })

			for _, c := range cs.All() {
				if cs.Find([]byte(c.Name())) != c {
					t.Errorf("All has a channel %s that Find does not find", c.Name())
				}
				remove(t, cs, c.Name())
			}
			if n := len(cs.All()); n != 0 {
				t.Errorf("%d channels left", n)
			}
			for s := range seen {
				if !s.removed || s.out != 0 || len(s.parts) != 0 || s.reserved != nil || len(s.consumers) != 0 || s.waiting.len != 0 || s.woken != 0 {
					t.Errorf("storage %s: removed %v, %d runs out, %d parts, %d consumers, %d wait, %d woken, want all gone",
						s.name, s.removed, s.out, len(s.parts), len(s.consumers), s.waiting.len, s.woken)
				}
			}
			if err := cs.Close(); err != nil {
				t.Fatal(err)
			}
			if left := files(t, path); len(left) > 0 {
				t.Errorf("files %q are left", slices.Sorted(maps.Keys(left)))
			}
		})
	}
}

// files returns the contents of a directory of the operating system.
func files(t testing.TB, path string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	contents := make(map[string]string)
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(path, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		contents[e.Name()] = string(b)
	}
	return contents
}

// visitor is one goroutine that does all that can be done to channels.
type visitor struct {
	t        *testing.T
	channels *Channels
	batch    Batch
	rng      *rand.Rand
	seen     map[*Storage]bool

	popped   []*Run
	consumer *Consumer
	runs     []*Run
	bell     bell
}

func (v *visitor) step() {
	name := []byte(fmt.Sprintf("c%d", v.rng.IntN(3)))
	switch v.rng.IntN(16) {
	case 0:
		if err := v.do(func() error { return v.batch.Remove(name) }); err != nil {
			v.t.Error(err)
		}
	case 1, 2, 3:
		v.attach(name)
	case 4, 5:
		if len(v.popped) > 0 {
			v.popped[0].GiveBack(v.rng.IntN(20))
			v.popped = v.popped[1:]
		}
	case 6:
		if len(v.popped) > 0 {
			v.popped[0].Deliver()
			v.popped = v.popped[1:]
		}
	case 7, 8:
		v.pop(name)
	case 9, 10, 11:
		v.next()
	default:
		for range 1 + v.rng.IntN(4) {
			v.push(name)
		}
		v.batch.End()
	}
}

// do does what may have to wait for files.
func (v *visitor) do(operation func() error) error { return newPatient(&v.batch).do(operation) }

// open opens a channel, and does something with it.
func (v *visitor) open(name []byte, operation func(*Channel) error) {
	err := v.do(func() error {
		c, err := v.batch.Open(name)
		if err != nil {
			return err
		}
		v.opened(c, name)
		return operation(c)
	})
	if err != nil {
		v.giveUp(err)
	}
}

func (v *visitor) opened(c *Channel, name []byte) {
	if c.removed || c.Name() != string(name) {
		v.t.Errorf("Open(%s): got channel %s, removed %v", name, c.Name(), c.removed)
	}
	for _, s := range c.storages {
		v.seen[s] = true
	}
}

// giveUp ends the goroutine, which must not end the test.
func (v *visitor) giveUp(err error) {
	v.t.Error(err)
	runtime.Goexit()
}

// push pushes a record that says for which channel it is.
func (v *visitor) push(name []byte) {
	payload := append(name, make([]byte, v.rng.IntN(60))...)
	v.open(name, func(c *Channel) error { return c.Push(payload) })
}

func (v *visitor) check(s *Storage, runs []*Run) {
	for _, p := range payloads(runs) {
		if !strings.HasPrefix(p, s.channel.name) {
			v.t.Errorf("channel %s gave a record %q", s.channel.name, p)
		}
	}
}

func (v *visitor) pop(name []byte) {
	defer v.batch.End()
	var run *Run
	err := v.do(func() (err error) {
		if c := v.batch.Find(name); c != nil {
			run, err = c.Pop(true)
		}
		return err
	})
	if err != nil && err != ErrSubscribed {
		v.t.Error(err)
	}
	if run != nil {
		v.check(run.storage, []*Run{run})
		v.popped = append(v.popped, run)
	}
}

func (v *visitor) attach(name []byte) {
	v.leave()
	subscriber := []string{"", "s", "t"}[v.rng.IntN(3)]
	v.open(name, func(c *Channel) error {
		s, err := c.Subscribe(subscriber)
		if err != nil {
			return err
		}
		v.seen[s] = true
		v.consumer, v.bell = new(Consumer), make(bell, 1)
		v.consumer.Attach(s, v.bell)
		return nil
	})
	v.batch.End()
}

func (v *visitor) next() {
	if v.consumer == nil {
		return
	}
	known := v.consumer.Removed()
	runs, removed, err := v.consumer.Next(v.runs, 100, v.rng.IntN(2) == 0)
	if known && !removed {
		v.t.Error("Removed says that the channel is removed, Next does not")
	}
	v.runs = runs
	if err != nil {
		v.t.Error(err)
	}
	v.check(v.consumer.storage, runs)
	if removed {
		v.leave()
	}
}

func (v *visitor) leave() {
	if v.consumer != nil {
		v.consumer.Leave(v.runs, v.rng.IntN(200))
		v.consumer, v.runs = nil, v.runs[:0]
	}
}

func (v *visitor) goHome() {
	v.leave()
	for _, run := range v.popped {
		run.GiveBack(0)
	}
}
