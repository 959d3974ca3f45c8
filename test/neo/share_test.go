package neo

import (
	"fmt"
	"math/rand"
	"sync"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// Idle consumers of the same subscriber get single records in turn, the one that has
// waited longest first (neo protocol spec §11.7, Q15).
func TestNeoIdleConsumersTakeTurns(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c, producer := clients.Neo(t, node), clients.Neo(t, node)
	all := make([]*clients.NeoConsumer, 5)
	for i := range all {
		all[i] = c.MustConsume("turns", "")
	}
	for number := range 50 {
		producer.MustPush(clients.Record(number, 20), "turns")
		k := all[number%len(all)]
		k.WantRecords(clients.Record(number, 20))
		c.WantNothing()
	}
}

// A consumer with a batch in flight is passed over: everything goes to those that can take
// it, at once, whether they wait on the same connection, on another, or speak the other
// protocol.
func TestNeoBusyConsumersTakeNoWakeUps(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Performance.write_flush_ms", "60000"), nodetest.Set("EventLoop.count", "2"))
	c, other, producer := clients.Neo(t, node), clients.Neo(t, node), clients.Neo(t, node)
	var busy []*clients.NeoConsumer
	for i := range 4 {
		k := []*clients.NeoClient{c, other}[i%2].MustConsume("busy", "")
		producer.MustPush("busy", "busy")
		k.WantBatch("busy")
		busy = append(busy, k)
	}
	for _, c := range []*clients.NeoClient{c, other} {
		k := c.MustConsume("busy", "")
		for number := range 50 {
			producer.MustPush(clients.Record(number, 20), "busy")
			k.WantRecords(clients.Record(number, 20))
		}
		k.Stop()
	}
	legacy := clients.Legacy(t, node)
	legacy.MustConsume("busy")
	for number := range 50 {
		producer.MustPush(clients.Record(number, 20), "busy")
		legacy.WantArray(clients.Record(number, 20))
	}
	clients.LeaveLegacy(t, node, legacy, func(c *clients.LegacyClient) { c.Must(c.Close()) })

	// With all of them busy, what comes waits for the first that goes on.
	for number := range 50 {
		producer.MustPush(clients.Record(number, 20), "busy")
	}
	for i, k := range busy {
		k.Send(neoclient.Continue)
		if i == 0 {
			k.WantRecords(clients.Numbered(0, 50, 20)...)
		}
	}
	c.WantNothing()
	other.WantNothing()
}

// What is pushed at once to several idle consumers is divided among them.
func TestNeoIdleConsumersShareABurst(t *testing.T) {
	t.Parallel()
	const consumers, records = 4, 40
	node := nodetest.Start(t, nodetest.Set("EventLoop.count", "1"))
	c, producer := clients.Neo(t, node), clients.Neo(t, node)
	all := make([]*clients.NeoConsumer, consumers)
	for i := range all {
		all[i] = c.MustConsume("burst", "")
	}
	var burst []byte
	for number := range records {
		burst = append(burst, neoclient.RequestFrame(1, neoclient.PushPayload([]byte(clients.Record(number, 20)), "burst"))...)
	}
	producer.MustWrite(burst)
	next := 0
	for _, k := range all { // in the order in which they wait
		batch := k.Batch()
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
	blocked, other, producer := clients.Neo(t, node, clients.SmallWindow), clients.Neo(t, node), clients.Neo(t, node)
	alone := blocked.MustConsume("alone", "")
	shared := blocked.MustConsume("shared", "") // its turn is before the other's
	large := blocked.MustConsume("large", "")
	producer.MustPush(clients.Record(1, size), "large")
	producer.Alive()
	waiting := other.MustConsume("shared", "")
	for number := range 20 {
		producer.MustPush(clients.Record(number, 20), "shared")
		waiting.WantRecords(clients.Record(number, 20))
	}
	producer.MustPush("alone", "alone")
	producer.MustPush("more", "alone")
	large.WantBatch(clients.Record(1, size))
	alone.WantRecords("alone", "more")
	waiting.Stop()
	producer.MustPush("last", "shared")
	shared.WantRecords("last")
}

// A record never stays behind because its consumer stops, or goes away, in the moment in
// which the record comes, while another one waits.
func TestNeoWakeUpOfALeavingConsumerIsNotLost(t *testing.T) {
	for _, way := range []struct {
		name  string
		leave func(k *clients.NeoConsumer) (records [][]byte, err error)
	}{
		{"Stop", func(k *clients.NeoConsumer) ([][]byte, error) { return k.End() }},
		{"close", func(k *clients.NeoConsumer) ([][]byte, error) { return nil, k.Client.Close() }},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t, nodetest.Set("EventLoop.count", "2"), nodetest.Set("Performance.write_flush_ms", "60000"))
			producer, waiting := clients.Neo(t, node), clients.Neo(t, node)
			for round := range 200 {
				channel := fmt.Sprintf("wake%d", round%10)
				leaving := clients.Neo(t, node)
				first := leaving.MustConsume(channel, "") // its turn is first
				second := waiting.MustConsume(channel, "")
				id := producer.NextID()
				value := clients.Record(round, 20)
				producer.Must(producer.Send(id, neoclient.PushPayload([]byte(value), channel)))
				records, err := way.leave(first)
				producer.Must(err)
				producer.WantReply(id, clients.Supported, clients.Pushed)
				if len(records) == 0 {
					second.WantRecords(value)
				} else if string(records[0]) != value || len(records) != 1 {
					t.Fatalf("the leaving consumer got %d records, first %s; want %s", len(records), clients.Excerpt(string(records[0])), value)
				}
				second.Stop()
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
			random := nodetest.Random(t)
			seeds := make([]int64, chaosProducers+chaosConsumers)
			for i := range seeds {
				seeds[i] = random.Int63()
			}
			nodetest.Together(t, len(seeds), func(i int) error {
				if i < chaosProducers {
					return chaos.produce(i, rand.New(rand.NewSource(seeds[i])))
				}
				return chaos.consume(rand.New(rand.NewSource(seeds[i])))
			})
			c := clients.Neo(t, node)
			c.MustConsume("chaos", "")
			c.WantNothing()
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
	c, err := neoclient.Connect(n.address, clients.TestLogin())
	if err != nil {
		return err
	}
	defer c.Close()
	for next := 0; next < chaosRecords; {
		count := min(1+random.Intn(50), chaosRecords-next)
		var frames []byte
		for i := range count {
			value := clients.Record(producer*chaosRecords+next+i, chaosSize)
			frames = append(frames, neoclient.RequestFrame(uint64(i+1), neoclient.PushPayload([]byte(value), "chaos"))...)
		}
		if err := c.Write(frames); err != nil {
			return err
		}
		for i := range count {
			if err := c.Supported(uint64(i + 1)); err != nil {
				return err
			}
			if status, err := c.ReadByteFor(uint64(i + 1)); status != clients.Pushed {
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
	c, err := neoclient.Connect(n.address, clients.TestLogin())
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
		if status, err := c.Push(nil); status != clients.Pushed { // the node has the Continue
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
		number, err := clients.RecordNumber(string(r), chaosSize)
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
