package storage

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// What a queue may not have is refused as if the disk were full, for all subscribers, and counted.
// When the queue has been consumed, records are taken again. Other channels have other bounds.
func TestQueueBytesAreBounded(t *testing.T) {
	t.Parallel()
	node := nodetest.StartWithHTTP(t, nodetest.Set("Server.channel_size_limit", "500"),
		nodetest.Set("Limits.queue_bytes", "2000"), nodetest.Set("QueueBytesById.free_", "0"))
	clients.SubscribeTo(t, node, "bound", "ahead", "behind")
	c := clients.Legacy(t, node)
	stored := []string{clients.Record(0, 892), clients.Record(1, 892)} // neither fits the ring
	for _, r := range stored {
		c.MustPush("bound", r)
	}
	clients.WantQueue(t, node, "bound", "ahead", stored...)
	wantRefused(t, node, "bound", 3)
	nodetest.WantMetrics(t, node, "after refused pushes", nodetest.Metrics{
		"dmqnode_refused_pushes_total{reason=queue}": 12, // 4 requests, 3 times
		"dmqnode_refused_pushes_total{reason=disk}":  0,
	})
	node.WaitLog(`request failed .*behind@bound.*\[Limits\] queue_bytes`)
	if status, text := nodetest.Page(t, node, "/readyz"); status != http.StatusOK {
		t.Errorf("/readyz: got status %d, %q, because of one queue", status, text)
	}
	c.MustPush("bound", clients.Record(2, 100)) // fits
	for number := range 10 {
		c.MustPush("free_", clients.Record(number, 1000))
	}
	clients.WantQueue(t, node, "bound", "behind", append(stored, clients.Record(2, 100))...)
	c.MustPush("bound", clients.Record(3, 1000))
}

// While a full disk refuses records, the node is not ready, and says why.
func TestANodeOnAFullDiskIsNotReady(t *testing.T) {
	t.Parallel()
	disk := newDisk(t, 8<<20)
	node := nodetest.StartWithHTTP(t, dataOn(disk), nodetest.Set("Server.channel_size_limit", "50000"))
	disk.fill(0)
	pushUntilFull(t, node, "full")
	nodetest.Eventually(t, "the node is not ready", func() bool {
		status, text := nodetest.Page(t, node, "/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(text, "is full")
	})
	if got, _ := nodetest.Scrape(t, node); got["dmqnode_refused_pushes_total{reason=disk}"] == 0 {
		t.Error("no refused push is counted")
	}
	disk.makeRoom()
	nodetest.Eventually(t, "the node is ready again", func() bool {
		status, _ := nodetest.Page(t, node, "/readyz")
		return status == http.StatusOK
	})
}

// Subscribers count like channels: a client that invents one after the other makes no more queues
// than there may be. Existing ones work on.
func TestSubscribersAreBounded(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Limits.channels", "3"))
	c, n := clients.Legacy(t, node), clients.Neo(t, node)
	c.MustPush("channel", "value")
	n.MustConsume("channel", "first").WantRecords("value") // the queue of the channel becomes its own
	n.MustConsume("channel", "second")
	n.MustConsume("channel", "third")
	n.WantReply(n.MustStart(neoclient.ConsumePayload("channel", "fourth")), clients.ConsumeError)
	legacy := clients.Legacy(t, node)
	legacy.MustSend(legacyclient.Request(legacyclient.Consume, "channel"))
	legacy.WantEOF()
	c.MustDo(legacyclient.Request(legacyclient.Push, "new", "value"), legacyclient.OutOfMemory)
	node.WaitLog(`request failed .*\[Limits\] channels`)
	n.MustConsume("channel", "second") // a further consumer of the same
	c.MustPush("channel", "again")
	c.MustRemove("channel")
	c.MustPush("new", "value")
}
