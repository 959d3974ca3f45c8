package copies

import (
	"bytes"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
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

// A flipped bit does not matter, and what two do is noticed.
func TestEveryBit(t *testing.T) {
	b := make([]byte, Size)
	Store(b, 1, []uint64{1, 2, 3})
	Store(b, 2, []uint64{4, 5, 6})
	flip := func(bit int) { b[bit/8] ^= 1 << (bit % 8) }
	right := func(what string) (ok bool) {
		got, s, ok := Newest(b, 3)
		if ok && (s != 2 || !slices.Equal(got, []uint64{4, 5, 6})) {
			t.Errorf("%s: got %v, %d", what, got, s)
		}
		return ok
	}
	noticed := 0
	for bit := range 8 * Size {
		flip(bit)
		if !right(fmt.Sprint("bit ", bit)) {
			t.Errorf("bit %d is not corrected", bit)
		}
		for other := bit % 7; other < 5*64; other += 7 { // of the copy that counts
			if other == bit {
				continue
			}
			flip(other)
			if !right(fmt.Sprint("bits ", bit, " and ", other)) {
				noticed++
			}
			flip(other)
		}
		flip(bit)
	}
	if noticed < 5*64*5*64/7-5*64 {
		t.Errorf("two wrong bits were noticed %d times", noticed)
	}
}

// Before anything was stored for a second time, a flipped bit in the room for that is not taken for it.
func TestEveryBitOfWhatWasNeverStored(t *testing.T) {
	b := make([]byte, Size)
	Store(b, 1, []uint64{1, 2, 3})
	for bit := range 8 * Size {
		b[bit/8] ^= 1 << (bit % 8)
		if got, s, ok := Newest(b, 3); !ok || s != 1 || !slices.Equal(got, []uint64{1, 2, 3}) {
			t.Errorf("bit %d: got %v, %d, %v", bit, got, s, ok)
		}
		b[bit/8] ^= 1 << (bit % 8)
	}
	for bit := range sequenceBits {
		if s := uint64(1) << bit; withChecksum(s)&(withChecksum(s)-1) == 0 {
			t.Errorf("the word of sequence %d looks as if it was never stored", s)
		}
	}
}

// What is stored with the same sequence as before is, when the process is killed meanwhile, all there or
// nothing: then the other copy counts.
func TestStoredAgainAtOnce(t *testing.T) {
	page := os.Getpagesize()
	memory, err := unix.Mmap(-1, 0, 2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(memory)
	long := func(w uint64) []uint64 { return slices.Repeat([]uint64{w}, 40) }
	for end := 16; end < 8*40; end += 8 { // of what is stored: then the process ends
		b := memory[page-sector-end:][:Size]
		clear(memory)
		Store(b, 2, long(2))
		Store(b, 3, long(3))
		if err := unix.Mprotect(memory[page:], unix.PROT_READ); err != nil {
			t.Fatal(err)
		}
		func() {
			defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
			defer func() {
				if recover() == nil {
					t.Error("all was stored")
				}
			}()
			Store(b, 3, long(4))
		}()
		if err := unix.Mprotect(memory[page:], unix.PROT_READ|unix.PROT_WRITE); err != nil {
			t.Fatal(err)
		}
		if got, s, ok := Newest(b, 40); !ok || s == 2 && got[0] != 2 || s == 3 && got[0] == 2 {
			t.Errorf("stored up to byte %d: %v, %d, %v", end, got, s, ok)
		}
	}
}
