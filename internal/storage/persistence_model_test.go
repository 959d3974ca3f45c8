package storage

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
)

var crashSeeds = flag.Uint64("crash.seeds", 60, "number of random histories with crashes and restarts")

// Random histories with kills and clean stops in between. A failure names its seed; the
// subtest of that name runs the same history again.
func TestRandomHistoriesWithKillsAndStops(t *testing.T) {
	seeds := *crashSeeds
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			n := newTrial(t)
			n.silent = true
			defer func() { n.dir.Release() }()
			rng := rand.New(rand.NewPCG(seed, 0x73746f72))
			n.start()
			for range 400 {
				n.randomStep(rng)
			}
			n.stop()
			n.start()
		})
	}
}

func (n *trial) randomStep(rng *rand.Rand) {
	channel := []string{"a", "b", "c"}[rng.IntN(3)]
	subscriber := []string{"", "s", "t"}[rng.IntN(3)]
	switch rng.IntN(40) {
	case 0:
		n.subscribe(channel, subscriber)
	case 1, 2:
		n.attach(channel, subscriber)
	case 3, 4, 5, 6, 7, 8:
		if len(n.readers) > 0 {
			n.next(n.readers[rng.IntN(len(n.readers))], 1+rng.IntN(100))
		}
	case 9:
		if len(n.readers) > 0 {
			n.leave(n.readers[rng.IntN(len(n.readers))], rng.IntN(100))
		}
	case 10, 11, 12, 13:
		n.pop(channel)
	case 14, 15, 16:
		if len(n.popped) > 0 {
			n.deliver(rng.IntN(len(n.popped)))
		}
	case 17:
		if len(n.popped) > 0 {
			n.giveBack(rng.IntN(len(n.popped)), 0)
		}
	case 18:
		n.tick()
	case 19:
		switch rng.IntN(6) {
		case 0, 1:
			n.crash()
			n.start()
		case 2:
			n.stop()
			n.start()
		case 3:
			n.sizes[channel] = uint64(rng.IntN(300))
		case 4:
			n.remove(channel)
		}
	case 20, 21, 22:
		var sizes []int
		for range 1 + rng.IntN(6) {
			sizes = append(sizes, 1+rng.IntN(60))
		}
		n.push(channel, true, sizes...)
	default:
		size := rng.IntN(60)
		if rng.IntN(20) == 0 {
			size = 0
		}
		n.push(channel, false, size)
	}
}
