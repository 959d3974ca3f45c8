package overflowtest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// taken is a run that was handed out, as it was then.
type taken struct {
	run     []byte
	content []byte
	records int
}

// runMemory drives a Memory and a plain list of records with the operations of a script,
// three bytes each, and compares them after each.
func runMemory(t *testing.T, script []byte) {
	m := &Memory{}
	var queue [][]byte // held records, laid out as in a ring
	var out []taken    // handed out, oldest first
	handedOut, serial := 0, 0
	for step := 0; len(script) >= 3; step, script = step+1, script[3:] {
		op, a, b := script[0]%16, int(script[1]), int(script[2])
		what := fmt.Sprintf("step %d op %d %d %d", step, op, a, b)
		switch {
		case op < 7:
			size := a % 32
			switch {
			case a >= 250:
				size = largestChunk - 3*ring.HeaderSize + b%32 // about a chunk
			case a >= 200:
				size = b << 10
			}
			serial++
			payload := bytes.Repeat([]byte{byte(serial), byte(serial >> 8)}, size)[:size]
			if err := m.Push(payload); err != nil {
				t.Fatalf("%s: Push: %v", what, err)
			}
			queue = append(queue, append(binary.LittleEndian.AppendUint64(nil, uint64(size)), payload...))
		case op < 12:
			enough, most := 1+a*b*40, 1+b%20
			run, records, err := m.Take(enough, most)
			if err != nil {
				t.Fatalf("%s: Take: %v", what, err)
			}
			waiting := queue[handedOut:]
			if (records == 0) != (len(waiting) == 0) || records > min(most, len(waiting)) {
				t.Fatalf("%s: Take: %d of %d waiting records, at most %d wanted", what, records, len(waiting), most)
			}
			if records > 0 && len(run)-len(waiting[records-1]) >= enough {
				t.Fatalf("%s: Take: the last of %d records came after %d bytes were enough", what, records, enough)
			}
			if want := bytes.Join(waiting[:records], nil); !bytes.Equal(run, want) {
				t.Fatalf("%s: Take: got %d bytes that are not the next %d records", what, len(run), records)
			}
			handedOut += records
			// A run may be freed in parts, at the border of two records.
			for _, r := range waiting[:records] {
				out = append(out, taken{run[:len(r)], r, 1})
				run = run[len(r):]
			}
		case op < 15:
			n := min(len(out), 1+a%9)
			size, records := 0, 0
			for _, r := range out[:n] {
				if !bytes.Equal(r.run, r.content) {
					t.Fatalf("%s: a record changed while it was handed out", what)
				}
				size, records = size+len(r.run), records+1
				if b%2 == 0 {
					m.Free(size, records)
					size, records = 0, 0
				} else if n := len(m.chunks[0].bytes) - m.chunks[0].freed; size == n {
					m.Free(size, records) // a run ends with its chunk
					size, records = 0, 0
				}
			}
			if records > 0 {
				m.Free(size, records)
			}
			out, queue, handedOut = out[n:], queue[n:], handedOut-n
		case a < 20:
			m.Remove()
			for _, r := range out {
				if !bytes.Equal(r.run, r.content) {
					t.Fatalf("%s: a record changed when all were removed", what)
				}
			}
			queue, out, handedOut = nil, nil, 0
		}
		size := 0
		for _, r := range queue {
			size += len(r) - ring.HeaderSize
		}
		if m.Held() != len(queue) || m.Waiting() != len(queue)-handedOut || m.PayloadBytes() != uint64(size) {
			t.Fatalf("%s: held %d waiting %d bytes %d, want %d %d %d", what,
				m.Held(), m.Waiting(), m.PayloadBytes(), len(queue), len(queue)-handedOut, size)
		}
	}
}

func memoryScript(seed uint64, steps int) []byte {
	rng := rand.New(rand.NewPCG(seed, 5))
	script := make([]byte, 3*steps)
	for i := range script {
		script[i] = byte(rng.Uint32())
	}
	return script
}

func TestMemoryBehavesLikeAList(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) { runMemory(t, memoryScript(seed, 200)) })
	}
}

func FuzzMemory(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(memoryScript(seed, 40))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 600 {
			t.Skip("long scripts find nothing more")
		}
		runMemory(t, script)
	})
}

func TestAnEmptyMemoryHasNothing(t *testing.T) {
	m := &Memory{}
	if run, records, err := m.Take(1, 1); run != nil || records != 0 || err != nil {
		t.Errorf("Take: got % x, %d, %v, want nothing", run, records, err)
	}
}

// memoryPushPop returns a function that pushes, takes and frees one record.
func memoryPushPop(t testing.TB, m *Memory) func() {
	payload := make([]byte, 100)
	return func() {
		if err := m.Push(payload); err != nil {
			t.Fatal(err)
		}
		run, records, err := m.Take(1, 1)
		if err != nil || records != 1 {
			t.Fatalf("Take: %d records, %v", records, err)
		}
		m.Free(len(run), records)
	}
}

func BenchmarkMemoryPushPop(b *testing.B) {
	for _, held := range []int{0, 10} {
		b.Run(fmt.Sprintf("%d held", held), func(b *testing.B) {
			m := &Memory{}
			for range held {
				if err := m.Push(make([]byte, 100)); err != nil {
					b.Fatal(err)
				}
			}
			do := memoryPushPop(b, m)
			b.ReportAllocs()
			for b.Loop() {
				do()
			}
		})
	}
}
