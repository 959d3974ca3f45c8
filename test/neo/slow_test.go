package neo

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// busyOthers lets four connections do 10,000 requests and one a Consume, each waiting for
// replies. Should the node have stopped for others, their patience ends.
func busyOthers(t *testing.T, node *nodetest.Node) {
	t.Helper()
	nodetest.Together(t, 5, func(i int) error {
		c, err := neoclient.Connect(node.Neo(), clients.TestLogin())
		if err != nil {
			return err
		}
		defer c.Close()
		if i == 4 {
			return consumeSome(c, 300)
		}
		return pushAndPop(c, fmt.Sprintf("busy%d", i), 1250)
	})
}

// pushAndPop does count pushes and as many pops, 50 requests at a time.
func pushAndPop(c *neoclient.Client, channel string, count int) error {
	for first := 0; first < count; first += 25 {
		var frames []byte
		for i := range 25 {
			frames = append(frames, neoclient.RequestFrame(uint64(i+1), neoclient.PushPayload([]byte(clients.Record(first+i, 100)), channel))...)
			frames = append(frames, neoclient.RequestFrame(uint64(i+100), neoclient.PopPayload(channel))...)
		}
		if err := c.Write(frames); err != nil {
			return err
		}
		for i := range 25 {
			if err := c.Supported(uint64(i + 1)); err != nil {
				return err
			}
			if status, err := c.ReadByteFor(uint64(i + 1)); status != clients.Pushed {
				return fmt.Errorf("Push: got status %02x, error %v", status, err)
			}
			if err := c.Supported(uint64(i + 100)); err != nil {
				return err
			}
			if status, value, err := c.Popped(uint64(i + 100)); status != clients.Popped || string(value) != clients.Record(first+i, 100) {
				return fmt.Errorf("Pop: got status %02x, value %s, error %v; want record %d", status, clients.Excerpt(string(value)), err, first+i)
			}
		}
	}
	return nil
}

// consumeSome pushes records one by one and consumes each on the same connection.
func consumeSome(c *neoclient.Client, count int) error {
	k, err := c.Consume("consumed", "")
	if err != nil {
		return err
	}
	for number := range count {
		if status, err := c.Push([]byte(clients.Record(number, 100)), "consumed"); status != clients.Pushed {
			return fmt.Errorf("Push: got status %02x, error %v", status, err)
		}
		records, err := k.Records()
		if err != nil || len(records) != 1 || string(records[0]) != clients.Record(number, 100) {
			return fmt.Errorf("got %d records, error %v; want record %d", len(records), err, number)
		}
		if err := k.Feedback(neoclient.Continue); err != nil {
			return err
		}
	}
	_, err = k.End()
	return err
}

// A client that sends requests and does not read the replies is served no faster than it
// reads: records stay in the queue, memory stays bounded, and nobody else notices.
func TestNeoSlowReaderOfPops(t *testing.T) {
	t.Parallel()
	nodetest.Slow(t)
	const count, size = 100, 1 << 20
	node := nodetest.Start(t, nodetest.ResidentRings, nodetest.Set("Server.channel_size_limit", "120000000"))
	clients.Legacy(t, node).ProduceRecords("pops", 0, count, size)
	busyOthers(t, node)
	reader, other := clients.Neo(t, node, clients.SmallWindow), clients.Neo(t, node)
	before := node.ResetPeakRSS()
	var frames []byte
	for id := range uint64(count) {
		frames = append(frames, neoclient.RequestFrame(id+1, neoclient.PopPayload("pops"))...)
	}
	reader.MustWrite(frames)
	busyOthers(t, node)
	status, value, err := other.Pop("pops") // not all have been taken
	other.Must(err)
	taken, err := clients.RecordNumber(string(value), size)
	if status != clients.Popped || err != nil {
		t.Fatalf("the node took all records for a client that reads none: got status %02x, error %v", status, err)
	}
	nodetest.WantGrowth(t, node, before, 16<<20)
	for number := range count - 1 {
		want := number
		if number >= taken {
			want++
		}
		if status, value := popped(reader, uint64(number+1)); status != clients.Popped || value != clients.Record(want, size) {
			t.Fatalf("got status %02x, value %s; want record %d", status, clients.Excerpt(value), want)
		}
	}
	if status, _ := popped(reader, count); status != clients.PopEmpty {
		t.Errorf("got status %02x at last, want 02", status)
	}
}

// The same for hundreds of thousands of small requests, which the node does not even read.
func TestNeoSlowReaderOfSmallReplies(t *testing.T) {
	t.Parallel()
	const count = 300_000
	node := nodetest.Start(t)
	reader := clients.Neo(t, node, clients.SmallWindow)
	reader.Alive()
	busyOthers(t, node)
	before := node.ResetPeakRSS()
	frame := neoclient.RequestFrame(5, neoclient.PopPayload("a b"))
	sent := make(chan error, 1)
	go func() { sent <- reader.Write(bytes.Repeat(frame, count)) }()
	busyOthers(t, node)
	nodetest.WantGrowth(t, node, before, 8<<20)
	for range count {
		reader.WantFrame(5, clients.Supported)
		reader.WantFrame(5, clients.PopError)
	}
	reader.Must(<-sent)
	reader.WantNothing()
}

// Consumers that do not read have at most a batch under way each; what they have not
// confirmed is there for the next one.
func TestNeoSlowConsumers(t *testing.T) {
	t.Parallel()
	nodetest.Slow(t)
	const count, size, consumes = 1000, 100_000, 50
	node := nodetest.Start(t, nodetest.ResidentRings, nodetest.Set("Server.channel_size_limit", "110000000"))
	clients.Legacy(t, node).ProduceRecords("slow", 0, count, size)
	busyOthers(t, node)
	before := node.ResetPeakRSS()
	readers := []*clients.NeoClient{clients.Neo(t, node, clients.SmallWindow), clients.Neo(t, node, clients.SmallWindow)}
	for _, c := range readers {
		for range consumes {
			c.Must(c.Send(c.NextID(), neoclient.ConsumePayload("slow", "")))
		}
	}
	busyOthers(t, node)
	nodetest.WantGrowth(t, node, before, 12<<20)
	for _, c := range readers {
		clients.LeaveNeo(t, node, c, clients.ByReset)
	}
	k := clients.Neo(t, node).MustConsume("slow", "")
	for number := range count {
		k.WantRecords(clients.Record(number, size))
	}
	k.Client.WantNothing()
}

// A huge record under way to a client that does not read is held once, in the queue.
func TestNeoHugeRecordsCostNoMemoryTwice(t *testing.T) {
	t.Parallel()
	nodetest.Slow(t)
	const size = 32 << 20
	node := nodetest.Start(t, nodetest.ResidentRings, nodetest.Set("Server.channel_size_limit", "110000000"))
	producer := clients.Neo(t, node)
	for i := range 3 {
		producer.MustPush(clients.Record(i, size), "huge")
	}
	before := node.ResetPeakRSS()
	var readers []*clients.NeoClient
	for range 3 {
		c := clients.Neo(t, node, clients.SmallWindow)
		c.MustConsume("huge", "")
		readers = append(readers, c)
	}
	busyOthers(t, node)
	nodetest.WantGrowth(t, node, before, 10<<20)
	for _, c := range readers {
		payload, err := c.ReadFor(1)
		c.Must(err)
		batch, err := neoclient.Batch(payload)
		c.Must(err)
		if _, err := clients.RecordNumber(string(batch[0]), size); err != nil {
			t.Error(err)
		}
	}
}
