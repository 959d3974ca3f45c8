package legacy

import (
	"fmt"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// Several producers and consumers at once: every record arrives exactly once, and each
// consumer sees the records of each producer in the order they were produced in, also
// when most of them do not fit into the memory of the channel.
func TestOrderWithSeveralProducersAndConsumers(t *testing.T) {
	for _, ring := range []string{"20000000", "20000"} {
		t.Run("channel_size_limit="+ring, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", ring))
			testOrder(t, node)
		})
	}
}

const (
	orderProducers = 4 // half of them Produce, half pipeline Push
	orderConsumers = 3
	orderCount     = 5000 // records of each producer
	orderSize      = 40
)

func testOrder(t *testing.T, node *nodetest.Node) {
	got := deliveries(consumers(t, node, "order", orderConsumers), orderSize)
	produced := make(chan error, orderProducers)
	for producer := range orderProducers {
		go func() { produced <- orderProducer(node.Legacy(), producer) }()
	}
	var last [orderConsumers][orderProducers]int
	seen := map[int]bool{}
	timeout := time.After(3 * nodetest.Patience)
	for len(seen) < orderProducers*orderCount {
		var d delivery
		select {
		case d = <-got:
		case <-timeout:
			t.Fatalf("got %d of %d records", len(seen), orderProducers*orderCount)
		}
		if d.err != nil {
			t.Fatalf("consumer %d: %v", d.consumer, d.err)
		}
		producer, sequence := d.number/orderCount, d.number%orderCount+1
		if seen[d.number] {
			t.Fatalf("record %d of producer %d for the second time", sequence, producer)
		}
		if before := last[d.consumer][producer]; sequence < before {
			t.Fatalf("consumer %d got record %d of producer %d after its record %d", d.consumer, sequence, producer, before)
		}
		seen[d.number], last[d.consumer][producer] = true, sequence
	}
	for range orderProducers {
		if err := <-produced; err != nil {
			t.Error(err)
		}
	}
}

func orderProducer(address string, producer int) error {
	conn, err := legacyclient.Dial(address)
	if err != nil {
		return err
	}
	defer conn.Close()
	streaming := producer%2 == 0
	if streaming {
		if status, err := conn.Do(legacyclient.Request(legacyclient.Produce, "order")); status != legacyclient.Ok {
			return fmt.Errorf("Produce: got status %d, error %v", status, err)
		}
	}
	const batch = 50
	for first := 0; first < orderCount; first += batch {
		var bytes []byte
		for i := first; i < first+batch; i++ {
			text := clients.Record(producer*orderCount+i, orderSize)
			if streaming {
				bytes = legacyclient.AppendArray(bytes, text)
			} else {
				bytes = append(bytes, legacyclient.Request(legacyclient.Push, "order", text)...)
			}
		}
		if err := conn.Send(bytes); err != nil {
			return err
		}
		for i := 0; i < batch && !streaming; i++ {
			if status, err := conn.Status(); status != legacyclient.Ok {
				return fmt.Errorf("Push: got status %d, error %v", status, err)
			}
		}
	}
	return nil
}

// A queue that has gone over the memory of its channel still gives its records in order.
func TestOrderBeyondTheMemoryOfTheChannel(t *testing.T) {
	t.Parallel()
	const count, size = 1000, 100
	node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "2000"))
	c := clients.Legacy(t, node)
	c.ProduceRecords("over", 0, count, size)
	for number := range count / 2 {
		c.WantPop("over", clients.Record(number, size))
		c.MustPush("over", clients.Record(count+number, size))
	}
	c.MustConsume("over")
	for number := count / 2; number < count+count/2; number++ {
		c.WantArray(clients.Record(number, size))
	}
}
