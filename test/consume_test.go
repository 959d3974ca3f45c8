package test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// delivery is a record and the consumer that got it.
type delivery struct {
	consumer, number int
	err              error
}

// deliveries reads records of a size from all consumers until their connections end.
func deliveries(consumers []*client, size int) <-chan delivery {
	all := make(chan delivery, 1000)
	for i, c := range consumers {
		go func() {
			for {
				number, err := nextNumber(c.Conn, size)
				all <- delivery{i, number, err}
				if err != nil {
					return
				}
			}
		}()
	}
	return all
}

func consumers(t *testing.T, node *nodetest.Node, channel string, count int) []*client {
	t.Helper()
	var all []*client
	for range count {
		c := dial(t, node)
		c.consume(channel)
		all = append(all, c)
	}
	return all
}

// Two idle consumers get single records in turn. A consumer is idle again when its event
// loop has gone on to something else, so a request on each loop precedes every record.
func TestIdleConsumersTakeTurns(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("EventLoop.count", "2"))
	got := deliveries(consumers(t, node, "turns", 2), 8)
	producer := dial(t, node)
	onEachLoop := []*client{dial(t, node), dial(t, node), dial(t, node), dial(t, node)}
	last := -1
	for number := range 40 {
		for _, c := range onEachLoop {
			c.alive()
		}
		producer.push("turns", record(number, 8))
		d := <-got
		if d.err != nil || d.number != number {
			t.Fatalf("got record %d, error %v; want record %d", d.number, d.err, number)
		}
		if d.consumer == last {
			t.Fatalf("record %d went to consumer %d like the one before, want strict alternation", number, d.consumer)
		}
		last = d.consumer
	}
}

func TestBurstGoesToEachConsumerOnceAndInOrder(t *testing.T) {
	const count = 40
	var pushes, records []byte
	for number := range count {
		pushes = append(pushes, legacyclient.Request(legacyclient.Push, "burst", record(number, 8))...)
		records = legacyclient.AppendArray(records, record(number, 8))
	}
	tests := []struct {
		name string
		send func(c *client)
	}{
		{"Produce", func(c *client) { c.produce("burst"); c.send(records) }},
		{"pipelined Push", func(c *client) {
			c.send(pushes)
			for range count {
				c.wantStatus(legacyclient.Ok)
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t)
			both := consumers(t, node, "burst", 2)
			got := deliveries(both, 8)
			producer := dial(t, node)
			test.send(producer)
			last := map[int]int{0: -1, 1: -1}
			seen := map[int]bool{}
			for range count {
				d := <-got
				if d.err != nil {
					t.Fatal(d.err)
				}
				if seen[d.number] {
					t.Errorf("record %d for the second time", d.number)
				}
				if d.number <= last[d.consumer] {
					t.Errorf("consumer %d got record %d after %d", d.consumer, d.number, last[d.consumer])
				}
				seen[d.number], last[d.consumer] = true, d.number
			}
			// Nothing is left: both still wait and get the next ones.
			producer2 := dial(t, node)
			producer2.push("burst", record(count, 8))
			if d := <-got; d.number != count {
				t.Errorf("got record %d (error %v) after the burst, want %d", d.number, d.err, count)
			}
		})
	}
}

// The status of a Consume and the records come at once, not with the flush timer.
func TestWaitingConsumerGetsRecordWithoutFlushTimer(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Performance.write_flush_ms", "60000"))
	consumer, producer := dial(t, node), dial(t, node)
	consumer.consume("now")
	for number := range 20 {
		producer.push("now", record(number, 100))
		consumer.wantArray(record(number, 100))
	}
	producer.produce("now")
	for number := range 20 {
		producer.send(legacyclient.Records(record(number, 100)))
		consumer.wantArray(record(number, 100))
	}
}

// leaving are the ways in which a consumer can go away.
var leaving = []struct {
	name  string
	leave func(c *client)
}{
	{"close", func(c *client) { c.must(c.Close()) }},
	{"reset", func(c *client) { c.must(c.Reset()) }},
	{"half-close", func(c *client) { c.must(c.CloseWrite()) }},
}

// leaveAndWait makes a consumer go away and waits until the node has closed its side.
// Every other connection must have been used, so that the node has accepted it.
func leaveAndWait(t *testing.T, node *nodetest.Node, c *client, leave func(*client)) {
	t.Helper()
	open := node.Sockets()
	leave(c)
	eventually(t, "the node closes the connection of the consumer that left", func() bool { return node.Sockets() < open })
}

func TestRecordsPushedAfterConsumerLeftReachTheNextOne(t *testing.T) {
	for _, way := range leaving {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t)
			gone, producer := dial(t, node), dial(t, node)
			gone.consume("left")
			producer.push("left", record(0, 8))
			gone.wantArray(record(0, 8))
			leaveAndWait(t, node, gone, way.leave)
			for number := 1; number <= 5; number++ {
				producer.push("left", record(number, 8))
			}
			next := dial(t, node)
			next.consume("left")
			for number := 1; number <= 5; number++ {
				next.wantArray(record(number, 8))
			}
		})
	}
}

func TestRecordsPushedAfterConsumerLeftReachTheOther(t *testing.T) {
	for _, way := range leaving {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t)
			both := consumers(t, node, "left", 2)
			leaveAndWait(t, node, both[0], way.leave)
			producer := dial(t, node)
			for number := range 10 {
				producer.push("left", record(number, 8))
				both[1].wantArray(record(number, 8))
			}
		})
	}
}

// Bytes that a consumer sent behind its Consume are requests of their own; that it then
// shuts down its sending side must not lose them (legacy protocol spec §7.5).
func TestRequestsBehindConsumeOfHalfClosingClientAreExecuted(t *testing.T) {
	// 100,000 bytes are more than a node should read ahead, and the kernel takes them.
	for _, before := range []int{0, 100, 25_000} {
		t.Run(fmt.Sprint(before), func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t)
			consumer, other := dial(t, node), dial(t, node)
			consumer.consume("ended")
			requests := bytes.Repeat(legacyclient.Request(legacyclient.GetNumConnections), before)
			sent := make(chan error, 1)
			go func() {
				err := consumer.Send(append(requests, legacyclient.Request(legacyclient.Push, "kept", "value")...))
				sent <- errors.Join(err, consumer.CloseWrite())
			}()
			consumer.drain()
			consumer.must(<-sent)
			other.wantPop("kept", "value")
		})
	}
}

// Requests behind a Consume wait for its end, however many they are.
func TestManyRequestsBehindConsumeWaitForItsEnd(t *testing.T) {
	t.Parallel()
	const count = 100_000
	node := nodetest.Start(t)
	consumer, other := dial(t, node), dial(t, node)
	consumer.consume("wait")
	sent := make(chan error, 1)
	go func() {
		var requests []byte
		for range count {
			requests = append(requests, legacyclient.Request(legacyclient.GetNumConnections)...)
		}
		sent <- consumer.Send(requests)
	}()
	other.push("wait", "record")
	consumer.wantArray("record")
	consumer.wantSilence()
	other.remove("wait")
	consumer.wantArray("")
	for range count {
		consumer.wantStatus(legacyclient.NotSupported)
	}
	consumer.must(<-sent)
}

// A consumer that is gone leaves the set even if unread requests of it are waiting.
func TestResetIsSeenBehindUnreadRequests(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	both := consumers(t, node, "unread", 2)
	both[0].send(make([]byte, 60_000))
	leaveAndWait(t, node, both[0], func(c *client) { c.must(c.Reset()) })
	producer := dial(t, node)
	for number := range 10 {
		producer.push("unread", record(number, 8))
		both[1].wantArray(record(number, 8))
	}
}

// smallWindow makes the kernel take in little for a client that does not read.
var smallWindow = legacyclient.ReceiveBuffer(4096)

const (
	// bigRecord and bigCount make more than the kernel's buffers of two sockets hold,
	// and fit into the memory of a channel.
	bigRecord = 10_000
	bigCount  = 1_500
	// maxInKernel is more than the buffers of one socket pair hold: 4 MiB to send by
	// default on Linux, and little to receive.
	maxInKernel = 6 << 20
)

// blockedConsumer returns a consumer that has not read anything and whose channel got
// the records 0 to bigCount-1, far more than its socket takes.
func blockedConsumer(t *testing.T, node *nodetest.Node, channel string) *client {
	t.Helper()
	blocked := dial(t, node, smallWindow)
	blocked.consume(channel)
	producer := dial(t, node)
	producer.produceRecords(channel, 0, bigCount, bigRecord)
	return blocked
}

func TestBlockedConsumerHoldsNothingBack(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Performance.write_flush_ms", "60000"))
	blocked := blockedConsumer(t, node, "slow")
	idle, producer := dial(t, node), dial(t, node)
	idle.consume("slow")

	// The idle consumer takes what is queued, then waits.
	seen := make([]bool, bigCount)
	rest := 0
	for ; idle.Silence(silence) != nil; rest++ {
		seen[idle.number(bigRecord)] = true
	}
	if written := (bigCount - rest) * bigRecord; written > maxInKernel {
		t.Errorf("the node took %d bytes for a consumer that doesn't read, want at most %d", written, maxInKernel)
	}

	// It then gets every new record, without any help of the flush timer.
	for number := range 40 {
		producer.push("slow", record(number, 100))
		idle.wantArray(record(number, 100))
	}

	// The blocked one gets the rest as soon as it reads.
	for last := -1; rest < bigCount; rest++ {
		number := blocked.number(bigRecord)
		if seen[number] || number <= last {
			t.Fatalf("the blocked consumer got record %d after %d, seen before: %v", number, last, seen[number])
		}
		seen[number], last = true, number
	}
	blocked.wantSilence()
}

// Only what was handed to the kernel dies with a consumer; the rest is delivered to the
// next one, in order.
func TestKilledConsumerLosesOnlyWhatWasWritten(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	blocked := blockedConsumer(t, node, "killed")
	written := writtenTo(t, node, blocked)
	leaveAndWait(t, node, blocked, func(c *client) { c.must(c.Reset()) })
	next := dial(t, node)
	next.consume("killed")
	first := next.number(bigRecord)
	const inStream = 8 + bigRecord
	if most := (written + inStream - 1) / inStream; first > most {
		t.Errorf("%d records are lost, want at most the %d of which bytes were written", first, most)
	}
	for number := first + 1; number < bigCount; number++ {
		if got := next.number(bigRecord); got != number {
			t.Fatalf("got record %d after %d", got, number-1)
		}
	}
	next.wantSilence()
}

// writtenTo returns how many bytes the node has written to a blocked client that it has
// not received, once that no longer changes.
func writtenTo(t *testing.T, node *nodetest.Node, c *client) int {
	t.Helper()
	last := 0
	eventually(t, "the node has filled the client's socket", func() bool {
		time.Sleep(50 * time.Millisecond)
		unread, err := c.Unread()
		c.must(err)
		before := last
		last = node.SendQueue(c.LocalAddr()) + unread
		return last > 0 && last == before
	})
	return last
}

// A record larger than any buffer arrives whole, also split over many writes.
func TestLargeRecordsReachConsumers(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	both := consumers(t, node, "large", 2)
	producer := dial(t, node)
	sizes := []int{65_535, 65_536, 65_537, 1 << 20, legacyclient.MaxArray}
	for i, size := range sizes {
		producer.push("large", record(i, size))
	}
	type result struct {
		text string
		err  error
	}
	results := make(chan result, len(sizes)+len(both))
	for _, c := range both {
		go func() {
			for {
				text, err := c.Array()
				results <- result{text, err}
				if err != nil {
					return
				}
			}
		}()
	}
	seen := map[int]bool{}
	for range sizes {
		got := <-results
		if got.err != nil {
			t.Fatal(got.err)
		}
		var number int
		fmt.Sscanf(got.text, "%07d ", &number)
		if number >= len(sizes) || seen[number] || got.text != record(number, sizes[number]) {
			t.Fatalf("got %s: want each record once and whole", excerpt(got.text))
		}
		seen[number] = true
	}
}
