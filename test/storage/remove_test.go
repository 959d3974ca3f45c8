package storage

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/datadir"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// A D node that is killed after RemoveChannel has the channel again, because nothing in its
// files tells of the removal (storage spec §3.12 case 7). This node's files do, before the client is told:
// that the channel is gone holds from the reply on, whoever had subscribed. One of the
// subscribers has a batch that it does not confirm.
func TestKillAfterRemoveChannel(t *testing.T) {
	for _, subscribers := range [][]string{nil, {"", "a", "b"}} {
		for _, again := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d subscribers, again=%t", len(subscribers), again), func(t *testing.T) {
				t.Parallel()
				r := newRemoval(t, subscribers)
				r.remove()
				if again {
					r.pushAgain()
				}
				r.node.Kill()
				r.node.Restart()
				r.verify()
			})
		}
	}
}

// removal is a channel "removed", with records in ring and overflow, beside two others.
type removal struct {
	t     *testing.T
	node  *nodetest.Node
	again []string // records that were pushed after the removal
}

func newRemoval(t *testing.T, subscribers []string) *removal {
	t.Helper()
	r := &removal{t: t, node: nodetest.Start(t, nodetest.SmallRings)}
	clients.SubscribeTo(t, r.node, "removed", subscribers...)
	clients.SubscribeTo(t, r.node, "others", "s")
	for first := 0; first < 60; first += 20 {
		for _, channel := range []string{"plain", "removed", "others"} {
			clients.ProduceTo(t, r.node, channel, first, first+20)
		}
	}
	if len(subscribers) > 0 {
		clients.Neo(t, r.node).MustConsume("removed", "a").Batch()
	}
	return r
}

func (r *removal) remove() {
	r.t.Helper()
	c := clients.Legacy(r.t, r.node)
	c.MustRemove("removed")
	c.Must(c.Close())
}

// pushAgain makes a channel of the same name, which also overflows.
func (r *removal) pushAgain() {
	r.t.Helper()
	clients.ProduceTo(r.t, r.node, "removed", 100, 130)
	r.again = clients.Numbered(100, 130, 100)
}

// verify requires that there are no records but those that were pushed after the removal, and
// all of the other channels. Then it stops the node, which must leave nothing of the channel
// but what it has.
func (r *removal) verify() {
	t, node := r.t, r.node
	t.Helper()
	if files := filesOfChannel(t, node, "removed"); (len(files) > 0) != (r.again != nil) {
		t.Errorf("files of the channel after the restart: %v; is there to be any: %t", files, r.again != nil)
	}
	if r.again == nil {
		c := clients.Legacy(t, node)
		c.MustDo(legacyclient.Request(legacyclient.Pop, "removed"), legacyclient.Error) // no such channel
		c.Must(c.Close())
	}
	stopInOrder(t, node)
	want := map[string][]string{"plain": clients.Numbered(0, 60, 100), "s@others": clients.Numbered(0, 60, 100)}
	if r.again != nil {
		want["removed"] = r.again
	}
	datadir.WantStopped(t, node.Path("data"), want)
	node.Restart()
	clients.WantQueue(t, node, "removed", "new", r.again...)
	clients.WantPops(t, node, "plain", want["plain"]...)
	clients.WantQueue(t, node, "others", "s", want["s@others"]...)
	if log := node.Log(); strings.Contains(log, " Error ") || strings.Contains(log, "out of date") {
		t.Errorf("root.log tells of faults:\n%s", log)
	}
}
