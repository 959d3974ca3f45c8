package budget

import (
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
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
	kept := int64(20 << 20) // free buffers of three loops, and what there is of the heap
	if nodetest.RaceEnabled {
		kept *= 8
	}
	nodetest.Eventually(t, "the memory is given back", func() bool { return node.AnonymousRSS() < anonymous+kept })
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
	before := node.ResetPeakRSS()
	pipelined := []byte(strings.Repeat(string(legacyclient.Request(legacyclient.GetNumConnections)), requests))
	var sending sync.WaitGroup
	for range connections {
		c, err := legacyclient.Dial(node.Legacy(), clients.SmallWindow)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		sending.Go(func() {
			c.SetWriteDeadline(time.Now().Add(time.Second)) // most can't be sent
			c.Write(pipelined)
		})
	}
	sending.Wait()
	clients.RoundTrips(t, node, "other", 100)
	// 64 KiB each, the two budgets, and what else there is.
	nodetest.WantGrowth(t, node, before, connections*64<<10+1<<20+32<<20+16<<20)
}
