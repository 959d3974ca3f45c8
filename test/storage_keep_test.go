package test

import (
	"os"
	"slices"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// stopMode is [Storage] stop, and how a node that has it is ended in order.
type stopMode struct {
	value string
	stop  func(*testing.T, *nodetest.Node)
}

var (
	keepMode = stopMode{"keep", stopKeeping}
	dumpMode = stopMode{"dump", stopInOrder}
)

// [Storage] stop is another one at each start: everything stays in order, who subscribed stays
// subscribed, and a kill after such a stop changes nothing.
func TestKeepAndDumpTakeTurns(t *testing.T) {
	t.Parallel()
	node := nodetest.Prepare(t, smallRings)
	first, last := 0, 0
	for round, mode := range []stopMode{keepMode, keepMode, dumpMode, keepMode, dumpMode, dumpMode} {
		node.Configure(nodetest.Set("Storage.stop", mode.value))
		node.Restart()
		if round == 0 {
			subscribeTo(t, node, "subscribed", "", "a")
			subscribeTo(t, node, "empty", "x")
		}
		for _, channel := range []string{"plain", "subscribed"} {
			produceTo(t, node, channel, last, last+40)
		}
		last += 40
		wantFirst(t, node, "plain", numbered(first, first+25, 100)...)
		first += 25
		mode.stop(t, node)
		node.Restart()
		if round%2 == 0 {
			node.Kill()
		} else {
			mode.stop(t, node)
		}
	}
	node.Restart()
	stopInOrder(t, node)
	wantStopped(t, node.Path("data"), map[string][]string{
		"plain": numbered(first, last, 100), "@subscribed": numbered(0, last, 100), "a@subscribed": numbered(0, last, 100), "x@empty": nil,
	})
}

// Somebody puts the files of a D node beside those that a stop has kept: its records come behind
// the ones that are there, and once.
func TestDumpsBesideKeptFiles(t *testing.T) {
	eachEnding(t, func(t *testing.T, e ending) {
		node := nodetest.Start(t, smallRings, keepFiles)
		subscribeTo(t, node, "ch1", "sub1")
		for _, channel := range []string{"ch1", "ch2", "own"} {
			produceTo(t, node, channel, 0, 30)
		}
		stopKeeping(t, node)
		must(t, os.CopyFS(node.Path("data"), os.DirFS(fixtures+"/loadfiles")))
		must(t, os.WriteFile(node.Path("data/own.rq"), []byte(dumpOf(numbered(30, 60, 100)...)), 0o644))
		node.Configure(nodetest.Set("Storage.stop", "dump"), e.options)
		node.Restart()
		produceTo(t, node, "own", 60, 90)
		e.end(t, node)
		node.Restart()
		wantPops(t, node, "own", numbered(0, 90, 100)...)
		wantPops(t, node, "ch2", slices.Concat(numbered(0, 30, 100), []string{"Hello ch2!", "Hello ch2!"})...)
		wantQueue(t, node, "ch1", "sub1", slices.Concat(numbered(0, 30, 100), []string{"Hello ch1!", "Hello ch1!"})...)
		wantQueue(t, node, "ch1", "sub2", "Hello ch1!", "Hello ch1!")
		wantPops(t, node, "ch4", "Hello ch4!")
	})
}
