package nodes

import (
	"math/rand/v2"
	"time"
)

// MaxDelay is the longest time between two attempts to connect to a node, without jitter.
const MaxDelay = 2500 * time.Millisecond

// firstShift makes MaxDelay >> firstShift the first delay that is not zero, 20 ms.
const firstShift = 7

// Backoff says when to try again to connect to a node (neo protocol spec §14.2): at once, at once again after
// the first failure, then after 20, 39, 78, 156, 313, 625 ms, 1.25 s, and from then on
// every 2.5 s, each plus up to a fifth at random, so that the clients of a node which
// comes back do not come at the same moment.
//
// The zero value is ready for the first attempt. It belongs to one goroutine.
type Backoff struct {
	failures int
}

// Failed counts an attempt that took that long and failed, and returns how long to wait
// before the next one. Of the schedule, delays shorter than the attempt are left out.
func (b *Backoff) Failed(took time.Duration) time.Duration {
	b.failures++
	if b.failures == 1 {
		return 0
	}
	for b.delay() < min(took, MaxDelay) {
		b.failures++
	}
	delay := b.delay()
	return delay + rand.N(delay/5)
}

// delay returns the delay after the second and later failures.
func (b *Backoff) delay() time.Duration {
	return MaxDelay >> max(0, firstShift-(b.failures-2))
}

// Succeeded begins a fresh schedule. Call it when a connection has proved good, for
// example when it has lasted for MaxDelay: a node that accepts connections only to drop
// them would otherwise be connected to in a tight loop.
func (b *Backoff) Succeeded() { b.failures = 0 }
