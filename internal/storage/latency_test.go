package storage

import (
	"testing"
	"time"
)

// The time from push to delivery is that of one record for each call of Mark. What is not delivered
// yet, what was dropped, and what comes without a Mark, is not measured.
func TestLatency(t *testing.T) {
	n := newTrial(t)
	n.start()
	cs := n.channels
	latency := func() time.Duration { return cs.Figures()[0].Latency }
	pop := func() *Run {
		c := cs.Find([]byte("c"))
		c.Lock()
		defer c.Commit()
		run, err := c.Pop(false)
		if err != nil || run == nil {
			t.Fatalf("got %v, error %v", run, err)
		}
		return run
	}
	push(t, cs, "c", "without a Mark")
	pop().Deliver()
	if got := latency(); got != 0 {
		t.Errorf("without a Mark: got %v", got)
	}

	cs.Mark(time.Unix(1, 0))
	push(t, cs, "c", "first")
	push(t, cs, "c", "second") // is not awaited
	run := pop()
	if got := latency(); got != 0 {
		t.Errorf("not delivered: got %v", got)
	}
	run.GiveBack(0)
	if got := latency(); got != 0 {
		t.Errorf("given back: got %v", got)
	}
	pop().Deliver()
	first := latency()
	if first <= 0 {
		t.Errorf("delivered: got %v", first)
	}
	pop().Deliver()
	if got := latency(); got != first {
		t.Errorf("another record before the next Mark: got %v, want %v still", got, first)
	}

	cs.Mark(time.Unix(2, 0))
	push(t, cs, "c", "third")
	if _, err := cs.Clear("c"); err != nil {
		t.Fatal(err)
	}
	if got := latency(); got != first {
		t.Errorf("cleared: got %v, want %v still", got, first)
	}
	cs.Mark(time.Unix(3, 0))
	push(t, cs, "c", "fourth")
	begin := time.Now()
	for time.Since(begin) < first { // so that it takes longer than the first
	}
	pop().Deliver()
	if got := latency(); got < first {
		t.Errorf("after another Mark: got %v, want %v or more", got, first)
	}
}
