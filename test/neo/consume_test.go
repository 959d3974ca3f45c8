package neo

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// While no batch is in flight whatever is there goes out at once, without any help of the
// flush timer (neo protocol spec §11.3, §18, point 8).
func TestNeoPartialBatchGoesOutAtOnce(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Performance.write_flush_ms", "60000"))
	c, other, legacy := clients.Neo(t, node), clients.Neo(t, node), clients.Legacy(t, node)
	other.MustPush("queued", "now")
	k := c.MustConsume("now", "")
	k.WantBatch("queued")
	for number := range 20 {
		k.Send(neoclient.Continue)
		other.MustPush(clients.Record(number, 100), "now")
		k.WantBatch(clients.Record(number, 100))
	}
	for number := range 20 {
		k.Send(neoclient.Continue)
		legacy.MustPush("now", clients.Record(number, 100))
		k.WantBatch(clients.Record(number, 100))
	}
	for number := range 20 {
		k.Send(neoclient.Continue)
		c.MustPush(clients.Record(number, 100), "now") // on the connection of the consumer
		k.WantBatch(clients.Record(number, 100))
	}
	k.Stop()
}

// While a batch is in flight records wait, however many and however large; then they are
// in the next ones (neo protocol spec §11.2, §18, point 8).
func TestNeoNoBatchBeforeContinue(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("EventLoop.count", "1"))
	c, legacy := clients.Neo(t, node), clients.Legacy(t, node)
	k := c.MustConsume("flow", "")
	legacy.MustPush("flow", "first")
	k.WantBatch("first")
	for number := range 5 {
		legacy.MustPush("flow", clients.Record(number, 100))
		c.WantNothing()
	}
	k.Send(neoclient.Continue)
	k.WantBatch(clients.Numbered(0, 5, 100)...)
	legacy.ProduceRecords("flow", 5, 305, 1000)
	c.WantNothing()
	for first := 5; first < 305; first += 100 {
		k.Send(neoclient.Continue)
		k.WantBatch(clients.Numbered(first, first+100, 1000)...)
		c.WantNothing()
	}
	k.Send(neoclient.Continue)
	c.WantNothing()
	legacy.MustPush("flow", "last")
	k.WantBatch("last")
}

// A batch ends with the record that makes it 100,000 bytes or more, counting 8 bytes for
// the length of each (neo protocol spec §11.3).
func TestNeoBatchesEndAt100000Bytes(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c := clients.Neo(t, node)
	tests := []struct{ sizes, batches []int }{
		{[]int{99_992}, []int{1}},
		{[]int{99_992, 8, 8}, []int{1, 2}},
		{[]int{99_991, 8, 8}, []int{2, 1}},
		{[]int{99_991, 0, 8}, []int{2, 1}},
		{[]int{49_992, 49_992, 8}, []int{2, 1}},
		{[]int{49_992, 49_991, 8, 8}, []int{3, 1}},
		{[]int{99_991, 3_000_000, 8}, []int{2, 1}},
		{[]int{3_000_000, 8, 8}, []int{1, 2}},
		{[]int{3_000_000, 3_000_000, 3_000_000}, []int{1, 1, 1}},
		{make([]int, 12_501), []int{12_500, 1}},
	}
	for i, test := range tests {
		channel := fmt.Sprintf("cut%d", i)
		var records []string
		var pushes []byte
		for number, size := range test.sizes {
			records = append(records, sized(number, size))
			pushes = append(pushes, neoclient.RequestFrame(1, neoclient.PushPayload([]byte(sized(number, size)), channel))...)
		}
		sent := make(chan error, 1)
		go func() { sent <- c.Write(pushes) }()
		for range test.sizes {
			c.WantReply(1, clients.Supported, clients.Pushed)
		}
		c.Must(<-sent)
		k := c.MustConsume(channel, "")
		for _, count := range test.batches {
			k.WantBatch(records[:count]...)
			records = records[count:]
			k.Send(neoclient.Continue)
		}
		c.WantNothing()
		k.Stop()
	}
}

// sized is a record of any size, those of 8 bytes and more with a number.
func sized(number, size int) string {
	if size < 8 {
		return strings.Repeat("s", size)
	}
	return clients.Record(number, size)
}

// Batches are full also where the memory of the channel wraps or ends and the rest is in
// the overflow.
func TestNeoBatchesAcrossRingAndOverflow(t *testing.T) {
	for _, ring := range []string{"1", "20000", "150000", "300000"} {
		t.Run("channel_size_limit="+ring, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", ring), nodetest.Set("EventLoop.count", "1"))
			c := clients.Neo(t, node)
			clients.Legacy(t, node).ProduceRecords("queued", 0, 250, 1000)
			k := c.MustConsume("queued", "")
			for _, batch := range []struct{ first, last int }{{0, 100}, {100, 200}, {200, 250}} {
				k.WantBatch(clients.Numbered(batch.first, batch.last, 1000)...)
				k.Send(neoclient.Continue)
			}
			testBatchesAgainstModel(t, node, nodetest.Random(t))
		})
	}
}

// testBatchesAgainstModel lets one consumer compete with random pushes.
func testBatchesAgainstModel(t *testing.T, node *nodetest.Node, random *rand.Rand) {
	consumer, producer := clients.Neo(t, node), clients.Neo(t, node)
	k := consumer.MustConsume("model", "")
	var queue []string
	inFlight := false
	expect := func() {
		if inFlight || len(queue) == 0 {
			return
		}
		size, n := 0, 0
		for ; n < len(queue) && size < 100_000; n++ {
			size += 8 + len(queue[n])
		}
		got := k.Batch() // which ends early where a file is not read yet
		if len(got) == 0 || len(got) > n || !slices.Equal(got, queue[:len(got)]) {
			t.Fatalf("got batch %s, want the start of %s", clients.Excerpts(got), clients.Excerpts(queue[:n]))
		}
		queue, inFlight = queue[len(got):], true
	}
	for number := range 1500 {
		switch random.Intn(12) {
		case 0:
			if inFlight {
				k.Send(neoclient.Continue)
				inFlight = false
			}
		default:
			size := random.Intn(20_000)
			switch random.Intn(20) {
			case 0:
				size = random.Intn(300_000)
			case 1, 2:
				size = random.Intn(10)
			}
			value := sized(number, size)
			producer.MustPush(value, "model")
			queue = append(queue, value)
		}
		expect()
	}
	for len(queue) > 0 {
		k.Send(neoclient.Continue)
		inFlight = false
		expect()
	}
	consumer.WantNothing()
}

// Empty records are delivered as records of length 0, alone and between others. Legacy
// consumers don't see them (Q10). Neither waits because of them.
func TestNeoEmptyRecords(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Performance.write_flush_ms", "60000"), nodetest.Set("EventLoop.count", "1"))
	c, legacy := clients.Neo(t, node), clients.Legacy(t, node)
	mixed := []string{"", "", "one", "", "two", "", ""}
	for _, value := range mixed {
		c.MustPush(value, "empty")
	}
	k := c.MustConsume("empty", "")
	k.WantBatch(mixed...)
	k.Send(neoclient.Continue)
	for range 3 {
		c.MustPush("", "empty")
		k.WantBatch("")
		k.Send(neoclient.Continue)
	}
	c.MustPush("behind", "empty")
	k.WantRecords("behind")
	k.Stop()

	for _, value := range mixed {
		c.MustPush(value, "empty")
	}
	legacy.MustConsume("empty")
	legacy.WantArray("one")
	legacy.WantArray("two")
	c.MustPush("", "empty")
	c.MustPush("three", "empty")
	legacy.WantArray("three")
	c.MustPush("", "empty")
	c.Alive()
	clients.Legacy(t, node).MustRemove("empty")
	legacy.WantArray("") // the end
	legacy.Alive()
}

// Many Consumes of a connection have a batch in flight each, and don't wait for each other.
func TestNeoConsumesOfOneConnectionAreIndependent(t *testing.T) {
	t.Parallel()
	const count = 200
	node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "200000"))
	c, producer := clients.Neo(t, node), clients.Neo(t, node)
	all := make([]*clients.NeoConsumer, count)
	for i := range all {
		all[i] = c.MustConsume(fmt.Sprintf("many%d", i), "")
	}
	push := func(number int) {
		for i := range all {
			producer.MustPush(clients.Record(number+i, 20), fmt.Sprintf("many%d", i))
		}
	}
	push(0)
	for i, k := range all {
		k.WantBatch(clients.Record(i, 20))
	}
	push(1000)
	for i := count - 1; i >= 0; i-- { // each goes on as soon as it may
		all[i].Send(neoclient.Continue)
		all[i].WantBatch(clients.Record(1000+i, 20))
	}
	c.WantNothing()
	for i, k := range all {
		if i%2 == 0 {
			k.Stop()
		}
	}
	push(2000)
	for i, k := range all {
		if i%2 == 1 {
			k.Send(neoclient.Continue)
			k.WantBatch(clients.Record(2000+i, 20))
		}
	}
	c.WantNothing()
}

// The same channel serves both protocols at once.
func TestNeoAndLegacyConsumersOfOneChannel(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c, legacy, producer := clients.Neo(t, node), clients.Legacy(t, node), clients.Legacy(t, node)
	k := c.MustConsume("both", "") // a legacy consumer has the empty name, too
	legacy.MustConsume("both")
	producer.ProduceRecords("both", 0, 1000, 100)
	seen := map[int]bool{}
	numbers := make(chan int, 1000)
	go func() {
		for {
			text, err := legacy.Array()
			number, err2 := clients.RecordNumber(text, 100)
			if err != nil || err2 != nil {
				return
			}
			numbers <- number
		}
	}()
	done := make(chan error, 1)
	go func() {
		for {
			message, records, err := k.Next()
			if err != nil || message != neoclient.Records {
				done <- err
				return
			}
			for _, r := range records {
				number, err := clients.RecordNumber(string(r), 100)
				if err != nil {
					done <- err
					return
				}
				numbers <- number
			}
			if err := k.Feedback(neoclient.Continue); err != nil {
				done <- err
				return
			}
		}
	}()
	for len(seen) < 1000 {
		number := <-numbers
		if seen[number] {
			t.Fatalf("record %d for the second time", number)
		}
		seen[number] = true
	}
	producer.MustRemove("both")
	if err := <-done; err != nil {
		t.Error(err)
	}
}
