package ring

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func newRing(t testing.TB, capacity uint64) *Ring {
	t.Helper()
	r, err := New(capacity)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// push pushes a record that must fit.
func push(t testing.TB, r *Ring, payload string) {
	t.Helper()
	if fitted, err := r.Push([]byte(payload)); !fitted || err != nil {
		t.Fatalf("Push(%d bytes): %v, %v", len(payload), fitted, err)
	}
}

// pop takes and frees one record.
func pop(r *Ring) (payload string, ok bool) {
	run, n, _ := r.Take(1, 1)
	if n == 0 {
		return "", false
	}
	payload = string(run[HeaderSize:])
	r.Free(len(run), n)
	return payload, true
}

// The worked example of storage spec §1.6.
func TestWorkedExample(t *testing.T) {
	r := newRing(t, 40)
	steps := []struct {
		do         string // push LETTERS, or pop LETTERS
		fits       bool
		items      int
		used, free int
	}{
		{"push " + strings.Repeat("x", 33), false, 0, 0, 40},
		{"push " + strings.Repeat("x", 32), true, 1, 40, 0},
		{"pop " + strings.Repeat("x", 32), true, 0, 0, 40},
		{"push aaaaaaaaaa", true, 1, 18, 22},
		{"push bbbbbbbbbb", true, 2, 36, 4},
		{"push ", false, 2, 36, 4},
		{"pop aaaaaaaaaa", true, 1, 18, 22},
		{"push ccccccccccc", false, 1, 18, 22}, // 22 free, only 18 in one piece
		{"push cccccccccc", true, 2, 36, 4},    // wrapped: write = read
		{"push ", false, 2, 36, 4},
		{"pop bbbbbbbbbb", true, 1, 18, 22},
		{"pop cccccccccc", true, 0, 0, 40},
		{"push " + strings.Repeat("x", 32), true, 1, 40, 0},
	}
	for i, s := range steps {
		verb, text, _ := strings.Cut(s.do, " ")
		if verb == "push" {
			if got, err := r.Push([]byte(text)); got != s.fits || err != nil {
				t.Fatalf("step %d %q: fits = %v, %v, want %v", i, s.do, got, err, s.fits)
			}
		} else if got, ok := pop(r); !ok || got != text {
			t.Fatalf("step %d %q: got %q, %v", i, s.do, got, ok)
		}
		if r.Held() != s.items || r.UsedSpace() != s.used || r.Capacity()-r.UsedSpace() != s.free {
			t.Fatalf("step %d %q: items %d used %d free %d, want %d %d %d", i, s.do,
				r.Held(), r.UsedSpace(), r.Capacity()-r.UsedSpace(), s.items, s.used, s.free)
		}
	}
}

func TestAbsurdCapacityIsAnError(t *testing.T) {
	for _, capacity := range []uint64{1 << 60, 1<<64 - 1} {
		if r, err := New(capacity); err == nil {
			r.Close()
			t.Errorf("New(%d) gave no error", capacity)
		}
	}
}

// Runs before and behind the wrap may be freed with one call.
func TestFreeAcrossTheWrap(t *testing.T) {
	r := newRing(t, 40)
	push(t, r, "aaaaaaaaaa")
	push(t, r, "bbbbbbbbbb")
	pop(r)
	push(t, r, "cc") // at 0; bytes 36-39 are dead
	push(t, r, "")   // behind it
	a, _, _ := r.Take(1, 1)
	b, _, _ := r.Take(1, 1)
	r.Free(len(a)+len(b), 2)
	if r.Held() != 1 || r.UsedSpace() != 8 {
		t.Errorf("held %d, used %d, want 1, 8", r.Held(), r.UsedSpace())
	}
	push(t, r, "dddddddddddd")
	if p, ok := pop(r); !ok || p != "" {
		t.Errorf("got %q, %v", p, ok)
	}
}

// Whatever becomes of the bytes of a length, what is taken is what was pushed before it, then
// perhaps records that it makes up of what was pushed, and then the damage is told. Nothing is
// taken that has been freed.
func TestDamagedLength(t *testing.T) {
	const payload = 24
	for _, wrapped := range []bool{false, true} {
		for which := range 6 {
			for bit := range 64 {
				r := newRing(t, 8*(HeaderSize+payload)+10)
				old := 1
				if wrapped {
					old = 4
				}
				for range old {
					push(t, r, strings.Repeat("-", payload))
				}
				for i := range 6 {
					if i == 4 || i == 5 && !wrapped {
						for range min(old, r.Held()-i) {
							pop(r)
						}
					}
					push(t, r, strings.Repeat("a", payload))
				}
				if r.wrapped() != wrapped || r.Held() != 6 {
					t.Fatalf("%d records, wrapped = %v", r.Held(), r.wrapped())
				}
				at := r.read + which*(HeaderSize+payload)
				if at >= r.gap {
					at -= r.gap
				}
				r.data[at+bit/8] ^= 1 << (bit % 8)
				var got []byte
				n, told := 0, false
				for r.Waiting() > 0 {
					run, records, err := r.Take(1, 1)
					if errors.As(err, new(*DamageError)) {
						told = true
						n += r.Abandon()
						break
					}
					if records != 1 {
						t.Fatalf("record %d bit %d: took %d records, %v", which, bit, records, err)
					}
					if n < which && string(run[HeaderSize:]) != strings.Repeat("a", payload) {
						t.Errorf("record %d bit %d: record %d, in front of it, is %q", which, bit, n, run)
					}
					got, n = append(got, run[HeaderSize:]...), n+1
				}
				if bytes.Contains(got, []byte("-")) || n != 6 || which < 5 && !told {
					t.Errorf("wrapped %v record %d bit %d: %d records: %q, damage told: %v", wrapped, which, bit, n, got, told)
				}
				held := r.Held()
				r.Free(r.UsedSpace(), held)
				push(t, r, strings.Repeat("b", payload)) // it goes on
			}
		}
	}
}

// A damaged length that hides the records behind it does not bring back what was freed.
func TestHiddenRecords(t *testing.T) {
	for _, wrapped := range []bool{false, true} {
		r := newRing(t, 100)
		push(t, r, "old 1...")
		push(t, r, "old 2...")
		push(t, r, "old 3...")
		if wrapped {
			push(t, r, "old 4...")
			push(t, r, "new 0...") // up to 80
			push(t, r, "new x...") // up to 96
			for range 4 {
				pop(r)
			}
			push(t, r, "new 1...") // at 0
			push(t, r, "new 2...")
			putWord(r.data, 0, 8+16)
		} else {
			pop(r)
			pop(r)
			pop(r)
			push(t, r, "old 1...")
			push(t, r, "new 1...")
			push(t, r, "new 2...")
			pop(r)
			putWord(r.data, 16, 8+16)
		}
		var got []string
		for {
			run, n, err := r.Take(1, 1)
			if n == 0 {
				if !errors.As(err, new(*DamageError)) || r.Abandon() != 1 {
					t.Errorf("wrapped %v: the record that is missing was not told of: %v", wrapped, err)
				}
				break
			}
			got = append(got, string(run))
		}
		if all := strings.Join(got, ""); strings.Contains(all, "old") || !strings.Contains(all, "new 2") {
			t.Errorf("wrapped %v: got %q", wrapped, got)
		}
		if want := map[bool]int{false: 32, true: 64}[wrapped]; r.UsedSpace() < want {
			t.Errorf("wrapped %v: %d bytes used, want %d", wrapped, r.UsedSpace(), want)
		}
	}
}
