package bench

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Latency is a distribution of times.
type Latency struct {
	Count                          int64
	Mean, P50, P90, P99, P999, Max time.Duration
}

// longest is the longest time that can be told from others.
const longest = time.Minute

// histogram counts times. It is safe for concurrent use.
type histogram struct {
	mu    sync.Mutex
	times *hdrhistogram.Histogram // nanoseconds, with three digits
}

func (h *histogram) record(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.times == nil {
		h.times = hdrhistogram.New(100, int64(longest), 3)
	}
	h.times.RecordValue(int64(min(d, longest))) // in range, so it never fails
}

func (h *histogram) latency() (l Latency) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.times == nil {
		return l
	}
	at := func(percentile float64) time.Duration {
		return time.Duration(h.times.ValueAtPercentile(percentile))
	}
	return Latency{h.times.TotalCount(), time.Duration(h.times.Mean()), at(50), at(90), at(99), at(99.9), at(100)}
}
