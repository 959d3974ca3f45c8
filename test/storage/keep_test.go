package storage

import (
	"os"
	"slices"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/datadir"
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
	node := nodetest.Prepare(t, nodetest.SmallRings)
	first, last := 0, 0
	for round, mode := range []stopMode{keepMode, keepMode, dumpMode, keepMode, dumpMode, dumpMode} {
		node.Configure(nodetest.Set("Storage.stop", mode.value))
		node.Restart()
		if round == 0 {
			clients.SubscribeTo(t, node, "subscribed", "", "a")
			clients.SubscribeTo(t, node, "empty", "x")
		}
		for _, channel := range []string{"plain", "subscribed"} {
			clients.ProduceTo(t, node, channel, last, last+40)
		}
		last += 40
		clients.WantFirst(t, node, "plain", clients.Numbered(first, first+25, 100)...)
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
	datadir.WantStopped(t, node.Path("data"), map[string][]string{
		"plain": clients.Numbered(first, last, 100), "@subscribed": clients.Numbered(0, last, 100), "a@subscribed": clients.Numbered(0, last, 100), "x@empty": nil,
	})
}

// Somebody puts the files of a D node beside those that a stop has kept: its records come behind
// the ones that are there, and once.
func TestDumpsBesideKeptFiles(t *testing.T) {
	eachEnding(t, func(t *testing.T, e ending) {
		node := nodetest.Start(t, nodetest.SmallRings, keepFiles)
		clients.SubscribeTo(t, node, "ch1", "sub1")
		for _, channel := range []string{"ch1", "ch2", "own"} {
			clients.ProduceTo(t, node, channel, 0, 30)
		}
		stopKeeping(t, node)
		nodetest.Must(t, os.CopyFS(node.Path("data"), os.DirFS(datadir.Fixtures+"/loadfiles")))
		nodetest.Must(t, os.WriteFile(node.Path("data/own.rq"), []byte(datadir.DumpOf(clients.Numbered(30, 60, 100)...)), 0o644))
		node.Configure(nodetest.Set("Storage.stop", "dump"), e.options)
		node.Restart()
		clients.ProduceTo(t, node, "own", 60, 90)
		e.end(t, node)
		node.Restart()
		clients.WantPops(t, node, "own", clients.Numbered(0, 90, 100)...)
		clients.WantPops(t, node, "ch2", slices.Concat(clients.Numbered(0, 30, 100), []string{"Hello ch2!", "Hello ch2!"})...)
		clients.WantQueue(t, node, "ch1", "sub1", slices.Concat(clients.Numbered(0, 30, 100), []string{"Hello ch1!", "Hello ch1!"})...)
		clients.WantQueue(t, node, "ch1", "sub2", "Hello ch1!", "Hello ch1!")
		clients.WantPops(t, node, "ch4", "Hello ch4!")
	})
}
