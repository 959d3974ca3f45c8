package budget

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// Requests that are all but finished, on many connections, take no more memory together than
// they may. Small requests are served meanwhile, and a large one gets its turn. When those who
// do not finish are gone, their memory is, too.
func TestUnfinishedRequestsShareBoundedMemory(t *testing.T) {
	t.Parallel()
	const hostile, size, most = 60, 5 << 20, 16 << 20
	node := nodetest.Start(t,
		nodetest.Set("EventLoop.count", "3"),
		nodetest.Set("Limits.input_memory", "16777216"),
		nodetest.Set("Limits.request_timeout_ms", "500"))
	clients.RoundTrips(t, node, "warm", 100)
	before, anonymous := node.ResetPeakRSS(), node.AnonymousRSS()

	request := legacyclient.Request(legacyclient.Push, "unfinished", strings.Repeat("x", size))
	var sending sync.WaitGroup
	var unfinished []io.Closer
	for range hostile {
		c, err := legacyclient.Dial(node.Legacy())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		unfinished = append(unfinished, c)
		sending.Go(func() {
			c.SetWriteDeadline(time.Now().Add(nodetest.Patience))
			c.Write(request[:len(request)-1]) // the node may close the connection before
		})
	}
	clients.RoundTrips(t, node, "small", 100)
	large := clients.Legacy(t, node)
	large.MustPush("large", strings.Repeat("y", size))
	nodetest.WantGrowth(t, node, before, most+2*size+32<<20) // one more request, the record in the ring, and what else there is
	node.WaitLog(`connections with unfinished requests closed, others wait for \[Limits\] input_memory`)
	sending.Wait()
	large.MustPush("large", strings.Repeat("y", size))

	for _, c := range unfinished { // some may still have, within the limit, what they have sent
		c.Close()
	}
	wantGivenBack(t, node, anonymous, 20<<20) // free buffers of three loops, and what there is of the heap
}

// Output that nobody reads is bounded for all connections together, too.
func TestUnreadOutputSharesBoundedMemory(t *testing.T) {
	t.Parallel()
	const connections, requests = 100, 300_000
	node := nodetest.Start(t,
		nodetest.Set("Limits.output_memory", "1048576"),
		nodetest.Set("Limits.output_buffer", "1048576"),
		nodetest.Set("Limits.input_memory", "33554432"))
	clients.RoundTrips(t, node, "warm", 100)
	before, anonymous := node.ResetPeakRSS(), node.AnonymousRSS()
	pipelined := []byte(strings.Repeat(string(legacyclient.Request(legacyclient.GetNumConnections)), requests))
	var sending sync.WaitGroup
	var unread []io.Closer
	for range connections {
		c, err := legacyclient.Dial(node.Legacy(), clients.SmallWindow)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		unread = append(unread, c)
		sending.Go(func() {
			c.SetWriteDeadline(time.Now().Add(time.Second)) // most can't be sent
			c.Write(pipelined)
		})
	}
	sending.Wait()
	clients.RoundTrips(t, node, "other", 100)
	// 64 KiB each, the two budgets, and what else there is.
	nodetest.WantGrowth(t, node, before, connections*64<<10+1<<20+32<<20+16<<20)

	for _, c := range unread {
		c.Close()
	}
	wantGivenBack(t, node, anonymous, 12<<20)
}

// Batches of records in spill files, which one client gets from many channels and does not confirm,
// stay where they lie.
func TestUnconfirmedSpilledRecordsCostNoMemory(t *testing.T) {
	t.Parallel()
	const channels, size = 200, 150_000
	node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "1000"), nodetest.Set("Limits.unconfirmed", "100000000"), nodetest.Set("Storage.stop", "keep"))
	producer := clients.Legacy(t, node)
	for number := range channels {
		producer.MustPush(fmt.Sprint("channel", number), clients.Record(number, size))
	}
	clients.RoundTrips(t, node, "other", 100)
	anonymous := node.AnonymousRSS()
	c := clients.Neo(t, node)
	for number := range channels {
		c.MustConsume(fmt.Sprint("channel", number), "").Batch()
	}
	c.MustPush("value", "other")
	wantGivenBack(t, node, anonymous, 8<<20)
	c.Must(c.Close())
	consumer := clients.Neo(t, node)
	consumer.MustConsume("channel0", "").WantBatch(clients.Record(0, size))
}

// What many requests that wait have cost is given back when their clients have gone, though the
// node has nothing to do then.
func TestRequestsInFlightLeaveNoMemoryBehind(t *testing.T) {
	t.Parallel()
	nodetest.Slow(t)
	const connections, requests = 40, 4990
	node := nodetest.Start(t)
	clients.RoundTrips(t, node, "warm", 100)
	anonymous := node.AnonymousRSS()
	var waiting []*clients.NeoClient
	for range connections {
		var frames []byte
		for id := range uint64(requests) {
			frames = append(frames, neoclient.RequestFrame(1+id, neoclient.Ours(138, "waited", "", 1<<40))...)
		}
		c := clients.Neo(t, node)
		c.MustWrite(frames)
		for range requests {
			_, err := c.Read() // that it is supported
			c.Must(err)
		}
		waiting = append(waiting, c)
	}
	for _, c := range waiting {
		c.Must(c.Close())
	}
	wantGivenBack(t, node, anonymous, 32<<20) // of about 90
}

// wantGivenBack waits until the node has no more memory of its own than before and something.
func wantGivenBack(t *testing.T, node *nodetest.Node, before, more int64) {
	t.Helper()
	if nodetest.RaceEnabled {
		more *= 8 // the race detector's shadow memory
	}
	nodetest.Eventually(t, "the memory is given back", func() bool { return node.AnonymousRSS() < before+more })
}
