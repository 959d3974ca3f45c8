package legacy

import (
	"math"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// A client that pipelines Pops of large records and reads nothing is served no faster
// than it reads: the records stay in the queue, not in the node's output.
func TestUnreadPopsCostNoMemory(t *testing.T) {
	t.Parallel()
	nodetest.Slow(t)
	const count, size = 100, 1 << 20
	node := nodetest.Start(t, nodetest.ResidentRings, nodetest.Set("Server.channel_size_limit", "120000000"))
	producer := clients.Legacy(t, node)
	producer.ProduceRecords("pops", 0, count, size)
	popper := clients.Legacy(t, node, clients.SmallWindow)
	before := node.ResetPeakRSS()
	var pops []byte
	for range count {
		pops = append(pops, legacyclient.Request(legacyclient.Pop, "pops")...)
	}
	popper.MustSend(pops)
	clients.RoundTrips(t, node, "other", 500)
	popperIsBehind := producer // another Pop still finds a record: not all have been taken
	popperIsBehind.MustDo(legacyclient.Request(legacyclient.Pop, "pops"), legacyclient.Ok)
	taken, err := clients.RecordNumber(producer.MustArray(), size)
	if err != nil {
		t.Fatalf("the node took all records for a client that reads none: %v", err)
	}
	nodetest.WantGrowth(t, node, before, 16<<20)
	popper.Must(popper.SetReadBuffer(1 << 20))
	for number := range count {
		popper.WantStatus(legacyclient.Ok)
		switch {
		case number < taken:
			popper.WantArray(clients.Record(number, size))
		case number < count-1:
			popper.WantArray(clients.Record(number+1, size))
		default:
			popper.WantArray("")
		}
	}
}

// A consumer that stops reading costs its socket buffers and little more, even with 200
// MB waiting for it, and nobody else notices.
func TestConsumerThatStopsReadingCostsNoMemory(t *testing.T) {
	t.Parallel()
	nodetest.Slow(t)
	const count, size = 2000, 100_000
	node := nodetest.Start(t, nodetest.ResidentRings, nodetest.Set("Server.channel_size_limit", "250000000"))
	clients.Legacy(t, node).ProduceRecords("stopped", 0, count, size)
	clients.RoundTrips(t, node, "other", 100)
	before := node.ResetPeakRSS()
	consumer := clients.Legacy(t, node, clients.SmallWindow)
	consumer.MustConsume("stopped")
	consumer.WantArray(clients.Record(0, size))
	clients.RoundTrips(t, node, "other", 1000)
	nodetest.WantGrowth(t, node, before, 6<<20)
	consumer.Must(consumer.SetReadBuffer(1 << 20))
	for number := 1; number < count; number++ {
		if got := consumer.Number(size); got != number {
			t.Fatalf("got record %d, want %d", got, number)
		}
	}
}

// Replies to small requests, too, are limited by what the client reads.
func TestUnreadRepliesCostNoMemory(t *testing.T) {
	t.Parallel()
	const count = 4_000_000
	node := nodetest.Start(t)
	c := clients.Legacy(t, node, clients.SmallWindow)
	c.Alive()
	before := node.ResetPeakRSS()
	requests := make([]byte, 0, 4*count)
	for range count {
		requests = legacyclient.AppendCommand(requests, legacyclient.GetNumConnections)
	}
	sent := make(chan error, 1)
	go func() { sent <- c.Send(requests) }()
	clients.RoundTrips(t, node, "other", 500)
	nodetest.WantGrowth(t, node, before, 4<<20)
	c.Must(c.SetReadBuffer(1 << 20)) // what was to be seen is seen
	for range count {
		c.WantStatus(legacyclient.NotSupported)
	}
	c.Must(<-sent)
}

// Lengths are only announcements: the node gets no memory for bytes that have not come.
func TestAnnouncedLengthsCostNoMemory(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	clients.Legacy(t, node).Alive()
	before := node.ResetPeakRSS()
	request := legacyclient.Request
	starts := []struct {
		name  string
		bytes []byte
	}{
		{"channel of Push", request(legacyclient.Push)},
		{"value of Push", request(legacyclient.Push, "channel")},
		{"channel of Pop", request(legacyclient.Pop)},
		{"channel of Consume", request(legacyclient.Consume)},
		{"first name of PushMulti", request(legacyclient.PushMulti)},
		{"second name of PushMulti", request(legacyclient.PushMulti, "channel")},
		{"value of PushMulti", request(legacyclient.PushMulti, "channel", "")},
		{"name of ProduceMulti", request(legacyclient.ProduceMulti)},
		{"record of Produce", request(legacyclient.Produce, "channel")},
		{"record of ProduceMulti", request(legacyclient.ProduceMulti, "channel", "")},
	}
	lengths := []uint64{
		legacyclient.MaxArray, legacyclient.MaxArray + 1, math.MaxInt32, math.MaxUint32,
		math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64 - 7, math.MaxUint64,
	}
	var open []*clients.LegacyClient
	for _, start := range starts {
		for _, length := range lengths {
			c := clients.Legacy(t, node)
			c.MustSend(append(legacyclient.AppendLength(start.bytes[:len(start.bytes):len(start.bytes)], length), "some bytes"...))
			open = append(open, c)
		}
	}
	clients.RoundTrips(t, node, "other", 1000)
	nodetest.WantGrowth(t, node, before, 8<<20)
	for _, c := range open {
		c.Close()
	}
	clients.RoundTrips(t, node, "other", 1)
}

// The memory for large values goes back when they are done with.
func TestLargeValuesLeaveNoMemoryBehind(t *testing.T) {
	t.Parallel()
	nodetest.Slow(t)
	node := nodetest.Start(t, nodetest.ResidentRings)
	value := clients.Record(1, legacyclient.MaxArray)
	var all []*clients.LegacyClient
	for range 20 {
		c := clients.Legacy(t, node)
		c.MustPush("large", value)
		c.WantPop("large", value)
		all = append(all, c)
	}
	before := node.ResetPeakRSS()
	for _, c := range all {
		c.MustPush("large", value)
		c.WantPop("large", value)
	}
	// 20 connections that each kept their buffers would hold more than 200 MB.
	if !nodetest.RaceEnabled && before > 120<<20 {
		t.Errorf("the node holds %d MiB after records of 10 MiB, one at a time", before>>20)
	}
	nodetest.WantGrowth(t, node, before, 60<<20)
}
