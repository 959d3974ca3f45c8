package test

import (
	"testing"
	"time"

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
	slow(t)
	node := nodetest.Start(t)
	for range 100 {
		dial(t, node).alive()
	}
	consumers(t, node, "idle", 100)
	dial(t, node).produce("idle")
	wantNoCPU(t, node)
}

// Nor does it spin over clients that are stuck in any state.
func TestStuckClientsUseNoCPU(t *testing.T) {
	slow(t)
	node := nodetest.Start(t)
	manyRequests := make([]byte, 0, 4*200_000)
	for range 200_000 {
		manyRequests = legacyclient.AppendCommand(manyRequests, legacyclient.GetNumConnections)
	}
	stuck := []struct {
		state string
		make  func(c *client)
	}{
		{"half a command", func(c *client) { c.send([]byte{1, 0}) }},
		{"half a value", func(c *client) { c.send(legacyclient.Request(legacyclient.Push, "stuck", record(1, 100_000))[:50_000]) }},
		{"half an oversize array", func(c *client) { c.send(append(legacyclient.AppendLength([]byte{2, 0, 0, 0}, 1<<40), 1, 2, 3)) }},
		{"refused, not closed", func(c *client) { c.send([]byte{99, 0, 0, 0}); c.wantEOF() }},
		{"unread replies", func(c *client) { go c.Send(manyRequests) }},
		{"unread replies, half-closed", func(c *client) { c.send(manyRequests[:100_000]); c.must(c.CloseWrite()) }},
		{"requests behind a Consume", func(c *client) { c.consume("stuck"); go c.Send(manyRequests) }},
		{"unread records", func(c *client) { c.consume("unread") }},
		{"unread records, requests behind", func(c *client) { c.consume("unread"); go c.Send(manyRequests) }},
		{"unread large values", func(c *client) {
			for range 20 {
				c.push("pops", record(1, 1_000_000))
			}
			for range 20 {
				c.send(legacyclient.Request(legacyclient.Pop, "pops"))
			}
			c.must(c.CloseWrite())
		}},
	}
	for _, s := range stuck {
		s.make(dial(t, node, smallWindow))
	}
	dial(t, node).produceRecords("unread", 0, bigCount, bigRecord)
	roundTrips(t, node, "other", 100)
	time.Sleep(3 * time.Second) // longer than the node waits for clients to close
	wantNoCPU(t, node)
}
