package neo

import (
	"syscall"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// The end of the node is the end of the stream for every connection, in whatever state, and
// no reset (neo protocol spec §7.6). A message that was begun arrives whole.
func TestNeoShutdownEndsEveryConnection(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	silent, begun := clients.DialNeo(t, node), clients.DialNeo(t, node)
	_, err := begun.Introduce(clients.TestLogin().Time)
	begun.Must(err)
	idle, consumer, busy, half, reader := clients.Neo(t, node), clients.Neo(t, node), clients.Neo(t, node), clients.Neo(t, node), clients.Neo(t, node, clients.SmallWindow)
	consumer.MustConsume("idle", "").Client.Alive()
	idle.MustPush("value", "busy")
	busy.MustConsume("busy", "").WantBatch("value")
	half.Alive()
	half.MustWrite(neoclient.RequestFrame(9, neoclient.PushPayload(make([]byte, 1000), "half"))[:500])
	idle.MustPush(clients.Record(1, 300_000), "unread")
	unread := reader.MustConsume("unread", "")
	idle.Alive()

	if status := node.Stop(); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
	for name, c := range map[string]*clients.NeoClient{
		"silent": silent, "in the handshake": begun, "idle": idle, "consumer": consumer, "busy consumer": busy, "inside a frame": half,
	} {
		if err := c.ExpectClose(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	unread.WantBatch(clients.Record(1, 300_000))
	reader.WantClose()
}

// What was not confirmed when the node ended is there when it is back, in front of the
// rest (Q23), and so is every subscription, also one without records (Q25).
func TestNeoRestart(t *testing.T) {
	for _, way := range []struct {
		name string
		end  func(t *testing.T, node *nodetest.Node)
	}{
		{"SIGTERM", func(t *testing.T, node *nodetest.Node) {
			if status := node.Stop(); status != 0 {
				t.Errorf("got exit status %d, want 0", status)
			}
		}},
		{"SIGKILL", func(_ *testing.T, node *nodetest.Node) { node.Kill() }},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t)
			producer, c := clients.Legacy(t, node), clients.Neo(t, node)
			for _, name := range []string{"one", "", "two"} {
				c.MustConsume("restart", name).Stop()
			}
			c.MustConsume("empty", "subscriber").Stop()
			producer.ProduceRecords("restart", 0, 300, 1000)
			producer.ProduceRecords("plain", 0, 10, 1000)
			one, two := c.MustConsume("restart", "one"), c.MustConsume("restart", "two")
			one.WantBatch(clients.Numbered(0, 100, 1000)...)
			one.Send(neoclient.Continue)
			one.WantBatch(clients.Numbered(100, 200, 1000)...)
			two.WantBatch(clients.Numbered(0, 100, 1000)...)
			two.Stop()
			c.WantPop("plain", clients.Record(0, 1000))
			c.Alive() // the node knows that the reply is sent

			way.end(t, node)
			node.Restart()
			c = clients.Neo(t, node)
			c.WantPopStatus("restart", clients.PopSubscribed)
			c.MustConsume("restart", "one").WantRecords(clients.Numbered(100, 300, 1000)...)
			c.MustConsume("restart", "").WantRecords(clients.Numbered(0, 300, 1000)...)
			c.MustConsume("restart", "two").WantRecords(clients.Numbered(100, 300, 1000)...)
			c.MustConsume("restart", "three")
			c.WantPop("plain", clients.Record(1, 1000))
			c.WantPopStatus("empty", clients.PopSubscribed)
			k := c.MustConsume("empty", "other")
			c.MustPush("value", "empty")
			k.WantRecords("value")
			c.MustConsume("empty", "subscriber").WantRecords("value")
			c.WantNothing()
		})
	}
}

// A client that reads nothing does not hold up the shutdown, nor take records with it.
func TestNeoShutdownWithBlockedClients(t *testing.T) {
	t.Parallel()
	const size = 16 << 20
	node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "40000000"))
	producer := clients.Neo(t, node)
	producer.MustPush(clients.Record(1, size), "blocked")
	producer.MustPush(clients.Record(2, size), "popped")
	blocked, popping := clients.Neo(t, node, clients.SmallWindow), clients.Neo(t, node, clients.SmallWindow)
	blocked.MustConsume("blocked", "")
	popping.Must(popping.Send(5, neoclient.PopPayload("popped")))
	popping.Must(popping.Supported(5))
	node.Signal(syscall.SIGTERM)
	if status := node.Wait(); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
	node.Restart()
	c := clients.Neo(t, node)
	c.MustConsume("blocked", "").WantRecords(clients.Record(1, size))
	c.WantPop("popped", clients.Record(2, size))
	c.WantNothing()
}

// Of many consumers that share a queue every other one has confirmed its batch when the node
// is killed. What they confirmed does not come back, also not from the overflow.
func TestNeoKillBetweenConfirmedBatches(t *testing.T) {
	for _, ring := range []string{"1000000", "0"} {
		t.Run("channel_size_limit="+ring, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t, nodetest.Set("ChannelSizeById.between", ring))
			producer, c := clients.Neo(t, node), clients.Neo(t, node)
			const consumers = 300
			var all []*clients.NeoConsumer
			for i := range consumers {
				k := c.MustConsume("between", "")
				producer.MustPush(clients.Record(i, 100), "between")
				k.WantBatch(clients.Record(i, 100))
				all = append(all, k)
			}
			var kept []string
			for i, k := range all {
				if i%2 == 0 {
					kept = append(kept, clients.Record(i, 100))
				} else {
					k.Send(neoclient.Continue)
				}
			}
			c.Alive()
			node.Kill()
			node.Restart()
			next := clients.Neo(t, node).MustConsume("between", "")
			next.WantRecords(kept...)
			next.Client.WantNothing()
		})
	}
}

// A kill leaves records in the ring and, in the overflow, a batch that was given back and one
// behind it that was delivered. A start with a larger ring keeps the order.
func TestNeoKillWithAGapBeforeTheRingIsResized(t *testing.T) {
	t.Parallel()
	const size = 10_000 // ten records make a batch, and five fit the ring
	node := nodetest.Start(t, nodetest.Set("ChannelSizeById.resized", "51000"))
	producer, holder, other, third := clients.Neo(t, node), clients.Neo(t, node), clients.Neo(t, node), clients.Neo(t, node)
	for i := range 40 {
		producer.MustPush(clients.Record(i, size), "resized")
	}
	inRing := holder.MustConsume("resized", "").Batch()
	inOverflow := other.MustConsume("resized", "").Batch()
	k := third.MustConsume("resized", "")
	confirmed := k.Batch()
	k.Send(neoclient.Continue)
	next := k.Batch()
	node.Kill()
	node.Configure(nodetest.Set("ChannelSizeById.resized", "200000"))
	node.Restart()
	want := append(append(inRing, inOverflow...), next...)
	want = append(want, clients.Numbered(len(want)+len(confirmed), 40, size)...)
	k = clients.Neo(t, node).MustConsume("resized", "")
	k.WantRecords(want...)
	k.Client.WantNothing()
}
