package storage

import (
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/datadir"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// A client that suspends its Consume keeps a batch that lies in the overflow. Others of its
// subscriber go on, and the overflow does not grow for that; the batch comes again.
func TestSuspendedConsumerDoesNotHoldTheOverflow(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "300000"))
	const first, more, rounds = 10_000, 25_000, 4
	clients.ProduceTo(t, node, "ch", 0, first)
	suspended := clients.Neo(t, node).MustConsume("ch", "a")
	taken := 0
	for taken < 4000 { // the ring holds fewer
		taken += len(suspended.Batch())
		suspended.Send(neoclient.Continue)
	}
	held := suspended.Batch()
	other := clients.Neo(t, node).MustConsume("ch", "a")
	other.WantRecords(clients.Numbered(taken+len(held), first, 100)...)
	for round := range rounds {
		from := first + round*more
		clients.ProduceTo(t, node, "ch", from, from+more)
		other.WantRecords(clients.Numbered(from, from+more, 100)...)
	}
	other.Stop()
	const most = 3 << 20 // the spill file that the batch is in, and some that are kept ready
	nodetest.Eventually(t, "disk space of the overflow is given back", func() bool {
		return datadir.DiskSpace(t, node.Path("data"), "spill-*") < most
	})
	node.Kill()
	node.Restart()
	clients.WantQueue(t, node, "ch", "a", held...)
}
