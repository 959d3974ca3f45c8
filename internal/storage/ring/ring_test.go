package ring

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
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

// pop takes and frees one record.
func pop(r *Ring) (payload []byte, ok bool) {
	run, n := r.Take(1, 1)
	if n == 0 {
		return nil, false
	}
	payload = bytes.Clone(run[HeaderSize:])
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
			if got := r.Push([]byte(text)); got != s.fits {
				t.Fatalf("step %d %q: fits = %v, want %v", i, s.do, got, s.fits)
			}
		} else if got, ok := pop(r); !ok || string(got) != text {
			t.Fatalf("step %d %q: got %q, %v", i, s.do, got, ok)
		}
		if r.Held() != s.items || r.UsedSpace() != s.used || r.Capacity()-r.UsedSpace() != s.free {
			t.Fatalf("step %d %q: items %d used %d free %d, want %d %d %d", i, s.do,
				r.Held(), r.UsedSpace(), r.Capacity()-r.UsedSpace(), s.items, s.used, s.free)
		}
	}
}

// model is the ring as storage spec §1 tells it: positions and a plain queue.
type model struct {
	capacity         int
	read, write, gap int
	queue            [][]byte // held records, oldest first
	out              int      // how many of them are handed out
}

func (m *model) push(p []byte) bool {
	need := 8 + len(p)
	switch {
	case len(m.queue) == 0:
		if need > m.capacity {
			return false
		}
		m.write, m.gap = need, need
	case m.read < m.write:
		switch {
		case m.capacity-m.write >= need:
			m.write += need
			m.gap = m.write
		case m.read >= need:
			m.write = need
		default:
			return false
		}
	default:
		if m.read-m.write < need {
			return false
		}
		m.write += need
	}
	m.queue = append(m.queue, bytes.Clone(p))
	return true
}

func (m *model) free(records int) {
	for range records {
		m.read += 8 + len(m.queue[0])
		m.queue = m.queue[1:]
		m.out--
		if len(m.queue) == 0 {
			m.read, m.write, m.gap = 0, 0, 0
		} else if m.read == m.gap {
			m.read, m.gap = 0, m.write
		}
	}
}

func (m *model) used() int {
	n := 0
	for _, p := range m.queue {
		n += 8 + len(p)
	}
	return n
}

// runModel drives a ring and the model with the same operations, read from script two
// bytes at a time, and compares them after each.
func runModel(t *testing.T, capacity int, script []byte) {
	r := newRing(t, uint64(capacity))
	m := &model{capacity: capacity}
	type handed struct {
		run     []byte
		records int
	}
	var out []handed
	counter := 0
	payload := func(size int) []byte {
		counter++
		p := bytes.Repeat([]byte{byte(counter)}, size)
		return p
	}
	for i := 0; i+1 < len(script); i += 2 {
		op, arg := script[i]%8, int(script[i+1])
		what := fmt.Sprintf("step %d op %d arg %d", i/2, op, arg)
		switch op {
		case 0, 1, 2:
			p := payload(arg % (capacity/2 + 2))
			if got, want := r.Push(p), m.push(p); got != want {
				t.Fatalf("%s: Push(%d bytes) = %v, want %v", what, len(p), got, want)
			}
		case 3:
			var run []byte
			var parts [][]byte
			for range arg%4 + 1 {
				p := payload(arg % 7)
				parts = append(parts, p)
				run = binary.LittleEndian.AppendUint64(run, uint64(len(p)))
				run = append(run, p...)
			}
			if !r.PushRun(run, len(parts)) {
				for _, p := range parts {
					if got, want := r.Push(p), m.push(p); got != want {
						t.Fatalf("%s: Push after PushRun = %v, want %v", what, got, want)
					}
				}
				break
			}
			for _, p := range parts {
				if !m.push(p) {
					t.Fatalf("%s: PushRun took a record that does not fit", what)
				}
			}
		case 4, 5:
			run, n := r.Take(arg, arg%5+1)
			waiting := m.queue[m.out:]
			if (n == 0) != (len(waiting) == 0) {
				t.Fatalf("%s: Take gave %d of %d records", what, n, len(waiting))
			}
			if n > arg%5+1 {
				t.Fatalf("%s: Take gave %d records, at most %d allowed", what, n, arg%5+1)
			}
			var want []byte
			for _, p := range waiting[:n] {
				want = binary.LittleEndian.AppendUint64(want, uint64(len(p)))
				want = append(want, p...)
			}
			if !bytes.Equal(run, want) {
				t.Fatalf("%s: Take gave % x, want % x", what, run, want)
			}
			if n > 0 {
				m.out += n
				out = append(out, handed{run, n})
			}
		default:
			if len(out) > 0 {
				r.Free(len(out[0].run), out[0].records)
				m.free(out[0].records)
				out = out[1:]
			}
		}
		if r.Held() != len(m.queue) || r.Waiting() != len(m.queue)-m.out || r.UsedSpace() != m.used() {
			t.Fatalf("%s: held %d waiting %d used %d, want %d %d %d", what,
				r.Held(), r.Waiting(), r.UsedSpace(), len(m.queue), len(m.queue)-m.out, m.used())
		}
	}
}

func TestModel(t *testing.T) {
	for _, capacity := range []int{1, 8, 40, 100, 333, 4096} {
		for seed := range uint64(200) {
			rng := rand.New(rand.NewPCG(seed, uint64(capacity)))
			script := make([]byte, 2*300)
			for i := range script {
				script[i] = byte(rng.Uint32())
			}
			t.Run(fmt.Sprintf("capacity %d seed %d", capacity, seed), func(t *testing.T) {
				runModel(t, capacity, script)
			})
		}
	}
}

func FuzzModel(f *testing.F) {
	f.Add(uint16(40), []byte{0, 10, 0, 10, 4, 1, 7, 0, 0, 10, 3, 3, 5, 200, 7, 0})
	f.Fuzz(func(t *testing.T, capacity uint16, script []byte) {
		runModel(t, int(capacity)%2000+1, script)
	})
}

func TestCapacityZeroTakesNothing(t *testing.T) {
	r := newRing(t, 0)
	if r.Push(nil) {
		t.Error("a ring of 0 bytes took a record")
	}
	if run, n := r.Take(1, 1); n != 0 || run != nil {
		t.Errorf("Take gave %d records", n)
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

func BenchmarkPushPop(b *testing.B) {
	r := newRing(b, 1<<20)
	payload := make([]byte, 100)
	b.SetBytes(int64(HeaderSize + len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		r.Push(payload)
		run, n := r.Take(1, 1)
		r.Free(len(run), n)
	}
}

func BenchmarkPushRunTake(b *testing.B) {
	const records = 600
	r := newRing(b, 1<<20)
	var run []byte
	for range records {
		run = binary.LittleEndian.AppendUint64(run, 100)
		run = append(run, make([]byte, 100)...)
	}
	b.SetBytes(int64(len(run)))
	b.ReportAllocs()
	for b.Loop() {
		if !r.PushRun(run, records) {
			b.Fatal("run does not fit")
		}
		out, n := r.Take(len(run), records)
		r.Free(len(out), n)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*records), "ns/record")
}

// Runs before and behind the wrap may be freed with one call.
func TestFreeAcrossTheWrap(t *testing.T) {
	r := newRing(t, 40)
	r.Push(make([]byte, 10))
	r.Push(make([]byte, 10))
	pop(r)
	r.Push([]byte("cc")) // at 0; bytes 36-39 are dead
	r.Push(nil)          // behind it
	a, _ := r.Take(1, 1)
	b, _ := r.Take(1, 1)
	r.Free(len(a)+len(b), 2)
	if r.Held() != 1 || r.UsedSpace() != 8 || r.Capacity()-r.UsedSpace() != 32 {
		t.Errorf("held %d, used %d, want 1, 8", r.Held(), r.UsedSpace())
	}
	if !r.Push(make([]byte, 12)) {
		t.Error("a record that fits behind the last one was refused")
	}
	if p, ok := pop(r); !ok || len(p) != 0 {
		t.Errorf("got % x, %v", p, ok)
	}
}
