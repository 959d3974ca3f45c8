package test

import (
	"flag"
	"math/rand"
	"os"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

var seedFlag = flag.Int64("seed", 0, "seed of the tests with random input; 0 takes one from the clock")

func TestMain(m *testing.M) { os.Exit(nodetest.Main(m)) }

// newRand returns the random numbers of a test and makes the test tell how to get the
// same ones again.
func newRand(t *testing.T) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = time.Now().UnixNano()
	}
	t.Logf("random input: repeat with -seed %d", seed)
	return rand.New(rand.NewSource(seed))
}

// slow marks a test that takes seconds or a lot of memory.
func slow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("slow; -short is set")
	}
}
