package test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// What a queue may not have is refused as if the disk were full, for all subscribers, and counted.
// When the queue has been consumed, records are taken again. Other channels have other bounds.
func TestQueueBytesAreBounded(t *testing.T) {
	t.Parallel()
	node := startWithHTTP(t, nodetest.Set("Server.channel_size_limit", "500"),
		nodetest.Set("Limits.queue_bytes", "2000"), nodetest.Set("QueueBytesById.free_", "0"))
	subscribeTo(t, node, "bound", "ahead", "behind")
	c := dial(t, node)
	stored := []string{record(0, 892), record(1, 892)} // neither fits the ring
	for _, r := range stored {
		c.push("bound", r)
	}
	wantQueue(t, node, "bound", "ahead", stored...)
	wantRefused(t, node, "bound", 3)
	wantMetrics(t, node, "after refused pushes", metrics{
		"dmqnode_refused_pushes_total{reason=queue}": 12, // 4 requests, 3 times
		"dmqnode_refused_pushes_total{reason=disk}":  0,
	})
	node.WaitLog(`request failed .*behind@bound.*\[Limits\] queue_bytes`)
	if status, text := page(t, node, "/readyz"); status != http.StatusOK {
		t.Errorf("/readyz: got status %d, %q, because of one queue", status, text)
	}
	c.push("bound", record(2, 100)) // fits
	for number := range 10 {
		c.push("free_", record(number, 1000))
	}
	wantQueue(t, node, "bound", "behind", append(stored, record(2, 100))...)
	c.push("bound", record(3, 1000))
}

// While a full disk refuses records, the node is not ready, and says why.
func TestANodeOnAFullDiskIsNotReady(t *testing.T) {
	t.Parallel()
	disk := newDisk(t, 8<<20)
	node := startWithHTTP(t, dataOn(disk), nodetest.Set("Server.channel_size_limit", "50000"))
	disk.fill(0)
	pushUntilFull(t, node, "full")
	eventually(t, "the node is not ready", func() bool {
		status, text := page(t, node, "/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(text, "is full")
	})
	if got, _ := scrape(t, node); got["dmqnode_refused_pushes_total{reason=disk}"] == 0 {
		t.Error("no refused push is counted")
	}
	disk.makeRoom()
	eventually(t, "the node is ready again", func() bool {
		status, _ := page(t, node, "/readyz")
		return status == http.StatusOK
	})
}

// Subscribers count like channels: a client that invents one after the other makes no more queues
// than there may be. Existing ones work on.
func TestSubscribersAreBounded(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Limits.channels", "3"))
	c, n := dial(t, node), connect(t, node)
	c.push("channel", "value")
	n.consume("channel", "first").wantRecords("value") // the queue of the channel becomes its own
	n.consume("channel", "second")
	n.consume("channel", "third")
	n.wantReply(n.start(neoclient.ConsumePayload("channel", "fourth")), consumeError)
	legacy := dial(t, node)
	legacy.send(legacyclient.Request(legacyclient.Consume, "channel"))
	legacy.wantEOF()
	c.do(legacyclient.Request(legacyclient.Push, "new", "value"), legacyclient.OutOfMemory)
	node.WaitLog(`request failed .*\[Limits\] channels`)
	n.consume("channel", "second") // a further consumer of the same
	c.push("channel", "again")
	c.remove("channel")
	c.push("new", "value")
}
