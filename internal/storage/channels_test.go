package storage

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/overflow/overflowtest"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

func TestAPushAfterARemovalMakesANewChannel(t *testing.T) {
	cs := newTestChannels(1000)
	push(t, cs, "c", "old")
	subscribe(t, cs, "c", "s")
	old := cs.Find([]byte("c"))
	cs.Remove([]byte("c"))
	if cs.Find([]byte("c")) != nil || len(cs.All()) != 0 {
		t.Error("the channel is still there after its removal")
	}
	if old.Lock() {
		t.Fatal("Lock of a removed channel succeeds")
	}
	push(t, cs, "c", "new")
	c := openChannel(t, cs, "c")
	defer c.Unlock()
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
	cs := newTestChannels(1000)
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
	cs := newTestChannels(1000)
	push(t, cs, "a", "x")
	cs.Remove([]byte("b"))
	if n := len(cs.All()); n != 1 {
		t.Errorf("%d channels, want 1", n)
	}
}

func TestAllChannelsInOrderOfCreation(t *testing.T) {
	cs := newTestChannels(1000)
	for _, name := range []string{"c", "a", "b", "d"} {
		push(t, cs, name, "x")
	}
	cs.Remove([]byte("a"))
	push(t, cs, "a", "x")
	var got []string
	for _, c := range cs.All() {
		got = append(got, c.Name())
	}
	wantRecords(t, "All", got, "c b d a")
}

// Storage spec §5.2, §5.3.
func TestTheFirstSubscriberTakesAllRecordsOver(t *testing.T) {
	cs := newTestChannels(100) // the last records overflow
	before := []string{"first", strings.Repeat("x", 60), strings.Repeat("y", 60), "last"}
	push(t, cs, "c", before...)

	c := openChannel(t, cs, "c")
	popped, err := c.Pop(false)
	if err != nil {
		t.Fatal(err)
	}
	c.Unlock()
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
	c.Unlock()
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
		s.storage.channel.Unlock()
		wantRecords(t, c.name, c.take(t), s.want)
	}
}

// A record of which two storages need a copy is taken by the first although the second
// can't store it.
func TestAFailedPushNamesTheStorage(t *testing.T) {
	overflows := map[string]*faultyOverflow{}
	cs := NewChannels(Options{
		RingSize: func(string) uint64 { return 0 },
		Overflow: func(name string) (Overflow, error) {
			overflows[name] = &faultyOverflow{}
			return overflows[name], nil
		},
	})
	subscribe(t, cs, "c", "s")
	subscribe(t, cs, "c", "t")
	overflows["t@c"].breakPush = true
	c := openChannel(t, cs, "c")
	defer c.Unlock()
	for what, err := range map[string]error{
		"Push":    c.Push([]byte("x")),
		"PushRun": c.PushRun(appendRecord(nil, []byte("x")), 1),
	} {
		if !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "t@c") {
			t.Errorf("%s: got error %v, want %v with the name t@c", what, err, errBroken)
		}
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

func TestAChannelThatCannotBeMadeLeavesNothing(t *testing.T) {
	skipWithoutHugeRings(t)
	size, refuse := uint64(1)<<60, false
	cs := NewChannels(Options{
		RingSize: func(string) uint64 { return size },
		Overflow: func(string) (Overflow, error) {
			if refuse {
				return nil, errBroken
			}
			return &overflowtest.Memory{}, nil
		},
	})
	check := func(what string, want int) {
		if n := len(cs.All()); n != want {
			t.Errorf("%s: %d channels, want %d", what, n, want)
		}
	}
	if c, err := cs.Open([]byte("c")); c != nil || err == nil || !strings.Contains(err.Error(), `"c"`) {
		t.Errorf("Open without memory: got %v, error %v, want one that names the channel", c, err)
	}
	check("without memory", 0)

	size, refuse = hugeRing, true
	for range hugeTry {
		if c, err := cs.Open([]byte("c")); c != nil || !errors.Is(err, errBroken) {
			t.Fatalf("Open without overflow: got %v, %v, want %v", c, err, errBroken)
		}
	}
	check("without overflow", 0)

	refuse = false
	subscribe(t, cs, "c", "s")
	size = 1 << 60
	c := openChannel(t, cs, "c")
	if s, err := c.Subscribe("t"); s != nil || err == nil || !strings.Contains(err.Error(), `"t"`) {
		t.Errorf("Subscribe without memory: got %v, error %v, want one that names the subscriber", s, err)
	}
	c.Unlock()
	check("with one subscriber", 1)
	push(t, cs, "c", "x")
}

func TestARemovedChannelUnmapsItsRingsAfterTheLastRun(t *testing.T) {
	skipWithoutHugeRings(t)
	cs := newTestChannels(hugeRing)
	for i := range hugeTry {
		push(t, cs, "c", "popped")
		c := openChannel(t, cs, "c")
		run, err := c.Pop(false)
		if err != nil {
			t.Fatal(err)
		}
		s := c.storages[0]
		c.Unlock()
		cs.Remove([]byte("c"))
		if string(run.Payload()) != "popped" || s.ring.Capacity() == 0 {
			t.Fatal("the memory of a run is gone before it is settled")
		}
		if i%2 == 0 {
			run.Deliver()
		} else {
			run.GiveBack(0)
		}
		if s.ring.Capacity() != 0 {
			t.Fatal("the ring is still mapped after the last run is settled")
		}
	}
}

func TestConcurrentPushesToNewChannelsLoseNothing(t *testing.T) {
	const channels, pushers = 3000, 4
	cs := newTestChannels(1000)
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
				c.Unlock()
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

// All operations on a few channels from many goroutines. Each checks what it can see
// itself; at the end all rings must be unmapped and all overflows removed.
func TestConcurrentUseOfChannels(t *testing.T) {
	var mu sync.Mutex
	var overflows []*faultyOverflow
	cs := NewChannels(Options{
		RingSize: func(string) uint64 { return 200 },
		Overflow: func(storage string) (Overflow, error) {
			if strings.HasSuffix(storage, "bad") {
				return nil, errBroken
			}
			o := &faultyOverflow{name: storage}
			mu.Lock()
			overflows = append(overflows, o)
			mu.Unlock()
			return o, nil
		},
	})
	seen := make(map[*Storage]bool)
	var group sync.WaitGroup
	for id := range 8 {
		group.Go(func() {
			v := visitor{t: t, channels: cs, batch: NewBatch(cs), seen: make(map[*Storage]bool), rng: rand.New(rand.NewPCG(uint64(id), 4))}
			for range 3000 {
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
	wait(t, &group, func() string { return "concurrent use of channels" })

	for _, c := range cs.All() {
		if cs.Find([]byte(c.Name())) != c {
			t.Errorf("All has a channel %s that Find does not find", c.Name())
		}
		cs.Remove([]byte(c.Name()))
	}
	if n := len(cs.All()); n != 0 {
		t.Errorf("%d channels left", n)
	}
	for s := range seen {
		if !s.removed || s.out != 0 || s.ring.Capacity() != 0 || len(s.consumers) != 0 || s.waiting.len != 0 || s.woken != 0 {
			t.Errorf("storage %s: removed %v, %d runs out, ring of %d, %d consumers, %d wait, %d woken, want all gone",
				s.name, s.removed, s.out, s.ring.Capacity(), len(s.consumers), s.waiting.len, s.woken)
		}
	}
	for _, o := range overflows {
		if !o.removed || o.misuse != "" {
			t.Errorf("overflow %s: removed %v, misuse %q", o.name, o.removed, o.misuse)
		}
	}
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
		v.batch.Remove(name)
	case 1:
		if c, err := v.batch.Open([]byte("bad")); !errors.Is(err, errBroken) {
			v.t.Errorf("Open of a channel that can't be made: %v, %v", c, err)
		}
	case 2, 3:
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

func (v *visitor) open(name []byte) *Channel {
	c, err := v.batch.Open(name)
	if err != nil {
		v.giveUp(err)
	}
	if c.removed || c.Name() != string(name) {
		v.t.Errorf("Open(%s): got channel %s, removed %v", name, c.Name(), c.removed)
	}
	for _, s := range c.storages {
		v.seen[s] = true
	}
	return c
}

// giveUp ends the goroutine, which must not end the test.
func (v *visitor) giveUp(err error) {
	v.t.Error(err)
	runtime.Goexit()
}

// push pushes a record that says for which channel it is.
func (v *visitor) push(name []byte) {
	if err := v.open(name).Push(append(name, make([]byte, v.rng.IntN(60))...)); err != nil {
		v.t.Error(err)
	}
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
	c := v.batch.Find(name)
	if c == nil {
		return
	}
	run, err := c.Pop(true)
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
	c := v.open(name)
	s, err := c.Subscribe([]string{"", "s", "t"}[v.rng.IntN(3)])
	if err != nil {
		v.giveUp(err)
	}
	v.seen[s] = true
	v.consumer, v.bell = new(Consumer), make(bell, 1)
	v.consumer.Attach(s, v.bell)
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
