package nodetest

import (
	"sync"
	"testing"
	"time"
)

// Together runs functions at once, each with its index, waits for all, and reports
// their errors.
func Together(t *testing.T, count int, f func(i int) error) {
	t.Helper()
	errs := make([]error, count)
	var group sync.WaitGroup
	for i := range count {
		group.Go(func() { errs[i] = f(i) })
	}
	group.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// Eventually waits for a state of the node that nothing announces.
func Eventually(t *testing.T, what string, reached func() bool) {
	t.Helper()
	EventuallyWithin(t, Patience, what, reached)
}

// EventuallyWithin is Eventually with another patience.
func EventuallyWithin(t *testing.T, patience time.Duration, what string, reached func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !reached(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("within %v: want %s", patience, what)
		}
	}
}

// Must ends a test that can't go on after an error.
func Must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
