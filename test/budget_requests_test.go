package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// With as many channels as there may be, new ones are refused in the words of each request, and
// existing ones work on.
func TestChannelsAreBounded(t *testing.T) {
	t.Parallel()
	node := startWithHTTP(t, nodetest.Set("Limits.channels", "3"))
	c := dial(t, node)
	for number := range 3 {
		c.push(fmt.Sprint("channel", number), "value")
	}

	c.do(legacyclient.Request(legacyclient.Push, "new", "value"), legacyclient.OutOfMemory)
	for _, request := range [][]byte{
		legacyclient.ListRequest(legacyclient.PushMulti, []string{"channel0", "new"}, "value"),
		legacyclient.Request(legacyclient.Produce, "new"),
		legacyclient.Request(legacyclient.Consume, "new"),
	} {
		refused := dial(t, node)
		refused.send(request)
		refused.wantEOF()
	}
	refused := dial(t, node)
	refused.do(legacyclient.ListRequest(legacyclient.ProduceMulti, []string{"new"}), legacyclient.Ok)
	refused.send(legacyclient.Records("record"))
	refused.wantEOF()

	n := connect(t, node)
	n.wantReply(n.start(neoclient.PushPayload([]byte("value"), "new")), pushError)
	n.wantReply(n.start(neoclient.PushPayload([]byte("value"), "channel0", "new")), pushError)
	n.wantPopStatus("new", popEmpty)
	n.wantReply(n.start(neoclient.ConsumePayload("new", "")), consumeError)
	n.wantReply(n.start(neoclient.Ours(138, "new", "", 1)), popError)
	n.wantReply(n.start(neoclient.Ours(139, "new", "", 1, 0, 1)), consumeError)
	wantMetrics(t, node, "after the refusals", metrics{"dmqnode_channels": 3})
	node.WaitLog(`request failed .*\[Limits\] channels`)

	c.wantPop("channel0", "value")
	n.push("neo", "channel0")
	c.wantPop("channel0", "neo")

	c.remove("channel1")
	c.push("new", "value")
	c.wantPop("new", "value")
}

// A request that names more new channels than there may be makes none, however often it names them;
// one that names just as many as there may be makes all.
func TestChannelsOfOneRequestAreMadeAllOrNone(t *testing.T) {
	t.Parallel()
	node := startWithHTTP(t, nodetest.Set("Limits.channels", "4"))
	c := dial(t, node)
	c.push("a", "value")
	tooMany := []string{"a", "b", "c", "b", "d", "e"}
	refused := dial(t, node)
	refused.send(legacyclient.ListRequest(legacyclient.PushMulti, tooMany, "refused"))
	refused.wantEOF()
	producer := dial(t, node)
	producer.do(legacyclient.ListRequest(legacyclient.ProduceMulti, tooMany), legacyclient.Ok)
	producer.send(legacyclient.Records("refused"))
	producer.wantEOF()
	n := connect(t, node)
	n.wantReply(n.start(neoclient.PushPayload([]byte("refused"), tooMany...)), pushError)
	wantMetrics(t, node, "after the refusals", metrics{"dmqnode_channels": 1})
	c.wantPop("a", "value")

	producer = dial(t, node)
	producer.do(legacyclient.ListRequest(legacyclient.ProduceMulti, []string{"a", "b", "b"}), legacyclient.Ok)
	producer.send(legacyclient.Records("stored"))
	producer.do(append(legacyclient.Records(""), legacyclient.Request(legacyclient.Push, "a", "stored")...), legacyclient.Ok)
	for _, channel := range []string{"a", "a", "b", "b"} {
		c.wantPop(channel, "stored")
	}
	c.do(legacyclient.ListRequest(legacyclient.PushMulti, []string{"a", "b", "b", "c", "a", "b", "c"}, "stored"), legacyclient.Ok)
	n.push("stored", "a", "b", "d", "d", "b")
	wantMetrics(t, node, "after the pushes", metrics{"dmqnode_channels": 4})
	for _, channel := range []string{"a", "a", "a", "b", "b", "b", "b", "b", "c", "c", "d", "d"} {
		c.wantPop(channel, "stored")
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
	hostile := dial(t, node)
	hostile.send(legacyclient.ListRequest(legacyclient.PushMulti, names, "value"))
	hostile.wantEOF()
	roundTrips(t, node, "c00000", 1)
	if files := node.Sockets(); files > 400 {
		t.Errorf("the node has %d descriptors open, want no more than 100 channels need", files)
	}
}

// What one request may store in several channels is bounded; in one, it is not.
func TestCopiesOfOneRequestAreBounded(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Limits.request_bytes", fmt.Sprint(10<<20)))
	large := strings.Repeat("x", 6<<20)
	c := dial(t, node)
	c.send(legacyclient.ListRequest(legacyclient.PushMulti, []string{"copies", "copies"}, large))
	c.wantEOF()
	producer := dial(t, node)
	producer.do(legacyclient.ListRequest(legacyclient.ProduceMulti, []string{"copies", "other"}), legacyclient.Ok)
	producer.Send(legacyclient.Records(large)) // may be closed while it sends
	producer.wantEOF()

	n := connect(t, node)
	n.wantReply(n.start(neoclient.PushPayload([]byte(large), "copies", "other")), pushError)
	n.wantPopStatus("copies", popEmpty)
	n.push(large, "copies")
	n.wantPop("copies", large)
	node.WaitLog(`request failed .*\[Limits\] request_bytes`)
}

// tripsDuring counts the round trips that a client makes while the request of another is served.
func tripsDuring(t *testing.T, node *nodetest.Node, send func(*client)) (trips int) {
	t.Helper()
	long, other := dial(t, node), dial(t, node)
	send(long)
	for unread := 0; unread == 0; trips++ {
		other.push("short", "value")
		other.wantPop("short", "value")
		var err error
		unread, err = long.Unread()
		other.must(err)
	}
	long.wantStatus(legacyclient.Ok)
	return trips
}

// While one client has a record stored in a channel tens of thousands of times, others are served.
func TestLongRequestYields(t *testing.T) {
	t.Parallel()
	const copies, size = 60_000, 4000
	node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "300000000"))
	for _, test := range []struct {
		what string
		send func(*client)
	}{
		{"PushMulti", func(c *client) {
			names := strings.Split(strings.Repeat("many ", copies), " ")[:copies]
			c.send(legacyclient.ListRequest(legacyclient.PushMulti, names, record(0, size)))
		}},
		{"ProduceMulti", func(c *client) {
			names := strings.Split(strings.Repeat("stream ", copies), " ")[:copies]
			c.do(legacyclient.ListRequest(legacyclient.ProduceMulti, names), legacyclient.Ok)
			c.send(append(legacyclient.Records(record(0, size), ""), legacyclient.Request(legacyclient.RemoveChannel, "none")...))
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
	n := connect(t, node)
	for range 3 {
		n.wantPop("many", record(0, size))
		n.wantPop("stream", record(0, size))
	}
}

// A neo client that confirms nothing gets no more than a bounded number of bytes, and goes on when
// it does.
func TestUnconfirmedBatchesAreBounded(t *testing.T) {
	t.Parallel()
	const channels, size = 20, 70_000 // each record is a batch
	node := nodetest.Start(t, nodetest.Set("Limits.unconfirmed", fmt.Sprint(3*size)))
	c := connect(t, node)
	consumers := map[uint64]*neoConsumer{}
	for number := range channels {
		channel := fmt.Sprint("channel", number)
		c.push(record(number, size), channel)
		k := c.consume(channel, "")
		consumers[k.ID] = k
	}
	var unconfirmed []uint64
	for range 3 {
		frame, err := c.Read()
		c.must(err)
		unconfirmed = append(unconfirmed, frame.ID)
	}
	c.push("is answered behind what was sent before", "other")
	if parked := len(c.Parked()); parked > 0 {
		t.Fatalf("%d batches more than may be unconfirmed", parked)
	}
	for received := 3; len(unconfirmed) > 0; {
		consumers[unconfirmed[0]].send(neoclient.Continue)
		unconfirmed = unconfirmed[1:]
		if received < channels {
			frame, err := c.Read()
			c.must(err)
			unconfirmed = append(unconfirmed, frame.ID)
			received++
		}
	}
}
