package ring

import (
	"bytes"
	"math/rand/v2"
	"runtime/debug"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
)

// Of a file that was attached, records are handed out as far as it has been read through, wherever
// they lie, and those that are pushed meanwhile come behind them.
func TestFetch(t *testing.T) {
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 0))
		dir := disktest.NewDir()
		spare, err := NewSpare(dir, 1, Link{Kind: Main, Number: 1}, false)
		if err != nil {
			t.Fatal(err)
		}
		r, err := spare.Use(1, "queue", 4*pieceSize+100)
		if err != nil {
			t.Fatal(err)
		}
		first, next := 0, 0 // numbers of records
		push := func(size int) bool {
			payload := make([]byte, max(1, size))
			payload[0] = byte(next)
			fitted, err := r.Push(payload)
			if err != nil {
				t.Fatal(err)
			}
			if fitted {
				next++
			}
			return fitted
		}
		take := func() {
			t.Helper()
			have, waiting := r.fetched.ahead, r.waiting
			run, n, err := r.Take(1+rng.IntN(2*pieceSize), 1+rng.IntN(20))
			if n == 0 || err != nil {
				t.Fatalf("seed %d: Take: %d records of %d, %v", seed, n, waiting, err)
			}
			if r.fetched.rest > 0 && len(run) > have {
				t.Fatalf("seed %d: %d bytes are handed out of %d that have been read", seed, len(run), have)
			}
			r.Free(len(run), n)
			for ; n > 0; n-- {
				record, _ := Cut(run, 1, 1)
				if record[HeaderSize] != byte(first) {
					t.Fatalf("seed %d: got record %d, want %d", seed, record[HeaderSize], byte(first))
				}
				run = run[len(record):]
				first++
			}
		}
		for push(rng.IntN(300_000)) {
		}
		for n := rng.IntN(8); n > 0 && r.Waiting() > 0; n-- {
			take()
		}
		for rng.IntN(2) > 0 && push(rng.IntN(3*pieceSize/2)) {
		}
		r.Publish()
		r.Close()

		head, err := ReadHead(dir, r.Head().FileName())
		if err == nil {
			r, err = Open(dir, head)
		}
		if err == nil {
			err = r.Attach()
		}
		if err != nil {
			t.Fatal(err)
		}
		if r.Waiting() > 0 && r.Fetched() {
			t.Errorf("seed %d: nothing has been read, but need not be", seed)
		}
		for pieces := 0; r.Waiting() > 0; {
			if work := r.Fetch(); work != nil && (!r.Fetched() || rng.IntN(3) > 0) {
				if err := work.Do(); err != nil {
					t.Fatal(err)
				}
				work.Done()
				if pieces++; pieces > 100 {
					t.Fatalf("seed %d: there is no end of pieces", seed)
				}
				continue
			}
			take()
			if rng.IntN(4) == 0 && pieces < 50 {
				push(rng.IntN(1000))
			}
		}
		if first != next {
			t.Errorf("seed %d: %d records came, of %d", seed, first, next)
		}
		r.Close()
		dir.Release()
	}
}

// Whether the next record of a file has been read is asked on event loops: it must not end the process if
// somebody has cut the file, or the disk can't read it any more.
func TestFetchedOfACutFile(t *testing.T) {
	dir := newDir(t)
	r := newFile(t, dir, somewhere, 4<<20)
	for range 300 {
		push(t, r, string(bytes.Repeat([]byte("x"), 10_000)))
	}
	r.Publish()
	h, err := ReadHead(dir, somewhere.FileName())
	if err != nil {
		t.Fatal(err)
	}
	opened, err := Open(dir, h)
	if err == nil {
		err = opened.Attach()
	}
	if err != nil {
		t.Fatal(err)
	}
	w := opened.Fetch()
	if err := w.Do(); err != nil {
		t.Fatal(err)
	}
	w.Done()
	f, err := dir.Open(somewhere.FileName())
	if err == nil {
		err = f.Truncate(headSize)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("the process would end: %v", p)
		}
	}()
	opened.Fetched()
	opened.Fetch()
	if _, n, err := opened.Take(1, 1); n > 0 || err == nil {
		t.Errorf("Take: %d, %v", n, err)
	}
}
