package storage

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
)

// patient is who waits for files, by blocking.
type patient struct {
	*Batch
	bell
}

func newPatient(b *Batch) patient { return patient{b, make(bell, 1)} }

// do does what may have to wait, again and again until it has not.
func (p patient) do(operation func() error) error {
	for {
		err := p.Failed()
		if err == nil {
			err = operation()
		}
		if !p.Waits(err, p.bell) {
			return err
		}
		p.End()
		for p.Waiting() {
			<-p.bell
		}
	}
}

// push pushes a record of that size, which begins with the text.
func (p patient) push(channel, text string, size int) error {
	defer p.End()
	return p.do(func() error {
		c, err := p.Open([]byte(channel))
		if err != nil {
			return err
		}
		return c.Push(append([]byte(text), make([]byte, max(0, size-len(text)))...))
	})
}

// pop takes a record and returns how it begins; "" if there is none.
func (p patient) pop(channel string) (text string, err error) {
	var run *Run
	err = p.do(func() (err error) {
		if c := p.Find([]byte(channel)); c != nil {
			run, err = c.Pop(false)
		}
		return err
	})
	if run != nil {
		text, _, _ = strings.Cut(string(run.Payload()), "\x00")
	}
	p.End()
	if run != nil {
		run.Deliver()
	}
	return text, err
}

// serveInBackground returns channels on a disk in memory, with all that works in the background, but nothing
// that happens periodically.
func serveInBackground(t *testing.T, n *trial) *Channels {
	t.Helper()
	cs, err := n.load(n.dir)
	if err != nil {
		t.Fatal(err)
	}
	cs.store.startWorking()
	if err := cs.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.dir.Before = nil
		if err := cs.Close(); err != nil {
			t.Error(err)
		}
		n.dir.Release()
	})
	return cs
}

// inBackground reports whether it is called by a worker.
func inBackground() bool { return strings.Contains(string(debug.Stack()), "storage.(*worker).run") }

// slowDisk lets the first call of an operation on certain files take until release is called.
func slowDisk(t *testing.T, dir *disktest.Dir, op, prefix string) (begun <-chan struct{}, release func()) {
	entered, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	release = sync.OnceFunc(func() { close(goOn) })
	t.Cleanup(release)
	dir.Before = func(c disktest.Call) error {
		if c.Op != op || !strings.HasPrefix(c.Name, prefix) {
			return nil
		}
		if !inBackground() {
			t.Errorf("%s is waited for by whoever serves clients:\n%s", c, debug.Stack())
			once.Do(func() { close(entered) })
			return nil
		}
		once.Do(func() {
			close(entered)
			<-goOn
		})
		return nil
	}
	return entered, release
}

// Whatever the disk takes long with for one queue, others go on, and so does that one when the
// disk has done it.
func TestOneQueueWaitsForTheDiskAndOthersDoNot(t *testing.T) {
	const mega = 1 << 20
	for _, test := range []struct {
		what       string
		op, prefix string
		before     func(p patient) error
		slow       func(p patient) error
	}{
		{"the file of a ring is made", "create", "ring-", nil, func(p patient) error { return p.push("slow", "1", 50) }},
		{"the file of a ring is written", "write", "ring-", nil, func(p patient) error { return p.push("slow", "1", 50) }},
		{"the file of a ring is mapped", "map", "ring-", nil, func(p patient) error { return p.push("slow", "1", 50) }},
		{"a spill file is made", "create", "spill-", nil, func(p patient) error { return p.push("slow", "1", 500) }},
		{"a spill file is filled", "write", "spill-", nil, func(p patient) error { return p.push("slow", "1", mega) }},
		{"a spill file is opened to be read", "open", "spill-", spilled, popTwo},
		{"a spill file is read", "read", "spill-", spilled, popTwo},
		{"a spill file is mapped to be read", "map", "spill-", spilled, popTwo},
		{"the catalogue is made longer", "write", "catalogue", nil, func(p patient) error {
			for i := range 1000 { // of which each takes 200 bytes there
				err := p.do(func() error {
					_, err := p.Open(fmt.Appendf(nil, "%s%d", strings.Repeat("x", 200), i))
					return err
				})
				if err != nil {
					return err
				}
			}
			return nil
		}},
		{"a channel is removed", "remove", "spill-", spilled, func(p patient) error {
			return p.do(func() error { return p.Remove([]byte("slow")) })
		}},
	} {
		t.Run(test.what, func(t *testing.T) {
			n := newTrial(t)
			cs := serveInBackground(t, n)
			b := NewBatch(cs)
			fast := newPatient(&b)
			push := func(text string) {
				t.Helper()
				if err := fast.push("fast", text, 30); err != nil {
					t.Fatal(err)
				}
			}
			push("before")
			other := NewBatch(cs)
			slow := newPatient(&other)
			if test.before != nil {
				if err := test.before(slow); err != nil {
					t.Fatal(err)
				}
			}
			begun, release := slowDisk(t, n.dir, test.op, test.prefix)
			done := make(chan error, 1)
			go func() { done <- test.slow(slow) }()
			<-begun
			for i := range 500 { // which all need no disk, and do not end if they wait for it
				push(fmt.Sprint(i))
				want := fmt.Sprint(i - 1)
				if i == 0 {
					want = "before"
				}
				if got, err := fast.pop("fast"); got != want || err != nil {
					t.Fatalf("Pop: got %q, %v, want %q", got, err, want)
				}
			}
			release()
			if err := <-done; err != nil {
				t.Error(err)
			}
			slow.End()
		})
	}
}

// spilled makes a queue of some spill files, of which only the first and the last are mapped.
func spilled(p patient) error {
	for i := range 6 {
		if err := p.push("slow", fmt.Sprint(i), 1<<20); err != nil {
			return err
		}
	}
	return nil
}

func popTwo(p patient) error {
	for i := range 2 {
		if got, err := p.pop("slow"); got != fmt.Sprint(i) || err != nil {
			return fmt.Errorf("Pop: got %q, %v, want %d", got, err, i)
		}
	}
	return nil
}

// Who serves clients never touches a file: everything that is done to any is done by workers.
func TestOnlyWorkersTouchFiles(t *testing.T) {
	for _, inFile := range []bool{true, false} {
		for _, reserveAll := range []bool{true, false} {
			t.Run(fmt.Sprintf("rings in files %v, all of them reserved %v", inFile, reserveAll), func(t *testing.T) {
				n := newTrial(t)
				n.options.RingInFile, n.options.ReserveAll = inFile, reserveAll
				n.options.RingSize = func(string) uint64 { return 300 }
				cs := serveInBackground(t, n)
				var reported atomic.Bool
				n.dir.Before = func(c disktest.Call) error {
					if !inBackground() && !reported.Swap(true) {
						t.Errorf("%s by whoever serves clients:\n%s", c, debug.Stack())
					}
					return nil
				}
				rng := rand.New(rand.NewPCG(1, 2))
				v := visitor{t: t, channels: cs, batch: NewBatch(cs), seen: make(map[*Storage]bool), rng: rng}
				for i := range 1500 {
					v.step()
					if i%7 == 0 {
						name := fmt.Appendf(nil, "c%d", rng.IntN(3))
						payload := append(slices.Clone(name), make([]byte, rng.IntN(200_000))...)
						v.open(name, func(c *Channel) error { return c.Push(payload) })
						v.batch.End()
					}
				}
				v.goHome()
			})
		}
	}
}

// What fails in the background fails for those who wait for it, and for nobody else.
func TestAFailureIsThatOfThoseWhoWait(t *testing.T) {
	n := newTrial(t)
	cs := serveInBackground(t, n)
	var broken atomic.Bool
	n.dir.Before = func(c disktest.Call) error {
		if broken.Load() && c.Op == "open" {
			return fmt.Errorf("%w: %w", errInjected, unix.EMFILE)
		}
		return nil
	}
	b := NewBatch(cs)
	p := newPatient(&b)
	if err := spilled(p); err != nil {
		t.Fatal(err)
	}
	if got, err := p.pop("slow"); got != "0" || err != nil {
		t.Fatalf("Pop: got %q, %v", got, err)
	}
	broken.Store(true)
	if _, err := p.pop("slow"); !errors.Is(err, unix.EMFILE) {
		t.Errorf("Pop: got error %v, want %v", err, unix.EMFILE)
	}
	broken.Store(false)
	if got, err := p.pop("slow"); got != "1" || err != nil {
		t.Errorf("Pop after that: got %q, %v", got, err)
	}

	// A consumer is told, too: it is woken, although there is no record for it.
	broken.Store(true)
	var s *Storage
	err := p.do(func() error {
		c, err := p.Open([]byte("slow"))
		if err == nil {
			s, err = c.Subscribe("")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var consumer Consumer
	rings := make(bell, 1)
	consumer.Attach(s, rings)
	p.End()
	runs, _, err := consumer.Next(nil, 1, false)
	for err == nil && len(runs) == 0 {
		<-rings
		runs, _, err = consumer.Next(runs, 1, false)
	}
	if !errors.Is(err, unix.EMFILE) {
		t.Errorf("Next: got %d runs, error %v, want %v", len(runs), err, unix.EMFILE)
	}
	broken.Store(false)
	for runs, _, err = consumer.Next(nil, 1, false); err == nil && len(runs) == 0; {
		<-rings
		runs, _, err = consumer.Next(runs, 1, false)
	}
	if err != nil || len(runs) != 1 || runs[0].Payload()[0] != '2' {
		t.Errorf("Next after that: got %d runs, error %v, want record 2", len(runs), err)
	}
	consumer.Leave(runs, 0)
}
