package test

import (
	"fmt"
	"math/rand"
	"sync"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// Idle consumers of the same subscriber get single records in turn, the one that has
// waited longest first (neo protocol spec §11.7, Q15).
func TestNeoIdleConsumersTakeTurns(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c, producer := connect(t, node), connect(t, node)
	all := make([]*neoConsumer, 5)
	for i := range all {
		all[i] = c.consume("turns", "")
	}
	for number := range 50 {
		producer.push(record(number, 20), "turns")
		k := all[number%len(all)]
		k.wantRecords(record(number, 20))
		c.wantNothing()
	}
}

// A consumer with a batch in flight is passed over: everything goes to those that can take
// it, at once, whether they wait on the same connection, on another, or speak the other
// protocol.
func TestNeoBusyConsumersTakeNoWakeUps(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Performance.write_flush_ms", "60000"), nodetest.Set("EventLoop.count", "2"))
	c, other, producer := connect(t, node), connect(t, node), connect(t, node)
	var busy []*neoConsumer
	for i := range 4 {
		k := []*neo{c, other}[i%2].consume("busy", "")
		producer.push("busy", "busy")
		k.wantBatch("busy")
		busy = append(busy, k)
	}
	for _, c := range []*neo{c, other} {
		k := c.consume("busy", "")
		for number := range 50 {
			producer.push(record(number, 20), "busy")
			k.wantRecords(record(number, 20))
		}
		k.stop()
	}
	legacy := dial(t, node)
	legacy.consume("busy")
	for number := range 50 {
		producer.push(record(number, 20), "busy")
		legacy.wantArray(record(number, 20))
	}
	leaveAndWait(t, node, legacy, func(c *client) { c.must(c.Close()) })

	// With all of them busy, what comes waits for the first that goes on.
	for number := range 50 {
		producer.push(record(number, 20), "busy")
	}
	for i, k := range busy {
		k.send(neoclient.Continue)
		if i == 0 {
			k.wantRecords(numbered(0, 50, 20)...)
		}
	}
	c.wantNothing()
	other.wantNothing()
}

// What is pushed at once to several idle consumers is divided among them.
func TestNeoIdleConsumersShareABurst(t *testing.T) {
	t.Parallel()
	const consumers, records = 4, 40
	node := nodetest.Start(t, nodetest.Set("EventLoop.count", "1"))
	c, producer := connect(t, node), connect(t, node)
	all := make([]*neoConsumer, consumers)
	for i := range all {
		all[i] = c.consume("burst", "")
	}
	var burst []byte
	for number := range records {
		burst = append(burst, neoclient.RequestFrame(1, neoclient.PushPayload([]byte(record(number, 20)), "burst"))...)
	}
	producer.write(burst)
	next := 0
	for _, k := range all { // in the order in which they wait
		batch := k.batch()
		if len(batch) < records/consumers/2 || len(batch) > 2*records/consumers {
			t.Errorf("a consumer got %d of %d records, want about 1 of %d", len(batch), records, consumers)
		}
		next = wantNumbers(t, batch, next)
	}
	if next != records {
		t.Errorf("got %d records, want %d", next, records)
	}
}

// A consumer whose connection takes nothing more, since its client does not read, is passed
// over, too, and gets its records when the client reads.
func TestNeoBlockedConnectionHoldsNothingBack(t *testing.T) {
	t.Parallel()
	const size = 16 << 20
	node := nodetest.Start(t, nodetest.Set("Performance.write_flush_ms", "60000"), nodetest.Set("EventLoop.count", "2"))
	blocked, other, producer := connect(t, node, smallWindow), connect(t, node), connect(t, node)
	alone := blocked.consume("alone", "")
	shared := blocked.consume("shared", "") // its turn is before the other's
	large := blocked.consume("large", "")
	producer.push(record(1, size), "large")
	producer.alive()
	waiting := other.consume("shared", "")
	for number := range 20 {
		producer.push(record(number, 20), "shared")
		waiting.wantRecords(record(number, 20))
	}
	producer.push("alone", "alone")
	producer.push("more", "alone")
	large.wantBatch(record(1, size))
	alone.wantRecords("alone", "more")
	waiting.stop()
	producer.push("last", "shared")
	shared.wantRecords("last")
}

// A record never stays behind because its consumer stops, or goes away, in the moment in
// which the record comes, while another one waits.
func TestNeoWakeUpOfALeavingConsumerIsNotLost(t *testing.T) {
	for _, way := range []struct {
		name  string
		leave func(k *neoConsumer) (records [][]byte, err error)
	}{
		{"Stop", func(k *neoConsumer) ([][]byte, error) { return k.End() }},
		{"close", func(k *neoConsumer) ([][]byte, error) { return nil, k.c.Close() }},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t, nodetest.Set("EventLoop.count", "2"), nodetest.Set("Performance.write_flush_ms", "60000"))
			producer, waiting := connect(t, node), connect(t, node)
			for round := range 200 {
				channel := fmt.Sprintf("wake%d", round%10)
				leaving := connect(t, node)
				first := leaving.consume(channel, "") // its turn is first
				second := waiting.consume(channel, "")
				id := producer.NextID()
				value := record(round, 20)
				producer.must(producer.Send(id, neoclient.PushPayload([]byte(value), channel)))
				records, err := way.leave(first)
				producer.must(err)
				producer.wantReply(id, supported, pushed)
				if len(records) == 0 {
					second.wantRecords(value)
				} else if string(records[0]) != value || len(records) != 1 {
					t.Fatalf("the leaving consumer got %d records, first %s; want %s", len(records), excerpt(string(records[0])), value)
				}
				second.stop()
				leaving.Close()
			}
		})
	}
}

// Several consumers on several connections come, go on, stop, and are killed with a batch
// in flight, while several producers push: every record is confirmed exactly once, and in
// each batch the records of each producer are in order. (Records that come back may be
// older than what a consumer got before.)
func TestNeoChaos(t *testing.T) {
	for _, ring := range []string{"20000", "20000000"} {
		t.Run("channel_size_limit="+ring, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t, nodetest.Set("EventLoop.count", "2"), nodetest.Set("Server.channel_size_limit", ring))
			chaos := &neoChaos{address: node.Neo(), done: make(chan struct{}), confirmed: map[int]bool{}}
			random := newRand(t)
			seeds := make([]int64, chaosProducers+chaosConsumers)
			for i := range seeds {
				seeds[i] = random.Int63()
			}
			together(t, len(seeds), func(i int) error {
				if i < chaosProducers {
					return chaos.produce(i, rand.New(rand.NewSource(seeds[i])))
				}
				return chaos.consume(rand.New(rand.NewSource(seeds[i])))
			})
			c := connect(t, node)
			c.consume("chaos", "")
			c.wantNothing()
		})
	}
}

const (
	chaosProducers = 3
	chaosConsumers = 4
	chaosRecords   = 3000 // of each producer
	chaosSize      = 150
)

type neoChaos struct {
	address string
	done    chan struct{} // closed when all records are confirmed

	mu        sync.Mutex
	confirmed map[int]bool
}

// produce pushes its records one after the other, some requests ahead of the replies.
func (n *neoChaos) produce(producer int, random *rand.Rand) error {
	c, err := neoclient.Connect(n.address, testLogin())
	if err != nil {
		return err
	}
	defer c.Close()
	for next := 0; next < chaosRecords; {
		count := min(1+random.Intn(50), chaosRecords-next)
		var frames []byte
		for i := range count {
			value := record(producer*chaosRecords+next+i, chaosSize)
			frames = append(frames, neoclient.RequestFrame(uint64(i+1), neoclient.PushPayload([]byte(value), "chaos"))...)
		}
		if err := c.Write(frames); err != nil {
			return err
		}
		for i := range count {
			if err := c.Supported(uint64(i + 1)); err != nil {
				return err
			}
			if status, err := c.ReadByteFor(uint64(i + 1)); status != pushed {
				return fmt.Errorf("Push: got status %02x, error %v", status, err)
			}
		}
		next += count
	}
	return nil
}

// consume is one consumer after the other, until all records are confirmed.
func (n *neoChaos) consume(random *rand.Rand) error {
	for {
		select {
		case <-n.done:
			return nil
		default:
		}
		if err := n.consumeOnce(random); err != nil {
			return err
		}
	}
}

// consumeOnce confirms some batches and ends in one of several ways.
func (n *neoChaos) consumeOnce(random *rand.Rand) error {
	c, err := neoclient.Connect(n.address, testLogin())
	if err != nil {
		return err
	}
	defer c.Close()
	k, err := c.Consume("chaos", "")
	if err != nil {
		return err
	}
	for range random.Intn(20) {
		// The queue may be empty for good, so stop after a while unless a batch comes.
		if random.Intn(3) == 0 {
			break
		}
		records, ended, err := n.batchOrDone(k)
		if err != nil || ended {
			return err
		}
		if random.Intn(8) == 0 {
			return nil // not confirmed: the connection is closed
		}
		if err := n.confirm(records); err != nil {
			return err
		}
		if err := k.Feedback(neoclient.Continue); err != nil {
			return err
		}
		if status, err := c.Push(nil); status != pushed { // the node has the Continue
			return fmt.Errorf("Push: got status %02x, error %v", status, err)
		}
	}
	records, err := k.End()
	if err != nil {
		return err
	}
	return n.confirm(records)
}

// batchOrDone waits for a batch. Since the other consumers may have the last records, it
// stops when all are confirmed; a Stop then ends the wait.
func (n *neoChaos) batchOrDone(k *neoclient.Consumer) (records [][]byte, ended bool, err error) {
	got := make(chan struct{})
	go func() {
		defer close(got)
		records, err = k.Records()
	}()
	select {
	case <-got:
		return records, false, err
	case <-n.done:
		if err := k.Feedback(neoclient.Stop); err != nil {
			return nil, true, err
		}
		<-got // Stopped
		return nil, true, nil
	}
}

func (n *neoChaos) confirm(records [][]byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	last := [chaosProducers]int{-1, -1, -1}
	for _, r := range records {
		number, err := recordNumber(string(r), chaosSize)
		if err != nil {
			return err
		}
		producer := number / chaosRecords
		if n.confirmed[number] {
			return fmt.Errorf("record %d for the second time", number)
		}
		if number <= last[producer] {
			return fmt.Errorf("record %d behind %d in a batch", number, last[producer])
		}
		n.confirmed[number], last[producer] = true, number
		if len(n.confirmed) == chaosProducers*chaosRecords {
			close(n.done)
		}
	}
	return nil
}
