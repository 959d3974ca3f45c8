package storage

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
)

// histories are what nodes do in the crash and fault tests. Rings hold 100 bytes.
var histories = []struct {
	name string
	run  func(n *trial)
}{
	{"channels fill their rings and spill, and are drained", func(n *trial) {
		n.start()
		n.push("a", false, 10, 20, 30)
		n.push("b", false, 50)
		n.push("a", false, 30, 0, 10)
		n.push("a", true, 20, 20, 20)
		n.push("b", true, 30, 30)
		n.tick()
		for range 10 {
			n.pop("a")
			n.pop("b")
			for len(n.popped) > 0 {
				n.deliver(0)
			}
		}
		n.push("a", false, 90)
		n.push("a", false, 200)
		n.tick()
		n.stop()
		n.start()
		n.push("a", false, 5)
	}},
	{"subscribers come, and consume with runs in flight", func(n *trial) {
		n.start()
		n.push("c", false, 20, 20, 20, 20, 20)
		n.subscribe("c", "s")
		n.push("c", false, 20)
		n.subscribe("c", "")
		n.push("c", true, 20, 0, 20)
		one, two, three := n.attach("c", "s"), n.attach("c", "s"), n.attach("c", "")
		for range 4 {
			n.next(one, 50)
			n.next(two, 20)
			n.next(two, 20)
			n.next(three, 20)
			n.push("c", false, 10, 10)
		}
		n.leave(one, 30)
		n.next(two, 1000)
		n.next(two, 1)
		n.subscribe("c", "t")
		n.subscribe("empty", "x")
		n.stop()
		n.start()
		n.subscribe("c", "s")
		n.next(n.attach("c", "s"), 1000)
		n.next(n.attach("c", ""), 30)
		n.crash()
		n.start()
	}},
	{"channels are removed and made again", func(n *trial) {
		n.start()
		for range 3 {
			n.push("a", false, 60, 60, 60)
			n.push("b", false, 60, 60, 60)
			n.subscribe("a", "s")
			n.subscribe("a", "t")
			n.push("a", false, 60)
			n.next(n.attach("a", "s"), 100)
			n.pop("b")
			n.remove("a")
			n.push("a", false, 60)
			n.tick()
			n.remove("b")
			n.remove("a")
		}
		n.push("a", false, 10)
		n.stop()
		n.start()
		n.remove("a")
		n.stop()
		n.start()
	}},
	{"a backlog of several spill files is drained", func(n *trial) {
		n.start()
		n.push("a", false, 600_000, 600_000, 10)
		n.push("b", false, 100, 600_000, 600_000, 20)
		n.pop("a")
		n.deliver(0)
		n.pop("a")
		n.pop("b")
		n.pop("b")
		n.deliver(1)
		n.deliver(1)
		n.tick()
		n.deliver(0)
		n.tick()
		n.push("a", false, 30)
		n.crash()
		n.start()
		n.push("b", false, 40)
		n.tick()
		n.stop()
		n.start()
		n.push("b", false, 40)
	}},
	{"records are settled out of order when the node stops", func(n *trial) {
		n.start()
		n.subscribe("c", "s")
		n.subscribe("c", "t")
		n.subscribe("d", "s")
		n.sizes["e"] = 1000
		n.subscribe("e", "s")
		for _, channel := range []string{"c", "d", "e"} {
			n.push(channel, false, 10, 20, 10, 20, 10, 20, 30, 10, 20, 10, 5, 5)
			one, two := n.attach(channel, "s"), n.attach(channel, "s")
			for range 3 { // from the ring
				n.next(one, 1)
				n.next(two, 1)
			}
			n.next(two, 1)
			if channel != "d" {
				n.leave(one, 10) // what it has goes to the next one
			}
			three := n.attach(channel, "s")
			n.next(three, 1)
			n.next(two, 30) // from the spill file
			n.next(three, 20)
			n.next(two, 10)
			n.next(two, 10)
		}
		n.push("e", false, 2000, 500, 2000)
		four, five := n.attach("e", "s"), n.attach("e", "s")
		n.next(four, 1)
		n.next(five, 1)
		n.next(five, 1)
		n.next(five, 1)
		n.stop()
		n.start()
		n.stop()
		n.start()
	}},
	{"rings get other sizes", func(n *trial) {
		n.start()
		n.push("grows", false, 30, 30, 30, 30)
		n.push("shrinks", false, 20, 20, 20, 20, 20)
		n.push("fits", false, 20)
		n.push("vanishes", false, 40, 10, 70)
		n.subscribe("vanishes", "s")
		n.sizes = map[string]uint64{"grows": 200, "shrinks": 60, "fits": 40, "vanishes": 0}
		n.crash()
		n.start()
		n.push("grows", false, 30, 30, 30)
		n.push("vanishes", false, 30, 30, 30)
		n.sizes = map[string]uint64{"grows": 80, "shrinks": 10, "vanishes": 50}
		n.stop()
		n.start()
		n.pop("shrinks")
		n.sizes = nil
		n.crash()
		n.start()
	}},
	{"ring files are kept, and empty queues give theirs up", func(n *trial) {
		n.options.Keep = true
		n.start()
		n.push("a", false, 30, 60, 10, 200)
		n.push("b", false, 10)
		n.subscribe("b", "s")
		n.stop()
		n.start()
		reader := n.attach("b", "s")
		n.next(reader, 1)
		n.next(reader, 1)
		n.pop("a")
		n.pop("a")
		n.deliver(1)
		for range mostIdle + 1 {
			n.tick()
		}
		n.push("b", false, 20)
		n.stop()
		n.options.Keep = false
		n.start()
		n.stop()
		n.start()
	}},
	{"dumps and overflow of an original node are taken over", func(n *trial) {
		n.fixture("interleaved")
		n.sizes = map[string]uint64{"logs": 40, "events": 64}
		n.start()
		n.push("logs", false, 10)
		n.push("events", false, 10)
		n.crash()
		n.start()
		n.stop()
		n.start()
	}},
	{"an original node was stopped cleanly", func(n *trial) {
		n.fixture("loadfiles")
		n.start()
		n.push("ch1", false, 70, 70)
		n.push("ch4", false, 10)
		n.stop()
		n.start()
	}},
	{"batches come back, queues are paused, and records move to failed channels", func(n *trial) {
		n.options.MaxDeliveries, n.options.FailedChannel = 2, "{channel}-failed"
		n.start()
		n.push("a", false, 20, 30, 10, 40)
		n.push("a", false, 200)
		for range 2 { // from the ring, both times
			n.pop("a")
			n.pop("a")
			n.fail(1, 0)
			n.fail(0, time.Hour)
			n.release()
		}
		n.pop("a") // from behind what waits
		n.fail(0, time.Hour)
		n.pause("a", "", true)
		n.pop("a")
		n.subscribe("a", "s")
		n.crash()
		n.start()
		n.push("a", false, 10, 0, 30)
		n.pause("a", "s", false)
		n.subscribe("a-failed", "x")
		n.subscribe("a-failed", "y")
		for range 3 {
			one := n.attach("a", "s")
			n.next(one, 50)
			n.abandon(one, 1)
		}
		n.pause("a-failed", "x", true)
		n.clear("a-failed", "x")
		n.unsubscribe("a-failed", "x")
		n.subscribe("a-failed", "x")
		n.pause("a", "s", true)
		n.stop()
		n.start()
		n.pause("a", "s", false)
		n.remove("a")
		n.pause("c", "", true)
		n.push("c", false, 10)
		n.pause("c", "", true)
		n.remove("c")
		n.push("c", false, 10)
		n.pop("c")
		n.fail(0, 0)
		n.crash()
		n.start()
		n.pop("c")
		n.fail(0, 0) // what was delivered in vain is forgotten
	}},
	{"dumps come to queues that are there", func(n *trial) {
		n.start()
		n.push("ch2", false, 60, 60, 10)
		n.push("ch4", false, 10)
		n.subscribe("ch1", "sub1")
		n.push("ch1", false, 30)
		n.pop("ch2")
		n.pop("ch2")
		n.deliver(1)
		n.crash()
		n.addFixture("loadfiles")
		n.start()
		n.push("ch2", false, 20)
		n.push("ch1", false, 20)
		for range 3 {
			n.pop("ch2")
		}
		n.deliver(0)
		n.deliver(0)
		n.crash()
		n.start()
		n.stop()
		n.start()
	}},
}

// addFixture puts the files of the original there, whose records come behind those of the queues.
func (n *trial) addFixture(name string) {
	queues := n.queues
	n.fixture(name)
	for _, q := range n.queues {
		for _, old := range queues {
			if old.name == q.name {
				q.items = append(old.items, q.items...)
			}
		}
	}
	for _, old := range queues {
		if len(n.queue(old.name).items) == 0 {
			*n.queue(old.name) = *old
		}
	}
}

// interesting reports whether a kill after this call may leave something else than one
// before it.
func interesting(c disktest.Call) bool {
	switch c.Op {
	case "read", "size", "stat", "list", "open", "close", "map", "unmap":
		return false
	}
	return true
}

func TestAKillAtAnyInstantLosesAndRepeatsNothing(t *testing.T) {
	for i := range 2 * len(histories) {
		h, waits := histories[i/2], i%2 > 0
		t.Run(fmt.Sprintf("%s, who needs files waits %v", h.name, waits), func(t *testing.T) {
			n := newTrial(t)
			n.silent, n.waits = true, waits
			points := 0
			n.at = func(where string) {
				t.Helper()
				depth := 1
				points++
				switch {
				case testing.Short() && points%3 > 0, waits && points%3 > 0:
					return
				case testing.Short() && points%10 > 0, points%8 > 0:
					depth = 0
				}
				n.examine(n.dir.Clone(), where, depth)
			}
			n.dir.After = func(c disktest.Call) {
				if interesting(c) {
					n.at("after " + c.String())
				}
			}
			n.dir.Store = func(name string) { n.at("before something is stored in " + name) }
			h.run(n)
			n.dir.Release()
			t.Logf("%d points", points)
		})
	}
}

var crashSeeds = flag.Uint64("crash.seeds", 15, "number of random histories with crashes and restarts")

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
			n.silent, n.waits = true, seed%2 > 0
			n.options.MaxDeliveries, n.options.FailedChannel = int(seed%4), "{channel}-failed"
			defer func() { n.dir.Release() }()
			rng := rand.New(rand.NewPCG(seed, 0x73746f72))
			n.at = func(where string) { // now and then
				t.Helper()
				if rng.IntN(60) == 0 {
					n.examine(n.dir.Clone(), where, rng.IntN(8)/7)
				}
			}
			n.dir.After = func(c disktest.Call) {
				if interesting(c) {
					n.at("after " + c.String())
				}
			}
			n.dir.Store = func(name string) { n.at("before something is stored in " + name) }
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
	n.t.Helper()
	channel := []string{"a", "b", "c"}[rng.IntN(3)]
	subscriber := []string{"", "s", "t"}[rng.IntN(3)]
	if rng.IntN(20) == 0 {
		channel += "-failed"
	}
	switch rng.IntN(44) {
	case 40, 41:
		if len(n.popped) > 0 {
			n.fail(rng.IntN(len(n.popped)), time.Duration(rng.IntN(2))*time.Hour)
		}
	case 42:
		if len(n.readers) > 0 {
			n.abandon(n.readers[rng.IntN(len(n.readers))], rng.IntN(3))
		}
	case 43:
		if rng.IntN(3) > 0 {
			n.release()
		} else {
			n.pause(channel, subscriber, rng.IntN(3) == 0)
		}
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
		switch rng.IntN(6) {
		case 0:
			n.clear(channel, subscriber)
		case 1:
			n.unsubscribe(channel, subscriber)
		default:
			n.tick()
		}
	case 19:
		n.randomTurn(rng, channel)
	case 20, 21, 22:
		var sizes []int
		for range 1 + rng.IntN(6) {
			sizes = append(sizes, 1+rng.IntN(60))
		}
		n.push(channel, true, sizes...)
	case 23:
		if rng.IntN(4) > 0 {
			return
		}
		n.push(channel, false, []int{0, 300_000, 700_000, 1_200_000}[rng.IntN(4)])
	default:
		size := rng.IntN(60)
		if rng.IntN(20) == 0 {
			size = 0
		}
		n.push(channel, false, size)
	}
}

// randomTurn is something that happens rarely.
func (n *trial) randomTurn(rng *rand.Rand, channel string) {
	n.t.Helper()
	configure := func() {
		n.options.RingInFile = rng.IntN(4) > 0
		n.options.Keep = rng.IntN(2) == 0
		n.options.ReserveAll = rng.IntN(4) == 0
	}
	switch rng.IntN(8) {
	case 0, 1:
		n.crash()
		n.start()
	case 2, 3:
		n.stop()
		configure()
		n.start()
	case 4:
		n.sizes[channel] = uint64(rng.IntN(300))
	case 5:
		n.remove(channel)
	case 6: // a node of the original has left something meanwhile
		n.crash()
		if q := n.of(channel); len(q) > 0 && q[0].exists == yes && q[0].renamed == "" {
			p := n.payload(rng.IntN(150))
			n.dir.Put(q[0].name+".rq", dumpOf(p, ""))
			q[0].items = append(q[0].items, &item{payload: p, pushed: yes}, &item{payload: "", pushed: yes})
		}
		n.start()
	}
}
