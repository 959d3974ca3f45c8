package test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// A D node that is killed after RemoveChannel has the channel again, because nothing in its
// files tells of the removal (storage spec §3.12 case 7). This node's files do, before the client is told:
// that the channel is gone holds from the reply on, whoever had subscribed and whatever the
// overflow index says. One of the subscribers has a batch that it does not confirm.
func TestKillAfterRemoveChannel(t *testing.T) {
	for _, subscribers := range [][]string{nil, {"", "a", "b"}} {
		for _, indexed := range []bool{false, true} {
			for _, again := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d subscribers, indexed=%t, again=%t", len(subscribers), indexed, again), func(t *testing.T) {
					t.Parallel()
					r := newRemoval(t, subscribers, indexed)
					r.remove()
					if again {
						r.pushAgain()
					}
					r.kill()
					r.node.Restart()
					r.verify()
				})
			}
		}
	}
}

// removal is a channel "removed", with records in ring and overflow, between whose records in
// the overflow lie those of two other channels.
type removal struct {
	t           *testing.T
	node        *nodetest.Node
	subscribers []string
	index       string   // with the channel in it, if that was wanted
	again       []string // records that were pushed after the removal
}

const removedIndex = "data/ofchannels.csv"

func newRemoval(t *testing.T, subscribers []string, indexed bool) *removal {
	t.Helper()
	options := []nodetest.Option{smallRings}
	if indexed {
		options = append(options, nodetest.Set("Overflow.write_index_ms", "10"))
	}
	r := &removal{t: t, node: nodetest.Start(t, options...), subscribers: subscribers}
	subscribeTo(t, r.node, "removed", subscribers...)
	subscribeTo(t, r.node, "others", "s")
	for first := 0; first < 60; first += 20 {
		for _, channel := range []string{"plain", "removed", "others"} {
			produceTo(t, r.node, channel, first, first+20)
		}
	}
	if len(subscribers) > 0 {
		connect(t, r.node).consume("removed", "a").batch()
	}
	if indexed {
		r.awaitIndex()
	}
	return r
}

// awaitIndex waits for an index that lists all that is in the overflow.
func (r *removal) awaitIndex() {
	r.t.Helper()
	storages := []string{"plain", "s@others", "removed"}
	if len(r.subscribers) > 0 {
		storages = storages[:2]
		for _, s := range r.subscribers {
			storages = append(storages, s+"@removed")
		}
	}
	eventually(r.t, "an index with 51 records of each storage", func() bool {
		index, err := os.ReadFile(r.node.Path(removedIndex))
		r.index = "\n" + string(index)
		for _, s := range storages {
			if !strings.Contains(r.index, "\n"+s+" 51 5100 ") {
				return false
			}
		}
		return err == nil
	})
	r.index = r.index[1:]
}

func (r *removal) remove() {
	r.t.Helper()
	c := dial(r.t, r.node)
	c.remove("removed")
	c.must(c.Close())
}

// pushAgain makes a channel of the same name, which also overflows.
func (r *removal) pushAgain() {
	r.t.Helper()
	produceTo(r.t, r.node, "removed", 100, 130)
	r.again = numbered(100, 130, 100)
}

// kill ends the node. If there was an index with the channel, that is still the last one.
func (r *removal) kill() {
	r.t.Helper()
	r.node.Kill()
	if want, got := r.rings(), len(ringFiles(r.t, r.node.Path("data"))); got != want {
		r.t.Errorf("there are %d ring files after the removal, want %d", got, want)
	}
	if r.index != "" {
		must(r.t, os.WriteFile(r.node.Path(removedIndex), []byte(r.index), 0o644))
	}
}

// rings is how many storages there are now.
func (r *removal) rings() int {
	if r.again != nil {
		return 3
	}
	return 2
}

// verify requires that there are no records but those that were pushed after the removal, and
// all of the other channels. Then it stops the node, which must leave nothing of the channel
// but what it has.
func (r *removal) verify() {
	t, node := r.t, r.node
	t.Helper()
	if want, got := r.rings(), len(ringFiles(t, node.Path("data"))); got != want {
		t.Errorf("there are %d ring files after the restart, want %d", got, want)
	}
	if r.again == nil {
		c := dial(t, node)
		c.do(legacyclient.Request(legacyclient.Pop, "removed"), legacyclient.Error) // no such channel
		c.must(c.Close())
	}
	stopInOrder(t, node)
	want := map[string][]string{"plain": numbered(0, 60, 100), "s@others": numbered(0, 60, 100)}
	if r.again != nil {
		want["removed"] = r.again
	}
	wantStopped(t, node.Path("data"), want)
	node.Restart()
	wantQueue(t, node, "removed", "new", r.again...)
	wantPops(t, node, "plain", want["plain"]...)
	wantQueue(t, node, "others", "s", want["s@others"]...)
	if log := node.Log(); strings.Contains(log, " Error ") || strings.Contains(log, "out of date") {
		t.Errorf("root.log tells of faults:\n%s", log)
	}
}
