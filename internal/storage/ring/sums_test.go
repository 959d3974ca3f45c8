package ring

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
)

// place is where a record lies in the data.
type place struct{ from, to int }

// sealedFile is a ring file with records of many sizes, and where each of them lies.
func sealedFile(t testing.TB, kind Kind, capacity int, wrapped bool, seal func(*Ring)) (content []byte, records []place, payloads []string) {
	dir := newDir(t)
	r := newFile(t, dir, Link{kind, somewhere.Number}, capacity)
	rng := rand.New(rand.NewPCG(1, uint64(capacity)))
	n := 0
	fill := func() {
		for {
			size := rng.IntN(300)
			if n%50 == 49 {
				size = rng.IntN(3 * blockSize)
			}
			p := fmt.Appendf(nil, "%d ", n)
			p = append(p, bytes.Repeat([]byte{byte(n)}, size)...)
			at, ok := r.place(HeaderSize + len(p))
			if !ok {
				break
			}
			if _, err := r.Push(p); err != nil {
				t.Fatal(err)
			}
			records, payloads = append(records, place{at, at + HeaderSize + len(p)}), append(payloads, string(p))
			n++
			if n%10 == 0 {
				r.Publish()
				seal(r)
			}
		}
	}
	fill()
	if wrapped {
		for freed := 0; freed < capacity/2; {
			run, k, err := r.Take(1000, 7)
			if err != nil {
				t.Fatal(err)
			}
			r.Free(len(run), k)
			freed += len(run)
			records, payloads = records[k:], payloads[k:]
		}
		fill()
		if !r.wrapped() {
			t.Fatal("the ring has not wrapped")
		}
	}
	r.Publish()
	seal(r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	content, _ = dir.Content(r.file.name)
	return content, records, payloads
}

// drainAll takes what can be taken and goes on behind damage.
func drainAll(t testing.TB, r *Ring) (payloads []string, lost int) {
	t.Helper()
	if err := r.Attach(); err != nil {
		t.Fatal(err)
	}
	for r.Waiting() > 0 {
		run, n, err := r.Take(5000, 100)
		size := len(run)
		if err != nil {
			if !errors.As(err, new(*DamageError)) {
				t.Fatal(err)
			}
			if run, n = r.Skip(); n == 0 {
				lost += r.Abandon()
				break
			}
			lost += n
			r.Free(len(run), n)
			continue
		}
		if n == 0 {
			t.Fatalf("%d records wait, and taking gives none", r.Waiting())
		}
		for len(run) > 0 {
			record, _ := Cut(run, 1, 1)
			payloads, run = append(payloads, string(record[HeaderSize:])), run[len(record):]
		}
		r.Free(size, n)
	}
	if r.Held() != 0 {
		t.Fatalf("%d records are held after all were taken", r.Held())
	}
	return payloads, lost
}

// One flipped bit anywhere costs no more than the records of its block, and none that is handed
// out is another than what was pushed.
func TestFlippedBits(t *testing.T) {
	const capacity = 10*blockSize + 1234
	for _, c := range []struct {
		name    string
		kind    Kind
		wrapped bool
		seal    func(*Ring)
	}{
		{"spill, as it is written", Spill, false, (*Ring).Seal},
		{"spill, left by its writer", Spill, false, (*Ring).SealAll},
		{"main ring that is kept", Main, false, (*Ring).SealAll},
		{"wrapped one that is kept", Main, true, (*Ring).SealAll},
		{"wrapped one that was synced", Main, true, (*Ring).Seal},
	} {
		t.Run(c.name, func(t *testing.T) {
			content, records, payloads := sealedFile(t, c.kind, capacity, c.wrapped, c.seal)
			rng := rand.New(rand.NewPCG(2, 2))
			dir := newDir(t)
			dir.Put(Link{c.kind, somewhere.Number}.FileName(), content)
			for range trials(t, 300) {
				at := headSize + rng.IntN(len(content)-headSize)
				if rng.IntN(4) == 0 {
					at = sumsAt + rng.IntN(12*8)
				}
				flip(t, dir, Link{c.kind, somewhere.Number}, at, byte(1<<rng.IntN(8)), records, payloads)
			}
		})
	}
}

func trials(t testing.TB, n int) int {
	if testing.Short() {
		return n / 10
	}
	return n
}

func flip(t *testing.T, dir *disktest.Dir, l Link, at int, bit byte, records []place, payloads []string) {
	t.Helper()
	name := l.FileName()
	flipBit(t, dir, name, at, bit)
	defer flipBit(t, dir, name, at, bit)
	h, err := ReadHead(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(dir, h)
	if err != nil {
		t.Fatal(err)
	}
	block := (at - headSize) / blockSize
	covered := at < headSize
	if err := r.Attach(); err != nil {
		t.Fatal(err)
	}
	if at < headSize {
		block = (at - sumsAt) / 8
	} else {
		covered = r.entry(block).covers()
	}
	var intact bytes.Buffer
	_, inspected := Inspect(dir, name, h, &intact)
	got, lost := drainAll(t, r)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if !covered {
		return // nothing tells
	}
	for i, found := 0, 0; i < len(records); i++ {
		switch {
		case found < len(got) && got[found] == payloads[i]:
			found++
		case records[i].to <= block*blockSize || records[i].from >= (block+1)*blockSize:
			t.Fatalf("offset %d: record %d at %v is missing, which does not lie in block %d; got %d of %d, %d lost",
				at, i, records[i], block, len(got), len(records), lost)
		}
		if i == len(records)-1 && found < len(got) {
			t.Fatalf("offset %d: %q was never pushed, or not there", at, got[found][:min(20, len(got[found]))])
		}
	}
	if len(got)+lost != len(records) {
		t.Fatalf("offset %d: %d of %d records, and %d are said to be lost", at, len(got), len(records), lost)
	}
	var want []byte
	for _, p := range got {
		want = binary.LittleEndian.AppendUint64(want, uint64(len(p)))
		want = append(want, p...)
	}
	if !bytes.Equal(intact.Bytes(), want) || (inspected != nil) != (lost > 0) {
		t.Fatalf("offset %d: Inspect finds %d bytes, %v; a node %d", at, intact.Len(), inspected, len(want))
	}
}

func flipBit(t *testing.T, dir *disktest.Dir, name string, at int, bit byte) {
	t.Helper()
	f, err := dir.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], int64(at)); err != nil {
		t.Fatal(err)
	}
	b[0] ^= bit
	if _, err := f.WriteAt(b[:], int64(at)); err != nil {
		t.Fatal(err)
	}
}
