package test

import (
	"math"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// wantGrowth requires that the peak of the node's memory has not gone up by more than a
// number of bytes since ResetPeakRSS returned before.
func wantGrowth(t *testing.T, node *nodetest.Node, before, most int64) {
	t.Helper()
	if nodetest.RaceEnabled {
		most *= 8 // the race detector's shadow memory
	}
	growth := node.PeakRSS() - before
	t.Logf("memory: %d KiB before, at most %d KiB more", before>>10, growth>>10)
	if growth > most {
		t.Errorf("the node grew by %d KiB, want at most %d KiB", growth>>10, most>>10)
	}
}

// roundTrips pushes and pops records on a connection of its own. Should the node have
// stopped for others, the client's patience ends.
func roundTrips(t *testing.T, node *nodetest.Node, channel string, count int) {
	t.Helper()
	c := dial(t, node)
	for number := range count {
		c.push(channel, record(number, 100))
		c.wantPop(channel, record(number, 100))
	}
}

// A client that pipelines Pops of large records and reads nothing is served no faster
// than it reads: the records stay in the queue, not in the node's output.
func TestUnreadPopsCostNoMemory(t *testing.T) {
	t.Parallel()
	slow(t)
	const count, size = 100, 1 << 20
	node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "120000000"))
	producer := dial(t, node)
	producer.produceRecords("pops", 0, count, size)
	popper := dial(t, node, smallWindow)
	before := node.ResetPeakRSS()
	var pops []byte
	for range count {
		pops = append(pops, legacyclient.Request(legacyclient.Pop, "pops")...)
	}
	popper.send(pops)
	roundTrips(t, node, "other", 500)
	popperIsBehind := producer // another Pop still finds a record: not all have been taken
	popperIsBehind.do(legacyclient.Request(legacyclient.Pop, "pops"), legacyclient.Ok)
	taken, err := recordNumber(producer.array(), size)
	if err != nil {
		t.Fatalf("the node took all records for a client that reads none: %v", err)
	}
	wantGrowth(t, node, before, 16<<20)
	popper.must(popper.SetReadBuffer(1 << 20))
	for number := range count {
		popper.wantStatus(legacyclient.Ok)
		switch {
		case number < taken:
			popper.wantArray(record(number, size))
		case number < count-1:
			popper.wantArray(record(number+1, size))
		default:
			popper.wantArray("")
		}
	}
}

// A consumer that stops reading costs its socket buffers and little more, even with 200
// MB waiting for it, and nobody else notices.
func TestConsumerThatStopsReadingCostsNoMemory(t *testing.T) {
	t.Parallel()
	slow(t)
	const count, size = 2000, 100_000
	node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "250000000"))
	dial(t, node).produceRecords("stopped", 0, count, size)
	roundTrips(t, node, "other", 100)
	before := node.ResetPeakRSS()
	consumer := dial(t, node, smallWindow)
	consumer.consume("stopped")
	consumer.wantArray(record(0, size))
	roundTrips(t, node, "other", 1000)
	wantGrowth(t, node, before, 6<<20)
	consumer.must(consumer.SetReadBuffer(1 << 20))
	for number := 1; number < count; number++ {
		if got := consumer.number(size); got != number {
			t.Fatalf("got record %d, want %d", got, number)
		}
	}
}

// Replies to small requests, too, are limited by what the client reads.
func TestUnreadRepliesCostNoMemory(t *testing.T) {
	t.Parallel()
	const count = 4_000_000
	node := nodetest.Start(t)
	c := dial(t, node, smallWindow)
	c.alive()
	before := node.ResetPeakRSS()
	requests := make([]byte, 0, 4*count)
	for range count {
		requests = legacyclient.AppendCommand(requests, legacyclient.GetNumConnections)
	}
	sent := make(chan error, 1)
	go func() { sent <- c.Send(requests) }()
	roundTrips(t, node, "other", 500)
	wantGrowth(t, node, before, 4<<20)
	c.must(c.SetReadBuffer(1 << 20)) // what was to be seen is seen
	for range count {
		c.wantStatus(legacyclient.NotSupported)
	}
	c.must(<-sent)
}

// Lengths are only announcements: the node gets no memory for bytes that have not come.
func TestAnnouncedLengthsCostNoMemory(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	dial(t, node).alive()
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
	var open []*client
	for _, start := range starts {
		for _, length := range lengths {
			c := dial(t, node)
			c.send(append(legacyclient.AppendLength(start.bytes[:len(start.bytes):len(start.bytes)], length), "some bytes"...))
			open = append(open, c)
		}
	}
	roundTrips(t, node, "other", 1000)
	wantGrowth(t, node, before, 8<<20)
	for _, c := range open {
		c.Close()
	}
	roundTrips(t, node, "other", 1)
}

// The memory for large values goes back when they are done with.
func TestLargeValuesLeaveNoMemoryBehind(t *testing.T) {
	t.Parallel()
	slow(t)
	node := nodetest.Start(t)
	value := record(1, legacyclient.MaxArray)
	var all []*client
	for range 20 {
		c := dial(t, node)
		c.push("large", value)
		c.wantPop("large", value)
		all = append(all, c)
	}
	before := node.ResetPeakRSS()
	for _, c := range all {
		c.push("large", value)
		c.wantPop("large", value)
	}
	// 20 connections that each kept their buffers would hold more than 200 MB.
	if !nodetest.RaceEnabled && before > 120<<20 {
		t.Errorf("the node holds %d MiB after records of 10 MiB, one at a time", before>>20)
	}
	wantGrowth(t, node, before, 60<<20)
}
