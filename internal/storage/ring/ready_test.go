package ring

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
)

// After the work that Prepare returns pushing can't fail, wherever the records of the ring are.
func TestPrepare(t *testing.T) {
	for _, kind := range []Kind{Main, Spill} {
		for seed := range uint64(100) {
			rng := rand.New(rand.NewPCG(seed, uint64(kind)))
			w := newWorld(t, kind, 5*chunkSize+100, true)
			for range rng.IntN(20) {
				w.push(w.payload(rng.IntN(chunkSize)))
				for rng.IntN(3) == 0 && len(w.m.records) > w.m.out {
					w.take(1, 1)
					w.deliver(0)
				}
			}
			w.publish()
			if w.back = w.GiveBack(0); w.back != nil {
				w.returned()
			}
			size := rng.IntN(w.Capacity())
			w.full = true
			if err := prepare(w.Ring, size); err == nil && w.Fits(size) && size > 4*chunkSize {
				t.Errorf("seed %d: space for %d bytes was found on a full disk", seed, size)
			}
			w.full = false
			if err := prepare(w.Ring, size); err != nil {
				t.Fatal(err)
			}
			w.full = true
			for size >= HeaderSize {
				p := w.payload(rng.IntN(min(size-HeaderSize, chunkSize) + 1))
				size -= HeaderSize + len(p)
				fitted, err := w.Push(p)
				if want := w.m.push(p); fitted != want || err != nil {
					t.Fatalf("seed %d: Push(%d bytes): %v, %v, want %v", seed, len(p), fitted, err, want)
				}
			}
			w.full = false
			w.publish()
			w.killed(false)
			w.close()
		}
	}
}

func prepare(r *Ring, size int) error {
	work := r.Prepare(size)
	if work == nil {
		return nil
	}
	if err := work.Do(); err != nil {
		return err
	}
	if r.Prepare(size) != nil {
		return errors.New("what is to be done has been done, and is to be done again")
	}
	return nil
}

// A ring whose space is all filled needs none any more.
func TestFillAll(t *testing.T) {
	w := newWorld(t, Main, 3*fillSize+77, true)
	defer w.close()
	if err := w.FillAll().Do(); err != nil {
		t.Fatal(err)
	}
	if size := w.Unused(); size < w.Capacity() {
		t.Errorf("%d bytes of %d are filled", size, w.Capacity())
	}
	w.full = true
	for i := range 10 {
		if fitted, err := w.Push(make([]byte, fillSize-HeaderSize)); fitted != (i < 3) || err != nil {
			t.Fatalf("record %d: %v, %v", i, fitted, err)
		}
	}
	if w := newRing(t, 100).FillAll(); w != nil {
		t.Error("memory is to be filled")
	}
}

// A writer whose work is done as soon as it is asked for never fills anything itself, and it asks
// seldom.
func TestTheWriterDoesNotCatchUp(t *testing.T) {
	dir := newDir(t)
	const capacity = 32 << 20
	r := newFile(t, dir, somewhere, capacity)
	writing, asked := false, 0
	dir.Before = func(c disktest.Call) error {
		if !writing {
			return unix.ENOSPC
		}
		return nil
	}
	payload := make([]byte, 1000)
	for i := 0; ; i++ {
		fitted, err := r.Push(payload)
		if err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		if !fitted {
			break
		}
		r.Publish()
		if w := r.FillAhead(); w != nil {
			asked++
			writing = true
			if err := w.Do(); err != nil {
				t.Fatal(err)
			}
			writing = false
		}
	}
	if asked > 20 {
		t.Errorf("the writer asked %d times", asked)
	}
}

// A ring with a few records has no more disk space than it was made with.
func TestFewRecordsTakeLittleSpace(t *testing.T) {
	dir := newDir(t)
	r := newFile(t, dir, somewhere, 64<<20)
	for range 1000 {
		push(t, r, "a few records at a time")
		pop(r)
		r.Publish()
		if r.FillAhead() != nil {
			t.Fatal("more space is asked for")
		}
	}
	if b, _ := dir.Content(somewhere.FileName()); len(b) != headSize+chunkSize {
		t.Errorf("the file has %d bytes", len(b))
	}
}

// What is not used goes back, but for what is wanted in front of the writer; and comes again.
func TestGiveBack(t *testing.T) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	for _, inFile := range []bool{false, true} {
		w := newWorld(t, Main, 40*chunkSize, inFile)
		for round := range 3 {
			for range 30 {
				w.push(w.payload(chunkSize))
			}
			for range 25 {
				w.take(1, 1)
				w.deliver(0)
			}
			w.publish()
			if inFile {
				if err := w.FillAll().Do(); err != nil {
					t.Fatal(err)
				}
			}
			used := w.UsedSpace()
			for _, keep := range []int{8 * chunkSize, 0} {
				if w.back = w.GiveBack(keep); w.back == nil {
					t.Fatalf("round %d, keep %d: nothing was given back", round, keep)
				}
				w.returned()
				ready := 0
				for chunk := range w.chunks() {
					if inFile && w.ready.has(chunk) {
						ready++
					}
				}
				if got := int(w.ready.some.Load()); got != ready {
					t.Errorf("%d chunks count as ready, of %d that are", got, ready)
				}
				if got, most := w.Unused(), keep+3*chunkSize; inFile && (got > most || got < keep) {
					t.Errorf("round %d: %d bytes are unused, and %d kept", round, got, keep)
				}
			}
			if inFile && w.GiveBack(0) != nil {
				t.Error("the same was given back twice")
			}
			if w.UsedSpace() != used {
				t.Errorf("%d bytes are used, were %d", w.UsedSpace(), used)
			}
			w.killed(false)
			for len(w.m.records) > 0 {
				w.take(1, 1)
				w.deliver(0)
			}
		}
		w.close()
	}
}

// Who pushes while space is given back waits for that, where it matters: nothing pushed becomes
// zeros.
func TestPushingWhileSpaceIsGivenBack(t *testing.T) {
	for _, inFile := range []bool{false, true} {
		r := newRing(t, 64*chunkSize)
		if inFile {
			r = newFile(t, newDir(t), somewhere, 64*chunkSize)
		}
		for round := range 200 {
			fill := bytes.Repeat([]byte{byte(round) | 1}, chunkSize)
			for range 40 {
				push(t, r, string(fill))
			}
			for range 40 {
				pop(r)
			}
			r.Publish()
			w := r.GiveBack(round % 3 * 3 * chunkSize)
			if w == nil {
				t.Fatal("nothing to give back")
			}
			pushed := make(chan bool)
			go func() {
				defer close(pushed)
				for range 8 {
					r.Push(fill)
				}
			}()
			for range round % 20 {
				runtime.Gosched()
			}
			if err := w.Do(); err != nil {
				t.Fatal(err)
			}
			<-pushed
			for i := range 8 {
				if p, ok := pop(r); !ok || p != string(fill) {
					t.Fatalf("in file %v, round %d: record %d became another: %d bytes", inFile, round, i, len(p))
				}
			}
		}
	}
}

// The owner goes on while others fill, give back, sync and at last close.
func TestWorkBesideTheOwner(t *testing.T) {
	for _, inFile := range []bool{false, true} {
		for seed := range uint64(5) {
			rng := rand.New(rand.NewPCG(seed, 1))
			dir := disktest.NewDir()
			r, err := New(50 * chunkSize)
			if inFile {
				r = newFile(t, dir, somewhere, 50*chunkSize)
			} else if err != nil {
				t.Fatal(err)
			}
			work := make(chan func() error, 100)
			var workers sync.WaitGroup
			for range 2 {
				workers.Go(func() {
					for do := range work {
						if err := do(); err != nil {
							t.Error(err)
						}
					}
				})
			}
			next, want := uint64(0), uint64(0)
			for step := range 3000 {
				size := 8 * (1 + rng.IntN(1000))
				p := bytes.Repeat(binary.LittleEndian.AppendUint64(nil, next), size/8)
				if fitted, err := r.Push(p); err != nil {
					t.Fatal(err)
				} else if fitted {
					next++
				}
				r.Publish()
				if w := r.FillAhead(); w != nil {
					work <- w.Do
				}
				for rng.IntN(2) == 0 || step/300%2 == 1 {
					p, ok := pop(r)
					if !ok {
						break
					}
					r.Publish()
					for len(p) > 0 {
						if got := binary.LittleEndian.Uint64([]byte(p)); got != want {
							t.Fatalf("in file %v seed %d: got %d in record %d", inFile, seed, got, want)
						}
						p = p[8:]
					}
					want++
				}
				switch step % 50 {
				case 0:
					if w := r.GiveBack(rng.IntN(r.Capacity())); w != nil { // others wait for that
						workers.Go(func() {
							if err := w.Do(); err != nil {
								t.Error(err)
							}
						})
					}
				case 25:
					work <- r.Sync
				case 40:
					if w := r.FillAll(); w != nil {
						work <- w.Do
					}
				}
			}
			work <- r.Close
			close(work)
			workers.Wait()
			dir.Release()
		}
	}
}
