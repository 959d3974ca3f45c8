package storage

import (
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
)

// histories are what nodes do in the crash and fault tests. Rings hold 100 bytes.
var histories = []struct {
	name string
	run  func(n *trial)
}{
	{"channels fill their rings and overflow, and are drained", func(n *trial) {
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
	{"the head of the overflow is cut off", func(n *trial) {
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
			n.next(two, 30) // from the overflow
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
}

// interesting reports whether a kill after this call may leave something else than one
// before it.
func interesting(c disktest.Call) bool {
	switch c.Op {
	case "read", "size", "stat", "list", "open", "close", "map":
		return false
	}
	return true
}

func TestAKillAfterAnyOperationLosesAndRepeatsNothing(t *testing.T) {
	for _, h := range histories {
		t.Run(h.name, func(t *testing.T) {
			n := newTrial(t)
			n.silent = true
			points := 0
			n.at = func(where string) {
				depth := 1
				points++
				switch {
				case testing.Short() && points%3 > 0:
					return
				case testing.Short() && points%10 > 0:
					depth = 0
				}
				n.examine(n.dir.Clone(), where, depth)
			}
			n.dir.Before = func(c disktest.Call) error {
				if c.Op == "rename" || c.Op == "remove" { // something was stored since the call before
					n.at("before " + c.String())
				}
				return nil
			}
			n.dir.After = func(c disktest.Call) {
				if interesting(c) {
					n.at("after " + c.String())
				}
			}
			h.run(n)
			n.dir.Release()
			t.Logf("%d points", points)
		})
	}
}
