package storage

import (
	"bytes"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
)

// A node is killed after a removal, and another one puts the records of a new channel where
// the last index has those of the removed one, or gives them its id. Whoever has only the
// index then, because storages.dat is lost or the original takes over, must not find them
// under the name of the removed channel.
func TestAnIndexLeadsToNoForeignRecords(t *testing.T) {
	for _, c := range []struct {
		name   string
		fill   []string // channels, in the order in which records are pushed to them
		killed string   // the call before which the node is killed in the removal; "" = after it
	}{
		{"stored in the place of the removed ones", []string{"kept", "removed"}, ""},
		{"stored with the id of the removed ones", []string{"kept", "removed", "kept"}, ""},
		{"the overflow has just been emptied", []string{"removed"}, "truncate ofchannels.csv"},
		{"the overflow was about to be emptied", []string{"removed"}, "truncate overflow.dat"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newTrial(t)
			n.start()
			for _, channel := range c.fill {
				n.push(channel, false, 200, 200)
			}
			n.tick()
			foreign := n.owners()
			var killed *disktest.Dir
			n.dir.Before = func(call disktest.Call) error {
				if c.killed == call.Op+" "+call.Name {
					killed = n.dir.Clone()
				}
				return nil
			}
			n.remove("removed")
			n.dir.Before = nil
			n.crash()
			if c.killed != "" {
				n.dir.Release()
				n.dir = killed
			}
			n.start()
			n.push("new", false, 200, 200)
			if c.fill[0] == "kept" {
				n.push("kept", false, 200)
			}
			owners := n.owners()
			for payload, channel := range foreign {
				owners[payload] = channel
			}
			n.crash()
			n.dir.Remove("storages.dat")
			cs, err := n.load(n.dir)
			if err != nil {
				t.Fatal(err)
			}
			found := make(map[string]bool)
			for name, payloads := range contents(n, cs) {
				for _, p := range payloads {
					if found[p] = true; owners[p] != name {
						t.Errorf("%s has %.8q of %s", name, p, owners[p])
					}
				}
			}
			aside, _ := n.dir.Content("overflow-aside-1.dat")
			for payload, channel := range owners {
				if channel != "removed" && !found[payload] && !bytes.Contains(aside, []byte(payload)) {
					t.Errorf("%.8q of %s is neither in a queue nor set aside", payload, channel)
				}
			}
			n.dir.Release()
		})
	}
}

// owners returns the storage of each record.
func (n *trial) owners() map[string]string {
	owners := make(map[string]string)
	for _, q := range n.queues {
		for _, i := range q.items {
			owners[i.payload] = q.name
		}
	}
	return owners
}
