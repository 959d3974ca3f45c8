package nodes

import (
	"math/rand/v2"
	"sync/atomic"
)

// Rotation spreads requests over nodes: round robin from a random start (neo protocol spec §14.4). Every
// request begins one node after the request before it and goes on in a circle:
//
//	start := rotation.Start(len(connected))
//	for i := range connected {
//		node := connected[(start+i)%len(connected)]
//		…
//	}
//
// Ask it about the nodes that are connected, not all: otherwise the one behind a node
// that is down gets its share too.
//
// It is safe for concurrent use. Use [NewRotation].
type Rotation struct {
	next atomic.Uint64
}

// NewRotation returns a rotation with a random start, so that many clients which make
// one request each also spread.
func NewRotation() *Rotation {
	r := new(Rotation)
	r.next.Store(rand.Uint64())
	return r
}

// Start returns where the next request begins, from 0 to n - 1; 0 if n < 1.
func (r *Rotation) Start(n int) int {
	if n < 1 {
		return 0
	}
	return int(r.next.Add(1) % uint64(n))
}
