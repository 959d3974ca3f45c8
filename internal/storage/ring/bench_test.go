package ring

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

const benchPayload = 100

func perRecord(b *testing.B, records int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(records), "ns/record")
}

func BenchmarkPushTakeFree(b *testing.B) {
	r := newRing(b, 1<<20)
	payload := make([]byte, benchPayload)
	b.ReportAllocs()
	for b.Loop() {
		r.Push(payload)
		run, n, _ := r.Take(1, 1)
		r.Free(len(run), n)
	}
}

func BenchmarkPushRun(b *testing.B) {
	const records = 600
	r := newRing(b, 1<<20)
	var run []byte
	for range records {
		run = append(run, encode([]record{{payload: make([]byte, benchPayload)}})...)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, n, err := r.PushRun(run, records); n != records || err != nil {
			b.Fatal(n, err)
		}
		out, n, _ := r.Take(len(run), records)
		r.Free(len(out), n)
	}
	perRecord(b, b.N*records)
}

// The first fill of a ring, which nothing has been stored in: in memory, in a file for which
// nobody prepares disk space but the writer, and in one with a preparer beside it.
func BenchmarkFirstFill(b *testing.B) {
	const capacity = 64 << 20
	payload := make([]byte, benchPayload)
	fill := func(b *testing.B, r *Ring, ahead func(*Work)) (records int) {
		for {
			fitted, err := r.Push(payload)
			if err != nil {
				b.Fatal(err)
			}
			if !fitted {
				return records
			}
			records++
			if records%100 == 0 {
				r.Publish()
				if w := r.FillAhead(); w != nil && ahead != nil {
					ahead(w)
				}
			}
		}
	}
	inFile := func(b *testing.B, prepare bool) {
		dir, err := disk.OpenDir(filepath.Join(b.TempDir(), "data"))
		if err != nil {
			b.Fatal(err)
		}
		records := 0
		for i := 0; b.Loop(); i++ {
			b.StopTimer()
			spare, err := NewSpare(dir, 1, Link{Main, uint64(i)}, true)
			if err != nil {
				b.Fatal(err)
			}
			r, err := spare.Use(1, "bench", capacity)
			if err != nil {
				b.Fatal(err)
			}
			work := make(chan *Work, 100)
			var preparer sync.WaitGroup
			preparer.Go(func() {
				for w := range work {
					if err := w.Do(); err != nil {
						b.Error(err)
					}
				}
			})
			var ahead func(*Work)
			if prepare {
				ahead = func(w *Work) { work <- w }
			}
			b.StartTimer()
			records += fill(b, r, ahead)
			b.StopTimer()
			close(work)
			preparer.Wait()
			if err := r.Remove(); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
		perRecord(b, records)
	}
	b.Run("memory", func(b *testing.B) {
		records := 0
		for b.Loop() {
			b.StopTimer()
			r, err := New(capacity)
			if err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			records += fill(b, r, nil)
			b.StopTimer()
			r.Close()
			b.StartTimer()
		}
		perRecord(b, records)
	})
	b.Run("file", func(b *testing.B) { inFile(b, false) })
	b.Run("file prepared", func(b *testing.B) { inFile(b, true) })
}

// Cutting records that are not in the cache any more, as those of a filled channel are.
func BenchmarkCutCold(b *testing.B) {
	const count, each = 1 << 20, 600
	r := newRing(b, count*(HeaderSize+benchPayload))
	for range count {
		r.Push(make([]byte, benchPayload))
	}
	for left := []byte(nil); b.Loop(); {
		if len(left) == 0 {
			left = r.data
		}
		cut, _ := Cut(left, each*(HeaderSize+benchPayload), count)
		left = left[len(cut):]
	}
	perRecord(b, b.N*each)
}
