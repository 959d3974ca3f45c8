package storage

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/catalogue"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
)

// What a clean stop has left is whole after a power failure, also where checksums lie behind the records,
// and tell of bytes that have not been part of a record for long.
func TestPowerFailureAfterACleanStop(t *testing.T) {
	k := &kept{options: realOptions(""), dir: disktest.NewDir(), queues: make(map[string][]string)}
	defer k.dir.Release()
	k.dir.KeepStable()
	k.options.Keep, k.options.inline, k.options.Sync = true, true, time.Second
	k.options.RingSize = func(string) uint64 { return 8 << 20 }
	cs := k.load(t, k.dir)
	pushed := 0
	fill := func(records int) {
		for range records {
			p := fmt.Sprintf("%06d %s", pushed, strings.Repeat("x", 10_000))
			push(t, cs, "large", p)
			k.queues["large"] = append(k.queues["large"], p)
			pushed++
		}
		if err := cs.sync(all); err != nil {
			t.Fatal(err)
		}
	}
	fill(700)
	if err := k.dir.SyncAll(); err != nil { // with checksums
		t.Fatal(err)
	}
	for range 690 {
		popRecord(t, cs, "large")
	}
	k.queues["large"] = k.queues["large"][690:]
	if err := cs.sync(all); err != nil {
		t.Fatal(err)
	}
	fill(500) // some of them where the first ones were
	if err := cs.Close(); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for n := range 10 {
		left := k.dir.PowerCut(rng)
		if missing := k.serves(t, left, fmt.Sprint("power failure ", n)); missing["large"] > 0 {
			t.Errorf("power failure %d: %d records are missing", n, missing["large"])
		}
		left.Release()
	}
}

// A start fails if it can't be made durable that what the last stop has left is not whole any more.
func TestStartThatCannotNoteThatTheNodeServes(t *testing.T) {
	k := newKept(t)
	failed := errors.New("not synced")
	for fail := 0; ; fail++ {
		dir, syncs := k.dir.Clone(), 0
		dir.Before = func(c disktest.Call) error {
			if c.Op != "sync map" || c.Name != catalogue.FileName {
				return nil
			}
			if syncs++; syncs-1 == fail {
				return failed
			}
			return nil
		}
		cs, err := load(k.options, dir, dir, unlocked{})
		if err == nil {
			err = cs.Serve()
		}
		if syncs <= fail {
			if err != nil || fail == 0 {
				t.Fatalf("%d syncs of the catalogue, %v", syncs, err)
			}
			return
		}
		if !errors.Is(err, failed) {
			t.Errorf("sync %d of the catalogue failed: the start says %v", fail, err)
		}
		dir.Release()
	}
}
