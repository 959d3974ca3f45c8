package storage

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
)

// A record that was delivered after it could not be made durable does not come back, although the disk fails
// again when it is to be durable that the record is gone.
func TestDeliveredWhileTheDiskFails(t *testing.T) {
	dir := disktest.NewDir()
	t.Cleanup(dir.Release)
	dir.KeepStable()
	k := &kept{options: realOptions(""), dir: dir}
	k.options.inline, k.options.Sync = true, time.Second
	cs := k.load(t, dir)
	openChannel(t, cs, "a").Commit()
	push(t, cs, "a", "first")
	popRecord(t, cs, "a")
	for range 3 {
		if err := cs.sync(lagging); err != nil {
			t.Fatal(err)
		}
	}
	push(t, cs, "a", "delivered")
	failed, random := errors.New("not synced"), rand.New(rand.NewPCG(7, 8))
	dir.Before = func(c disktest.Call) error {
		if c.Op == "sync map" {
			return failed
		}
		return nil
	}
	for range 3 {
		_ = cs.sync(lagging)
	}
	for range 50 {
		dir.Drift(random)
	}
	popRecord(t, cs, "a")
	if err := cs.sync(lagging); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	dir.Before = nil
	for range 3 {
		if err := cs.sync(lagging); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		left := dir.PowerCut(random)
		cs := k.load(t, left)
		if got, ok := popRecord(t, cs, "a"); ok {
			t.Fatalf("%q is back", got)
		}
		left.Release()
	}
}

// What is said to be durable is, also if the disk could not write it at first.
func TestSyncedAfterTheDiskHasFailed(t *testing.T) {
	for fail := range 24 {
		first, last := fail/2, fail/2+2*(fail%2) // of the calls that fail
		dir := disktest.NewDir()
		t.Cleanup(dir.Release)
		dir.KeepStable()
		k := &kept{options: realOptions(""), dir: dir}
		k.options.inline, k.options.Synced = true, true
		k.options.RingSize = func(string) uint64 { return 100_000 }
		cs := k.load(t, dir)
		push(t, cs, "old", "first")
		if err := cs.sync(all); err != nil {
			t.Fatal(err)
		}
		push(t, cs, "old", "second")
		push(t, cs, "new", "third")
		calls, failed := 0, errors.New("not synced")
		dir.Before = func(c disktest.Call) error {
			if c.Op != "sync map" && c.Op != "write out" {
				return nil
			}
			if calls++; first < calls && calls <= last+1 {
				return failed
			}
			return nil
		}
		told := make(bell, 1)
		cs.AwaitSync(told)
		for len(told) == 0 {
			if err := cs.sync(all); err != nil && !errors.Is(err, failed) {
				t.Fatal(err)
			}
		}
		random := rand.New(rand.NewPCG(uint64(fail), 9))
		for range 10 {
			left := dir.PowerCut(random)
			cs := k.load(t, left)
			for _, want := range []struct{ channel, record string }{{"old", "first"}, {"old", "second"}, {"new", "third"}} {
				if got, ok := popRecord(t, cs, want.channel); !ok || got != want.record {
					t.Fatalf("calls %d to %d failed: %s has %q, %v, not %q", first, last, want.channel, got, ok, want.record)
				}
			}
			left.Release()
		}
	}
}
