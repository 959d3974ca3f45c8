package ring

import "testing"

// Cutting records that are not in the cache any more, as those of a filled channel are.
func BenchmarkCutCold(b *testing.B) {
	const payload, count, each = 100, 1 << 20, 600
	r, err := New(count * (HeaderSize + payload))
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	for range count {
		r.Push(make([]byte, payload))
	}
	for left := []byte(nil); b.Loop(); {
		if len(left) == 0 {
			left = r.data
		}
		cut, _ := Cut(left, each*(HeaderSize+payload), count)
		left = left[len(cut):]
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*each), "ns/record")
}
