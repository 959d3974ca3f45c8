package storage

import (
	"testing"
)

// The overflow does not grow behind readers that settle nothing, and the records that they
// have come back in their place.
func TestSuspendedReadersDoNotPinTheOverflow(t *testing.T) {
	n := newTrial(t)
	n.sizes["c"] = 2000
	n.start()
	n.subscribe("c", "s")
	fast := n.attach("c", "s")
	var suspended []*keptReader
	most := 0
	for round := range 50 {
		n.push("c", false, 1990, 20, 20, 20) // the first fills the ring
		n.next(fast, 1)
		if round%10 == 0 {
			r := n.attach("c", "s")
			n.next(r, 30)
			suspended = append(suspended, r)
		}
		for len(fast.runs) > 0 {
			n.next(fast, everything)
		}
		s := storagesOf(n.channels)[0]
		if round > 10 {
			most = max(most, s.overflow.Held())
		}
		if round == 25 {
			n.examine(n.dir.Clone(), "with suspended readers", 0)
		}
	}
	if most > 10 {
		t.Errorf("the overflow held up to %d records, want no more than some", most)
	}
	for _, r := range suspended {
		n.leave(r, 0)
	}
	n.crash()
	n.start()
	n.stop()
	n.start()
}
