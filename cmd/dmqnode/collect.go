package main

import (
	"runtime"
	"runtime/metrics"
	"time"
)

const (
	// collectPeriod is how often to look.
	collectPeriod = 2 * time.Second
	// collectFrom is how large a heap is worth it, in bytes.
	collectFrom = 8 << 20
	// collectShare bounds the time that it takes: one part of so many.
	collectShare = 200
)

// collect runs the garbage collector if nothing else does, for as long as the process lives: a node
// that allocates hardly anything would keep for minutes what many requests, or a scrape, have left.
// The runtime gives back to the system what has been collected.
func collect() {
	var cycles uint64
	var next time.Time
	for now := range time.Tick(collectPeriod) {
		heap, done := readHeap()
		if done == cycles && heap >= collectFrom && now.After(next) {
			runtime.GC()
			next = now.Add(collectShare * time.Since(now))
		}
		_, cycles = readHeap()
	}
}

// readHeap tells how large the heap is, garbage included, and how often it has been collected.
func readHeap() (bytes, cycles uint64) {
	samples := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64()
}
