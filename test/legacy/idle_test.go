package legacy

import (
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// wantNoCPU requires that the node does nothing for a while. Tests that use it don't run
// in parallel, so that the machine is theirs.
func wantNoCPU(t *testing.T, node *nodetest.Node) {
	t.Helper()
	before := node.CPU()
	time.Sleep(2 * time.Second) // the time over which the use of the CPU is measured
	if used := node.CPU() - before; used > 40*time.Millisecond {
		t.Errorf("the node used %v of CPU in 2 s, want none", used)
	}
}

// A node that nobody asks for anything uses no CPU, however many wait.
func TestIdleNodeUsesNoCPU(t *testing.T) {
	nodetest.Slow(t)
	node := nodetest.Start(t)
	for range 100 {
		clients.Legacy(t, node).Alive()
	}
	consumers(t, node, "idle", 100)
	clients.Legacy(t, node).MustProduce("idle")
	wantNoCPU(t, node)
}

// Nor does it spin over clients that are stuck in any state.
func TestStuckClientsUseNoCPU(t *testing.T) {
	nodetest.Slow(t)
	node := nodetest.Start(t)
	manyRequests := make([]byte, 0, 4*200_000)
	for range 200_000 {
		manyRequests = legacyclient.AppendCommand(manyRequests, legacyclient.GetNumConnections)
	}
	stuck := []struct {
		state string
		make  func(c *clients.LegacyClient)
	}{
		{"half a command", func(c *clients.LegacyClient) { c.MustSend([]byte{1, 0}) }},
		{"half a value", func(c *clients.LegacyClient) {
			c.MustSend(legacyclient.Request(legacyclient.Push, "stuck", clients.Record(1, 100_000))[:50_000])
		}},
		{"half an oversize array", func(c *clients.LegacyClient) {
			c.MustSend(append(legacyclient.AppendLength([]byte{2, 0, 0, 0}, 1<<40), 1, 2, 3))
		}},
		{"refused, not closed", func(c *clients.LegacyClient) { c.MustSend([]byte{99, 0, 0, 0}); c.WantEOF() }},
		{"unread replies", func(c *clients.LegacyClient) { go c.Send(manyRequests) }},
		{"unread replies, half-closed", func(c *clients.LegacyClient) { c.MustSend(manyRequests[:100_000]); c.Must(c.CloseWrite()) }},
		{"requests behind a Consume", func(c *clients.LegacyClient) { c.MustConsume("stuck"); go c.Send(manyRequests) }},
		{"unread records", func(c *clients.LegacyClient) { c.MustConsume("unread") }},
		{"unread records, requests behind", func(c *clients.LegacyClient) { c.MustConsume("unread"); go c.Send(manyRequests) }},
		{"unread large values", func(c *clients.LegacyClient) {
			for range 20 {
				c.MustPush("pops", clients.Record(1, 1_000_000))
			}
			for range 20 {
				c.MustSend(legacyclient.Request(legacyclient.Pop, "pops"))
			}
			c.Must(c.CloseWrite())
		}},
	}
	for _, s := range stuck {
		s.make(clients.Legacy(t, node, clients.SmallWindow))
	}
	clients.Legacy(t, node).ProduceRecords("unread", 0, clients.BigCount, clients.BigRecord)
	clients.RoundTrips(t, node, "other", 100)
	time.Sleep(3 * time.Second) // longer than the node waits for clients to close
	wantNoCPU(t, node)
}
