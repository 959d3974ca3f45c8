package ring

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
)

// A kill and a power failure, each while something is synced at once with its positions, leave what was
// durable before, and nothing that was not pushed.
func TestKillAndPowerFailureWhileSyncingAtOnce(t *testing.T) {
	dir := disktest.NewDir()
	t.Cleanup(dir.Release)
	dir.KeepStable()
	r := newFile(t, dir, somewhere, 1000)
	name := somewhere.FileName()
	if err := errors.Join(r.SyncHead(), dir.Sync()); err != nil {
		t.Fatal(err)
	}
	syncAll := func(r *Ring) error {
		c, changed := r.Claim(true, Link{})
		if !changed || !c.Few() {
			t.Fatalf("the claim is %+v, %v", c, changed)
		}
		err := r.SyncAtOnce(c)
		if err == nil {
			r.Settle(c)
		}
		return err
	}
	push(t, r, "durable")
	r.Publish()
	if err := syncAll(r); err != nil {
		t.Fatal(err)
	}

	random, seen := rand.New(rand.NewPCG(5, 6)), make(map[string]bool)
	before := encode([]record{{payload: []byte("durable")}})
	after := append(bytes.Clone(before), encode([]record{{payload: []byte("perhaps durable")}})...)
	cut := func(when string) {
		for range 30 {
			left := dir.PowerCut(random)
			h, err := ReadHead(left, name)
			var found bytes.Buffer
			if err == nil {
				_, err = Inspect(left, name, h, &found)
			}
			if err != nil || !bytes.Equal(found.Bytes(), before) && !bytes.Equal(found.Bytes(), after) {
				t.Fatalf("power failed %s: got %q, %v", when, found.Bytes(), err)
			}
			seen[fmt.Sprint(when, h.Held)] = true
			left.Release()
		}
	}
	unsynced := errors.New("not synced")
	failAt := func(when string) {
		dir.Before = func(c disktest.Call) error {
			if c.Op != "sync map" {
				return nil
			}
			cut(when)
			return unsynced
		}
	}
	push(t, r, "perhaps durable")
	r.Publish()
	failAt("at first")
	if err := syncAll(r); !errors.Is(err, unsynced) {
		t.Fatal(err)
	}
	h, err := ReadHead(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	killed, err := Open(dir, h)
	if err != nil {
		t.Fatal(err)
	}
	failAt("after a kill")
	if err := syncAll(killed); !errors.Is(err, unsynced) {
		t.Fatal(err)
	}
	for _, what := range []string{"at first1", "at first2", "after a kill1", "after a kill2"} {
		if !seen[what] {
			t.Errorf("no power failure has left %s: %v", what, seen)
		}
	}
}

// What could not be made durable once, and was delivered then, does not come back after the disk works again.
func TestDeliveredAfterASyncThatFailed(t *testing.T) {
	dir := disktest.NewDir()
	t.Cleanup(dir.Release)
	dir.KeepStable()
	r := newFile(t, dir, somewhere, 1000)
	if err := errors.Join(r.SyncHead(), dir.Sync()); err != nil {
		t.Fatal(err)
	}
	sync := func() error {
		c, changed := r.Claim(true, Link{})
		if !changed {
			return nil
		}
		err := r.SyncAtOnce(c)
		if err == nil {
			r.Settle(c)
		}
		return err
	}
	if err := sync(); err != nil {
		t.Fatal(err)
	}
	push(t, r, "delivered")
	r.Publish()
	failed := errors.New("not synced")
	dir.Before = func(c disktest.Call) error {
		if c.Op == "sync map" {
			return failed
		}
		return nil
	}
	if err := sync(); !errors.Is(err, failed) {
		t.Fatal(err)
	}
	dir.Before = nil
	random := rand.New(rand.NewPCG(7, 8))
	for range 20 {
		dir.Drift(random)
	}
	if _, ok := pop(r); !ok {
		t.Fatal("there is no record")
	}
	r.Publish()
	if err := sync(); err != nil {
		t.Fatal(err)
	}
	for range 30 {
		left := dir.PowerCut(random)
		h, err := ReadHead(left, somewhere.FileName())
		if err != nil || h.Held > 0 {
			t.Fatalf("the power failed: %d records are there, %v", h.Held, err)
		}
		left.Release()
	}
}

// What a disk could not write is written again, and not taken for written because the next sync does not fail.
func TestSyncAfterASyncThatFailed(t *testing.T) {
	for _, atOnce := range []bool{true, false} {
		dir := disktest.NewDir()
		t.Cleanup(dir.Release)
		dir.KeepStable()
		r := newFile(t, dir, somewhere, 1000)
		if err := errors.Join(r.SyncHead(), dir.Sync()); err != nil {
			t.Fatal(err)
		}
		push(t, r, "durable")
		r.Publish()
		sync := func() error {
			c, _ := r.Claim(true, Link{})
			if err := r.TouchAgain(c); err != nil {
				return err
			}
			var err error
			if atOnce {
				err = r.SyncAtOnce(c)
			} else if err = r.SyncData(c); err == nil {
				err = errors.Join(r.StoreClaim(c), r.SyncHead())
			}
			if err == nil {
				r.Settle(c)
			}
			return err
		}
		failed := errors.New("not synced")
		dir.Before = func(c disktest.Call) error {
			if c.Op == "sync map" || c.Op == "write out" {
				return failed
			}
			return nil
		}
		if err := sync(); !errors.Is(err, failed) {
			t.Fatal(err)
		}
		dir.Before = nil
		if err := sync(); err != nil {
			t.Fatal(err)
		}
		random := rand.New(rand.NewPCG(9, 10))
		for range 30 {
			left := dir.PowerCut(random)
			var found bytes.Buffer
			h, err := ReadHead(left, somewhere.FileName())
			if err == nil {
				_, err = Inspect(left, somewhere.FileName(), h, &found)
			}
			if want := encode([]record{{payload: []byte("durable")}}); err != nil || !bytes.Equal(found.Bytes(), want) {
				t.Fatalf("at once %v: found %q, %v", atOnce, found.Bytes(), err)
			}
			left.Release()
		}
	}
}
