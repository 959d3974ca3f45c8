package storage

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
)

// The periodic work goes on while channels are made, used and removed; then the node is
// stopped, and started again.
func TestPeriodicWorkDisturbsNobody(t *testing.T) {
	options := realStore(t.TempDir())
	options.RingSize = func(string) uint64 { return 4000 }
	options.WriteIndex, options.Sync = time.Millisecond, time.Millisecond
	logs := logged(&options)
	cs := mustLoad(t, options)
	cs.Commit()
	const workers, rounds = 4, 300
	left := make([]int, workers) // records in the channel of a worker that is not removed
	var group sync.WaitGroup
	for id := range workers {
		group.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(id), 0))
			batch := NewBatch(cs)
			mine, shared := []byte(fmt.Sprintf("mine%d", id)), []byte("shared")
			for range rounds {
				c, err := batch.Open(mine)
				if err == nil {
					err = c.Push([]byte(strings.Repeat("x", rng.IntN(500))))
				}
				if err != nil {
					t.Error(err)
				}
				left[id]++
				if c, err = batch.Open(shared); err != nil {
					t.Error(err)
				} else if c.Push(make([]byte, 100)); rng.IntN(2) == 0 {
					c.Subscribe(fmt.Sprint(rng.IntN(2)))
				}
				if rng.IntN(10) == 0 {
					batch.Remove(shared)
				}
				if rng.IntN(3) == 0 {
					run, err := batch.Find(mine).Pop(false)
					batch.End()
					if err != nil || run == nil {
						t.Errorf("Pop: %v, %v", run, err)
						return
					}
					run.Deliver()
					left[id]--
				}
				batch.End()
			}
		})
	}
	wait(t, &group, func() string { return "workers do not end" })
	cs.Remove([]byte("shared"))
	if err := cs.Close(); err != nil {
		t.Fatal(err)
	}
	if found := logs.FilterLevelExact(zapcore.ErrorLevel).All(); len(found) > 0 {
		t.Errorf("errors were logged: %v", found)
	}
	options.WriteIndex, options.Sync = 0, 0 // contents takes no locks
	cs = mustLoad(t, options)
	defer cs.Close()
	found := contents(newTrial(t), cs)
	for id, want := range left {
		if got := len(found[fmt.Sprintf("mine%d", id)]); got != want {
			t.Errorf("worker %d left %d records, %d are found", id, want, got)
		}
	}
	if len(found) != workers {
		t.Errorf("there are %d storages, want %d", len(found), workers)
	}
}

// sync keeps a ring mapped that is removed meanwhile, and closes it then.
func TestARingIsClosedWhenItHasBeenSynced(t *testing.T) {
	n := newTrial(t)
	n.start()
	n.push("c", false, 10)
	s := storagesOf(n.channels)[0]
	open := false
	n.dir.Before = func(c disktest.Call) error {
		if c.Op == "sync map" && strings.HasPrefix(c.Name, "ring-") {
			n.channels.Remove([]byte("c"))
			open = s.ring.Capacity() > 0
		}
		return nil
	}
	if err := n.channels.sync(); err != nil {
		t.Fatal(err)
	}
	if !open || s.ring.Capacity() > 0 || s.out != 0 {
		t.Errorf("while it was synced the ring was open: %v; now %v, %d runs out", open, s.ring.Capacity() > 0, s.out)
	}
}

// With a period of syncing, rings, overflow and positions become durable again and again,
// without anybody asking.
func TestEverythingIsMadeDurablePeriodically(t *testing.T) {
	n := newTrial(t)
	n.start()
	n.push("c", false, 10, 90)
	n.crash()
	n.options.Sync = time.Millisecond
	synced := make(chan string)
	done := make(chan struct{})
	n.dir.After = func(c disktest.Call) {
		if strings.HasPrefix(c.Op, "sync") {
			select {
			case synced <- c.Op + " " + c.Name:
			case <-done:
			}
		}
	}
	loaded := make(chan *Channels, 1)
	go func() {
		cs, err := n.load(n.dir)
		if err != nil {
			t.Error(err)
		}
		loaded <- cs
	}()
	missing := map[string]int{"sync map ring-000001.dat": 3, "sync overflow.dat": 3, "sync map storages.dat": 3}
	for len(missing) > 0 {
		what := <-synced
		if missing[what]--; missing[what] <= 0 {
			delete(missing, what)
		}
	}
	close(done)
	if cs := <-loaded; cs != nil {
		if err := cs.Close(); err != nil {
			t.Error(err)
		}
	}
}
