package nodetest

import (
	"flag"
	"math/rand"
	"testing"
	"time"
)

// The flags of tests that are random or go on for long.
var (
	seedFlag = flag.Int64("seed", 0, "seed of the tests with random input; 0 takes one from the clock")
	soakFlag = flag.Duration("soak", 0, "how long the tests with kills at random moments run; 0 = some seconds")
)

// Random returns the random numbers of a test and makes the test tell how to get the
// same ones again.
func Random(t *testing.T) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = time.Now().UnixNano()
	}
	t.Logf("random input: repeat with -seed %d", seed)
	return rand.New(rand.NewSource(seed))
}

// Slow marks a test that takes seconds or a lot of memory.
func Slow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("slow; -short is set")
	}
}

// AtMost returns a function that tells whether a test with random input is to go on: for that
// long, unless the command line says otherwise.
func AtMost(usual time.Duration) (inTime func() bool) {
	if *soakFlag > 0 {
		usual = *soakFlag
	}
	end := time.Now().Add(usual)
	return func() bool { return time.Now().Before(end) }
}
