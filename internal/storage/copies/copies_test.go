package copies

import (
	"bytes"
	"slices"
	"testing"
)

// A process killed while it stores leaves the old words or the new ones, and so does a power failure
// that leaves some of the sectors.
func TestStoredAtOnce(t *testing.T) {
	b := make([]byte, Size)
	if _, _, ok := Newest(b, 3); ok {
		t.Error("there is something in nothing")
	}
	was := []uint64{1, 2, 3}
	Store(b, 1, was)
	for sequence := uint64(2); sequence < 6; sequence++ {
		is := []uint64{sequence, sequence << 40, ^sequence}
		before := bytes.Clone(b)
		Store(b, sequence, is)
		half := bytes.Clone(before)
		at := int(sequence % 2 * sector)
		for i := at + 8; i < at+sector; i++ { // the first word comes last
			half[i] = b[i]
			if got, s, ok := Newest(half, 3); !ok || s != sequence-1 || !slices.Equal(got, was) {
				t.Fatalf("stored up to byte %d: got %v, %d, %v, want %v", i, got, s, ok, was)
			}
		}
		if got, s, ok := Newest(b, 3); !ok || s != sequence || !slices.Equal(got, is) {
			t.Fatalf("got %v, %d, %v, want %v", got, s, ok, is)
		}
		was = is
	}
}

// A flipped bit is noticed, unless it is in what does not count.
func TestEveryBit(t *testing.T) {
	b := make([]byte, Size)
	Store(b, 1, []uint64{1, 2, 3})
	Store(b, 2, []uint64{4, 5, 6})
	noticed := 0
	for bit := range 8 * Size {
		b[bit/8] ^= 1 << (bit % 8)
		got, _, ok := Newest(b, 3)
		if ok && !slices.Equal(got, []uint64{4, 5, 6}) {
			t.Errorf("bit %d: got %v", bit, got)
		}
		if !ok {
			noticed++
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
	if want := 5*64 + 64; noticed != want { // the copy that counts, and the sequence of the other one
		t.Errorf("%d bits were noticed, want %d", noticed, want)
	}
}
