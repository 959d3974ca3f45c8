package test

import (
	"syscall"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// The end of the node is the end of the stream for every connection, in whatever state, and
// no reset (neo protocol spec §7.6). A message that was begun arrives whole.
func TestNeoShutdownEndsEveryConnection(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	silent, begun := dialNeo(t, node), dialNeo(t, node)
	_, err := begun.Introduce(testLogin().Time)
	begun.must(err)
	idle, consumer, busy, half, reader := connect(t, node), connect(t, node), connect(t, node), connect(t, node), connect(t, node, smallWindow)
	consumer.consume("idle", "").c.alive()
	idle.push("value", "busy")
	busy.consume("busy", "").wantBatch("value")
	half.alive()
	half.write(neoclient.RequestFrame(9, neoclient.PushPayload(make([]byte, 1000), "half"))[:500])
	idle.push(record(1, 300_000), "unread")
	unread := reader.consume("unread", "")
	idle.alive()

	if status := node.Stop(); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
	for name, c := range map[string]*neo{
		"silent": silent, "in the handshake": begun, "idle": idle, "consumer": consumer, "busy consumer": busy, "inside a frame": half,
	} {
		if err := c.ExpectClose(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	unread.wantBatch(record(1, 300_000))
	reader.wantClose()
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
			producer, c := dial(t, node), connect(t, node)
			for _, name := range []string{"one", "", "two"} {
				c.consume("restart", name).stop()
			}
			c.consume("empty", "subscriber").stop()
			producer.produceRecords("restart", 0, 300, 1000)
			producer.produceRecords("plain", 0, 10, 1000)
			one, two := c.consume("restart", "one"), c.consume("restart", "two")
			one.wantBatch(numbered(0, 100, 1000)...)
			one.send(neoclient.Continue)
			one.wantBatch(numbered(100, 200, 1000)...)
			two.wantBatch(numbered(0, 100, 1000)...)
			two.stop()
			c.wantPop("plain", record(0, 1000))
			c.alive() // the node knows that the reply is sent

			way.end(t, node)
			node.Restart()
			c = connect(t, node)
			c.wantPopStatus("restart", popSubscribed)
			c.consume("restart", "one").wantRecords(numbered(100, 300, 1000)...)
			c.consume("restart", "").wantRecords(numbered(0, 300, 1000)...)
			c.consume("restart", "two").wantRecords(numbered(100, 300, 1000)...)
			c.consume("restart", "three")
			c.wantPop("plain", record(1, 1000))
			c.wantPopStatus("empty", popSubscribed)
			k := c.consume("empty", "other")
			c.push("value", "empty")
			k.wantRecords("value")
			c.consume("empty", "subscriber").wantRecords("value")
			c.wantNothing()
		})
	}
}

// A client that reads nothing does not hold up the shutdown, nor take records with it.
func TestNeoShutdownWithBlockedClients(t *testing.T) {
	t.Parallel()
	const size = 16 << 20
	node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "40000000"))
	producer := connect(t, node)
	producer.push(record(1, size), "blocked")
	producer.push(record(2, size), "popped")
	blocked, popping := connect(t, node, smallWindow), connect(t, node, smallWindow)
	blocked.consume("blocked", "")
	popping.must(popping.Send(5, neoclient.PopPayload("popped")))
	popping.must(popping.Supported(5))
	node.Signal(syscall.SIGTERM)
	if status := node.Wait(); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
	node.Restart()
	c := connect(t, node)
	c.consume("blocked", "").wantRecords(record(1, size))
	c.wantPop("popped", record(2, size))
	c.wantNothing()
}

// Of many consumers that share a queue every other one has confirmed its batch when the node
// is killed. What they confirmed does not come back, also not from the overflow.
func TestNeoKillBetweenConfirmedBatches(t *testing.T) {
	for _, ring := range []string{"1000000", "0"} {
		t.Run("channel_size_limit="+ring, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t, nodetest.Set("ChannelSizeById.between", ring))
			producer, c := connect(t, node), connect(t, node)
			const consumers = 300
			var all []*neoConsumer
			for i := range consumers {
				k := c.consume("between", "")
				producer.push(record(i, 100), "between")
				k.wantBatch(record(i, 100))
				all = append(all, k)
			}
			var kept []string
			for i, k := range all {
				if i%2 == 0 {
					kept = append(kept, record(i, 100))
				} else {
					k.send(neoclient.Continue)
				}
			}
			c.alive()
			node.Kill()
			node.Restart()
			next := connect(t, node).consume("between", "")
			next.wantRecords(kept...)
			next.c.wantNothing()
		})
	}
}

// A kill leaves records in the ring and, in the overflow, a batch that was given back and one
// behind it that was delivered. A start with a larger ring keeps the order.
func TestNeoKillWithAGapBeforeTheRingIsResized(t *testing.T) {
	t.Parallel()
	const size = 10_000 // ten records make a batch, and five fit the ring
	node := nodetest.Start(t, nodetest.Set("ChannelSizeById.resized", "51000"))
	producer, holder, other, third := connect(t, node), connect(t, node), connect(t, node), connect(t, node)
	for i := range 40 {
		producer.push(record(i, size), "resized")
	}
	inRing := holder.consume("resized", "").batch()
	inOverflow := other.consume("resized", "").batch()
	k := third.consume("resized", "")
	confirmed := k.batch()
	k.send(neoclient.Continue)
	next := k.batch()
	node.Kill()
	node.Configure(nodetest.Set("ChannelSizeById.resized", "200000"))
	node.Restart()
	want := append(append(inRing, inOverflow...), next...)
	want = append(want, numbered(len(want)+len(confirmed), 40, size)...)
	k = connect(t, node).consume("resized", "")
	k.wantRecords(want...)
	k.c.wantNothing()
}
