package test

import (
	"fmt"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// A Stop that crosses Records: the client may get one more batch, then Stopped. Whether it
// does or not, no record is lost, none comes twice, and the order stays (neo protocol spec §11.5, race 1;
// Q13).
func TestNeoStopCrossesRecords(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("EventLoop.count", "2"))
	c, producer := connect(t, node), connect(t, node)
	next, crossed := 0, 0
	const rounds, each = 500, 3
	for round := range rounds {
		var pushes []byte
		for i := range each {
			value := record(each*round+i, 20)
			pushes = append(pushes, neoclient.RequestFrame(uint64(1000+i), neoclient.PushPayload([]byte(value), "cross"))...)
		}
		k := c.consume("cross", "")
		if round%2 == 1 && next < each*round { // with a batch in flight, or not
			records := k.batch()
			next = wantNumbers(t, records, next)
		}
		producer.write(pushes)
		records, err := k.End()
		c.must(err)
		if len(records) > 0 {
			crossed++
		}
		var got []string
		for _, r := range records {
			got = append(got, string(r))
		}
		next = wantNumbers(t, got, next)
		for i := range each {
			producer.wantReply(uint64(1000+i), supported, pushed)
		}
	}
	k := c.consume("cross", "")
	for next < each*rounds {
		next = wantNumbers(t, k.batch(), next)
		k.send(neoclient.Continue)
	}
	c.wantNothing()
	t.Logf("Records crossed Stop in %d of %d rounds", crossed, rounds)
}

// wantNumbers requires consecutive records from next on, and returns the number behind.
func wantNumbers(t *testing.T, records []string, next int) int {
	t.Helper()
	for _, r := range records {
		number, err := recordNumber(r, 20)
		if err != nil || number != next {
			t.Fatalf("got record %d, error %v; want record %d", number, err, next)
		}
		next++
	}
	return next
}

// All orders of Continue and Stop that D clients are known to send behind a batch. Each
// ends with Stopped; at most one more batch may come before it, and nothing behind it. The
// other requests of the connection don't notice (neo protocol spec §11.5, race 2; Q14).
func TestNeoContinueAndStopInAnyOrder(t *testing.T) {
	frame := func(k *neoConsumer, message byte) []byte { return neoclient.RequestFrame(k.ID, []byte{message}) }
	orders := []struct {
		name string
		send func(k *neoConsumer)
	}{
		{"Stop", func(k *neoConsumer) { k.c.write(frame(k, neoclient.Stop)) }},
		{"Continue, Stop in one write", func(k *neoConsumer) {
			k.c.write(frame(k, neoclient.Continue), frame(k, neoclient.Stop))
		}},
		{"Continue, then Stop", func(k *neoConsumer) {
			k.c.write(frame(k, neoclient.Continue))
			k.c.alive()
			k.c.write(frame(k, neoclient.Stop))
		}},
		{"Stop, Continue in one write", func(k *neoConsumer) {
			k.c.write(frame(k, neoclient.Stop), frame(k, neoclient.Continue))
		}},
		{"Stop, then Continue", func(k *neoConsumer) {
			k.c.write(frame(k, neoclient.Stop))
			k.c.alive()
			k.c.write(frame(k, neoclient.Continue))
		}},
	}
	for _, queued := range []int{0, 5, 300} { // behind the first batch
		for _, order := range orders {
			t.Run(fmt.Sprintf("%s, %d queued", order.name, queued), func(t *testing.T) {
				t.Parallel()
				node := nodetest.Start(t)
				c, producer := connect(t, node), dial(t, node)
				other := c.consume("other", "")
				producer.push("order", record(0, 1000))
				k := c.consume("order", "")
				k.wantBatch(record(0, 1000))
				producer.produceRecords("order", 1, 1+queued, 1000)
				order.send(k)

				next := 1
				message, records, err := k.Next()
				c.must(err)
				if message == neoclient.Records {
					for _, r := range records {
						if string(r) != record(next, 1000) {
							t.Fatalf("got %s, want record %d", excerpt(string(r)), next)
						}
						next++
					}
					message, _, err = k.Next()
					c.must(err)
				}
				if message != neoclient.Stopped {
					t.Fatalf("got message %02x, want Stopped", message)
				}
				c.wantNothing()
				producer.push("other", "value")
				other.wantRecords("value")
				k = c.consume("order", "")
				k.wantRecords(numbered(next, 1+queued, 1000)...)
				c.wantNothing()
				k.send(neoclient.Stop)
				k.wantEnd(neoclient.Stopped)
			})
		}
	}
}

// Stop in one write with the first message works, and leaves the records where they are or
// delivers them (neo protocol spec §11.5, race 4). So does the next Consume on the same id behind it.
func TestNeoStopBeforeStarted(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c, producer := connect(t, node), connect(t, node)
	const id = 900
	consume := neoclient.RequestFrame(id, neoclient.ConsumePayload("early", ""))
	stop := neoclient.RequestFrame(id, []byte{neoclient.Stop})
	k := &neoConsumer{c.Consumer(id), c}
	next, pushes := 0, 0
	for range 20 {
		for range 3 {
			producer.push(record(pushes, 20), "early")
			pushes++
		}
		c.write(consume, stop, consume, stop)
		for range 2 {
			c.wantReply(id, supported, started)
			message, records, err := k.Next()
			c.must(err)
			if message == neoclient.Records {
				for _, r := range records {
					next = wantNumbers(t, []string{string(r)}, next)
				}
				message, _, err = k.Next()
				c.must(err)
			}
			if message != neoclient.Stopped {
				t.Fatalf("got message %02x, want Stopped", message)
			}
		}
	}
	c.write(consume)
	c.wantReply(id, supported, started)
	for next < pushes {
		next = wantNumbers(t, k.batch(), next)
		k.send(neoclient.Continue)
	}
	c.wantNothing()
}

// A Continue that does not wait for Started can't answer a batch.
func TestNeoContinueBeforeStarted(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c, other := connect(t, node), connect(t, node)
	other.push("value", "early")
	c.write(neoclient.RequestFrame(7, neoclient.ConsumePayload("early", "")), neoclient.RequestFrame(7, []byte{neoclient.Continue}))
	c.wantFrame(7, supported)
	c.wantFrame(7, started)
	c.wantClose()
	leaveNeo(t, node, c, byClose)
	other.consume("early", "").wantRecords("value")
}

// Consumes start, get records, and stop at a high rate on one connection, each on the id of
// one before, with late Continues in between.
func TestNeoManyShortConsumes(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c := connect(t, node)
	next, pushes := 0, 0
	for range 1000 {
		for range 2 {
			c.push(record(pushes, 20), "short")
			pushes++
		}
		k := c.consume("short", "")
		next = wantNumbers(t, k.batch(), next)
		k.send(neoclient.Stop)
		k.send(neoclient.Continue)
		k.wantEnd(neoclient.Stopped)
	}
	if next != pushes {
		t.Errorf("got %d records, want %d", next, pushes)
	}
	c.wantNothing()
}
