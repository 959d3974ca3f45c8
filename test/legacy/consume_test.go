package legacy

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// delivery is a record and the consumer that got it.
type delivery struct {
	consumer, number int
	err              error
}

// deliveries reads records of a size from all consumers until their connections end.
func deliveries(consumers []*clients.LegacyClient, size int) <-chan delivery {
	all := make(chan delivery, 1000)
	for i, c := range consumers {
		go func() {
			for {
				number, err := clients.NextNumber(c.Conn, size)
				all <- delivery{i, number, err}
				if err != nil {
					return
				}
			}
		}()
	}
	return all
}

func consumers(t *testing.T, node *nodetest.Node, channel string, count int) []*clients.LegacyClient {
	t.Helper()
	var all []*clients.LegacyClient
	for range count {
		c := clients.Legacy(t, node)
		c.MustConsume(channel)
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
	producer := clients.Legacy(t, node)
	onEachLoop := []*clients.LegacyClient{clients.Legacy(t, node), clients.Legacy(t, node), clients.Legacy(t, node), clients.Legacy(t, node)}
	last := -1
	for number := range 40 {
		for _, c := range onEachLoop {
			c.Alive()
		}
		producer.MustPush("turns", clients.Record(number, 8))
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
		pushes = append(pushes, legacyclient.Request(legacyclient.Push, "burst", clients.Record(number, 8))...)
		records = legacyclient.AppendArray(records, clients.Record(number, 8))
	}
	tests := []struct {
		name string
		send func(c *clients.LegacyClient)
	}{
		{"Produce", func(c *clients.LegacyClient) { c.MustProduce("burst"); c.MustSend(records) }},
		{"pipelined Push", func(c *clients.LegacyClient) {
			c.MustSend(pushes)
			for range count {
				c.WantStatus(legacyclient.Ok)
			}
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t)
			both := consumers(t, node, "burst", 2)
			got := deliveries(both, 8)
			producer := clients.Legacy(t, node)
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
			producer2 := clients.Legacy(t, node)
			producer2.MustPush("burst", clients.Record(count, 8))
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
	consumer, producer := clients.Legacy(t, node), clients.Legacy(t, node)
	consumer.MustConsume("now")
	for number := range 20 {
		producer.MustPush("now", clients.Record(number, 100))
		consumer.WantArray(clients.Record(number, 100))
	}
	producer.MustProduce("now")
	for number := range 20 {
		producer.MustSend(legacyclient.Records(clients.Record(number, 100)))
		consumer.WantArray(clients.Record(number, 100))
	}
}

// leaving are the ways in which a consumer can go away.
var leaving = []struct {
	name  string
	leave func(c *clients.LegacyClient)
}{
	{"close", func(c *clients.LegacyClient) { c.Must(c.Close()) }},
	{"reset", func(c *clients.LegacyClient) { c.Must(c.Reset()) }},
	{"half-close", func(c *clients.LegacyClient) { c.Must(c.CloseWrite()) }},
}

func TestRecordsPushedAfterConsumerLeftReachTheNextOne(t *testing.T) {
	for _, way := range leaving {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t)
			gone, producer := clients.Legacy(t, node), clients.Legacy(t, node)
			gone.MustConsume("left")
			producer.MustPush("left", clients.Record(0, 8))
			gone.WantArray(clients.Record(0, 8))
			clients.LeaveLegacy(t, node, gone, way.leave)
			for number := 1; number <= 5; number++ {
				producer.MustPush("left", clients.Record(number, 8))
			}
			next := clients.Legacy(t, node)
			next.MustConsume("left")
			for number := 1; number <= 5; number++ {
				next.WantArray(clients.Record(number, 8))
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
			clients.LeaveLegacy(t, node, both[0], way.leave)
			producer := clients.Legacy(t, node)
			for number := range 10 {
				producer.MustPush("left", clients.Record(number, 8))
				both[1].WantArray(clients.Record(number, 8))
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
			consumer, other := clients.Legacy(t, node), clients.Legacy(t, node)
			consumer.MustConsume("ended")
			requests := bytes.Repeat(legacyclient.Request(legacyclient.GetNumConnections), before)
			sent := make(chan error, 1)
			go func() {
				err := consumer.Send(append(requests, legacyclient.Request(legacyclient.Push, "kept", "value")...))
				sent <- errors.Join(err, consumer.CloseWrite())
			}()
			consumer.Drain()
			consumer.Must(<-sent)
			other.WantPop("kept", "value")
		})
	}
}

// Requests behind a Consume wait for its end, however many they are.
func TestManyRequestsBehindConsumeWaitForItsEnd(t *testing.T) {
	t.Parallel()
	const count = 100_000
	node := nodetest.Start(t)
	consumer, other := clients.Legacy(t, node), clients.Legacy(t, node)
	consumer.MustConsume("wait")
	sent := make(chan error, 1)
	go func() {
		var requests []byte
		for range count {
			requests = append(requests, legacyclient.Request(legacyclient.GetNumConnections)...)
		}
		sent <- consumer.Send(requests)
	}()
	other.MustPush("wait", "record")
	consumer.WantArray("record")
	consumer.WantSilence()
	other.MustRemove("wait")
	consumer.WantArray("")
	for range count {
		consumer.WantStatus(legacyclient.NotSupported)
	}
	consumer.Must(<-sent)
}

// A consumer that is gone leaves the set even if unread requests of it are waiting.
func TestResetIsSeenBehindUnreadRequests(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	both := consumers(t, node, "unread", 2)
	both[0].MustSend(make([]byte, 60_000))
	clients.LeaveLegacy(t, node, both[0], func(c *clients.LegacyClient) { c.Must(c.Reset()) })
	producer := clients.Legacy(t, node)
	for number := range 10 {
		producer.MustPush("unread", clients.Record(number, 8))
		both[1].WantArray(clients.Record(number, 8))
	}
}

func TestBlockedConsumerHoldsNothingBack(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Performance.write_flush_ms", "60000"))
	blocked := clients.BlockedConsumer(t, node, "slow")
	idle, producer := clients.Legacy(t, node), clients.Legacy(t, node)
	idle.MustConsume("slow")

	// The idle consumer takes what is queued, then waits.
	seen := make([]bool, clients.BigCount)
	rest := 0
	for ; idle.Silence(clients.Silence) != nil; rest++ {
		seen[idle.Number(clients.BigRecord)] = true
	}
	if written := (clients.BigCount - rest) * clients.BigRecord; written > clients.MaxInKernel {
		t.Errorf("the node took %d bytes for a consumer that doesn't read, want at most %d", written, clients.MaxInKernel)
	}

	// It then gets every new record, without any help of the flush timer.
	for number := range 40 {
		producer.MustPush("slow", clients.Record(number, 100))
		idle.WantArray(clients.Record(number, 100))
	}

	// The blocked one gets the rest as soon as it reads.
	for last := -1; rest < clients.BigCount; rest++ {
		number := blocked.Number(clients.BigRecord)
		if seen[number] || number <= last {
			t.Fatalf("the blocked consumer got record %d after %d, seen before: %v", number, last, seen[number])
		}
		seen[number], last = true, number
	}
	blocked.WantSilence()
}

// Only what was handed to the kernel dies with a consumer; the rest is delivered to the
// next one, in order.
func TestKilledConsumerLosesOnlyWhatWasWritten(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	blocked := clients.BlockedConsumer(t, node, "killed")
	written := writtenTo(t, node, blocked)
	clients.LeaveLegacy(t, node, blocked, func(c *clients.LegacyClient) { c.Must(c.Reset()) })
	next := clients.Legacy(t, node)
	next.MustConsume("killed")
	first := next.Number(clients.BigRecord)
	const inStream = 8 + clients.BigRecord
	if most := (written + inStream - 1) / inStream; first > most {
		t.Errorf("%d records are lost, want at most the %d of which bytes were written", first, most)
	}
	for number := first + 1; number < clients.BigCount; number++ {
		if got := next.Number(clients.BigRecord); got != number {
			t.Fatalf("got record %d after %d", got, number-1)
		}
	}
	next.WantSilence()
}

// writtenTo returns how many bytes the node has written to a blocked client that it has
// not received, once that no longer changes.
func writtenTo(t *testing.T, node *nodetest.Node, c *clients.LegacyClient) int {
	t.Helper()
	last := 0
	nodetest.Eventually(t, "the node has filled the client's socket", func() bool {
		time.Sleep(50 * time.Millisecond)
		unread, err := c.Unread()
		c.Must(err)
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
	producer := clients.Legacy(t, node)
	sizes := []int{65_535, 65_536, 65_537, 1 << 20, legacyclient.MaxArray}
	for i, size := range sizes {
		producer.MustPush("large", clients.Record(i, size))
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
		if number >= len(sizes) || seen[number] || got.text != clients.Record(number, sizes[number]) {
			t.Fatalf("got %s: want each record once and whole", clients.Excerpt(got.text))
		}
		seen[number] = true
	}
}
