package budget

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// With as many channels as there may be, new ones are refused in the words of each request, and
// existing ones work on.
func TestChannelsAreBounded(t *testing.T) {
	t.Parallel()
	node := nodetest.StartWithHTTP(t, nodetest.Set("Limits.channels", "3"))
	c := clients.Legacy(t, node)
	for number := range 3 {
		c.MustPush(fmt.Sprint("channel", number), "value")
	}

	c.MustDo(legacyclient.Request(legacyclient.Push, "new", "value"), legacyclient.OutOfMemory)
	for _, request := range [][]byte{
		legacyclient.ListRequest(legacyclient.PushMulti, []string{"channel0", "new"}, "value"),
		legacyclient.Request(legacyclient.Produce, "new"),
		legacyclient.Request(legacyclient.Consume, "new"),
	} {
		refused := clients.Legacy(t, node)
		refused.MustSend(request)
		refused.WantEOF()
	}
	refused := clients.Legacy(t, node)
	refused.MustDo(legacyclient.ListRequest(legacyclient.ProduceMulti, []string{"new"}), legacyclient.Ok)
	refused.MustSend(legacyclient.Records("record"))
	refused.WantEOF()

	n := clients.Neo(t, node)
	n.WantReply(n.MustStart(neoclient.PushPayload([]byte("value"), "new")), clients.PushError)
	n.WantReply(n.MustStart(neoclient.PushPayload([]byte("value"), "channel0", "new")), clients.PushError)
	n.WantPopStatus("new", clients.PopEmpty)
	n.WantReply(n.MustStart(neoclient.ConsumePayload("new", "")), clients.ConsumeError)
	n.WantReply(n.MustStart(neoclient.Ours(138, "new", "", 1)), clients.PopError)
	n.WantReply(n.MustStart(neoclient.Ours(139, "new", "", 1, 0, 1)), clients.ConsumeError)
	nodetest.WantMetrics(t, node, "after the refusals", nodetest.Metrics{"dmqnode_channels": 3})
	node.WaitLog(`request failed .*\[Limits\] channels`)

	c.WantPop("channel0", "value")
	n.MustPush("neo", "channel0")
	c.WantPop("channel0", "neo")

	c.MustRemove("channel1")
	c.MustPush("new", "value")
	c.WantPop("new", "value")
}

// A request that names more new channels than there may be makes none, however often it names them;
// one that names just as many as there may be makes all.
func TestChannelsOfOneRequestAreMadeAllOrNone(t *testing.T) {
	t.Parallel()
	node := nodetest.StartWithHTTP(t, nodetest.Set("Limits.channels", "4"))
	c := clients.Legacy(t, node)
	c.MustPush("a", "value")
	tooMany := []string{"a", "b", "c", "b", "d", "e"}
	refused := clients.Legacy(t, node)
	refused.MustSend(legacyclient.ListRequest(legacyclient.PushMulti, tooMany, "refused"))
	refused.WantEOF()
	producer := clients.Legacy(t, node)
	producer.MustDo(legacyclient.ListRequest(legacyclient.ProduceMulti, tooMany), legacyclient.Ok)
	producer.MustSend(legacyclient.Records("refused"))
	producer.WantEOF()
	n := clients.Neo(t, node)
	n.WantReply(n.MustStart(neoclient.PushPayload([]byte("refused"), tooMany...)), clients.PushError)
	nodetest.WantMetrics(t, node, "after the refusals", nodetest.Metrics{"dmqnode_channels": 1})
	c.WantPop("a", "value")

	producer = clients.Legacy(t, node)
	producer.MustDo(legacyclient.ListRequest(legacyclient.ProduceMulti, []string{"a", "b", "b"}), legacyclient.Ok)
	producer.MustSend(legacyclient.Records("stored"))
	producer.MustDo(append(legacyclient.Records(""), legacyclient.Request(legacyclient.Push, "a", "stored")...), legacyclient.Ok)
	for _, channel := range []string{"a", "a", "b", "b"} {
		c.WantPop(channel, "stored")
	}
	c.MustDo(legacyclient.ListRequest(legacyclient.PushMulti, []string{"a", "b", "b", "c", "a", "b", "c"}, "stored"), legacyclient.Ok)
	n.MustPush("stored", "a", "b", "d", "d", "b")
	nodetest.WantMetrics(t, node, "after the pushes", nodetest.Metrics{"dmqnode_channels": 4})
	for _, channel := range []string{"a", "a", "a", "b", "b", "b", "b", "b", "c", "c", "d", "d"} {
		c.WantPop(channel, "stored")
	}
}

// A request with more new channels than the machine could take makes no more than there may be,
// and costs only its own client.
func TestRequestWithTooManyChannels(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Limits.channels", "100"), nodetest.Set("Server.channel_size_limit", "10000"))
	var names []string
	for number := range 65536 {
		names = append(names, fmt.Sprintf("c%05d", number))
	}
	hostile := clients.Legacy(t, node)
	hostile.MustSend(legacyclient.ListRequest(legacyclient.PushMulti, names, "value"))
	hostile.WantEOF()
	clients.RoundTrips(t, node, "c00000", 1)
	if files := node.Sockets(); files > 400 {
		t.Errorf("the node has %d descriptors open, want no more than 100 channels need", files)
	}
}

// What one request may store in several channels is bounded; in one, it is not.
func TestCopiesOfOneRequestAreBounded(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Limits.request_bytes", fmt.Sprint(10<<20)))
	large := strings.Repeat("x", 6<<20)
	c := clients.Legacy(t, node)
	c.MustSend(legacyclient.ListRequest(legacyclient.PushMulti, []string{"copies", "copies"}, large))
	c.WantEOF()
	producer := clients.Legacy(t, node)
	producer.MustDo(legacyclient.ListRequest(legacyclient.ProduceMulti, []string{"copies", "other"}), legacyclient.Ok)
	producer.Send(legacyclient.Records(large)) // may be closed while it sends
	producer.WantEOF()

	n := clients.Neo(t, node)
	n.WantReply(n.MustStart(neoclient.PushPayload([]byte(large), "copies", "other")), clients.PushError)
	n.WantPopStatus("copies", clients.PopEmpty)
	n.MustPush(large, "copies")
	n.WantPop("copies", large)
	node.WaitLog(`request failed .*\[Limits\] request_bytes`)
}

// tripsDuring counts the round trips that a client makes while the request of another is served.
func tripsDuring(t *testing.T, node *nodetest.Node, send func(*clients.LegacyClient)) (trips int) {
	t.Helper()
	long, other := clients.Legacy(t, node), clients.Legacy(t, node)
	send(long)
	for unread := 0; unread == 0; trips++ {
		other.MustPush("short", "value")
		other.WantPop("short", "value")
		var err error
		unread, err = long.Unread()
		other.Must(err)
	}
	long.WantStatus(legacyclient.Ok)
	return trips
}

// While one client has a record stored in a channel tens of thousands of times, others are served.
func TestLongRequestYields(t *testing.T) {
	t.Parallel()
	const copies, size = 60_000, 4000
	node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "300000000"))
	for _, test := range []struct {
		what string
		send func(*clients.LegacyClient)
	}{
		{"PushMulti", func(c *clients.LegacyClient) {
			names := strings.Split(strings.Repeat("many ", copies), " ")[:copies]
			c.MustSend(legacyclient.ListRequest(legacyclient.PushMulti, names, clients.Record(0, size)))
		}},
		{"ProduceMulti", func(c *clients.LegacyClient) {
			names := strings.Split(strings.Repeat("stream ", copies), " ")[:copies]
			c.MustDo(legacyclient.ListRequest(legacyclient.ProduceMulti, names), legacyclient.Ok)
			c.MustSend(append(legacyclient.Records(clients.Record(0, size), ""), legacyclient.Request(legacyclient.RemoveChannel, "none")...))
		}},
	} {
		// A node that does not yield never comes to four; one that does may, on a busy machine, have
		// stored all of it before the other client was awake so often.
		trips, attempts := 0, 0
		for ; trips < 4 && attempts < 10; attempts++ {
			trips = tripsDuring(t, node, test.send)
		}
		t.Logf("%s: %d round trips of another client meanwhile", test.what, trips)
		if trips < 4 {
			t.Errorf("%s: another client had %d round trips meanwhile, want some", test.what, trips)
		}
	}
	n := clients.Neo(t, node)
	for range 3 {
		n.WantPop("many", clients.Record(0, size))
		n.WantPop("stream", clients.Record(0, size))
	}
}

// A neo client that confirms nothing gets no more than a bounded number of bytes, and goes on when
// it does.
func TestUnconfirmedBatchesAreBounded(t *testing.T) {
	t.Parallel()
	const channels, size = 20, 70_000 // each record is a batch
	node := nodetest.Start(t, nodetest.Set("Limits.unconfirmed", fmt.Sprint(3*size)))
	c := clients.Neo(t, node)
	consumers := map[uint64]*clients.NeoConsumer{}
	for number := range channels {
		channel := fmt.Sprint("channel", number)
		c.MustPush(clients.Record(number, size), channel)
		k := c.MustConsume(channel, "")
		consumers[k.ID] = k
	}
	var unconfirmed []uint64
	for range 3 {
		frame, err := c.Read()
		c.Must(err)
		unconfirmed = append(unconfirmed, frame.ID)
	}
	c.MustPush("is answered behind what was sent before", "other")
	if parked := len(c.Parked()); parked > 0 {
		t.Fatalf("%d batches more than may be unconfirmed", parked)
	}
	for received := 3; len(unconfirmed) > 0; {
		consumers[unconfirmed[0]].Send(neoclient.Continue)
		unconfirmed = unconfirmed[1:]
		if received < channels {
			frame, err := c.Read()
			c.Must(err)
			unconfirmed = append(unconfirmed, frame.ID)
			received++
		}
	}
}
