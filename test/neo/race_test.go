package neo

import (
	"fmt"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// A Stop that crosses Records: the client may get one more batch, then Stopped. Whether it
// does or not, no record is lost, none comes twice, and the order stays (neo protocol spec §11.5, race 1;
// Q13).
func TestNeoStopCrossesRecords(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("EventLoop.count", "2"))
	c, producer := clients.Neo(t, node), clients.Neo(t, node)
	next, crossed := 0, 0
	const rounds, each = 500, 3
	for round := range rounds {
		var pushes []byte
		for i := range each {
			value := clients.Record(each*round+i, 20)
			pushes = append(pushes, neoclient.RequestFrame(uint64(1000+i), neoclient.PushPayload([]byte(value), "cross"))...)
		}
		k := c.MustConsume("cross", "")
		if round%2 == 1 && next < each*round { // with a batch in flight, or not
			records := k.Batch()
			next = wantNumbers(t, records, next)
		}
		producer.MustWrite(pushes)
		records, err := k.End()
		c.Must(err)
		if len(records) > 0 {
			crossed++
		}
		var got []string
		for _, r := range records {
			got = append(got, string(r))
		}
		next = wantNumbers(t, got, next)
		for i := range each {
			producer.WantReply(uint64(1000+i), clients.Supported, clients.Pushed)
		}
	}
	k := c.MustConsume("cross", "")
	for next < each*rounds {
		next = wantNumbers(t, k.Batch(), next)
		k.Send(neoclient.Continue)
	}
	c.WantNothing()
	t.Logf("Records crossed Stop in %d of %d rounds", crossed, rounds)
}

// wantNumbers requires consecutive records from next on, and returns the number behind.
func wantNumbers(t *testing.T, records []string, next int) int {
	t.Helper()
	for _, r := range records {
		number, err := clients.RecordNumber(r, 20)
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
	frame := func(k *clients.NeoConsumer, message byte) []byte {
		return neoclient.RequestFrame(k.ID, []byte{message})
	}
	orders := []struct {
		name string
		send func(k *clients.NeoConsumer)
	}{
		{"Stop", func(k *clients.NeoConsumer) { k.Client.MustWrite(frame(k, neoclient.Stop)) }},
		{"Continue, Stop in one write", func(k *clients.NeoConsumer) {
			k.Client.MustWrite(frame(k, neoclient.Continue), frame(k, neoclient.Stop))
		}},
		{"Continue, then Stop", func(k *clients.NeoConsumer) {
			k.Client.MustWrite(frame(k, neoclient.Continue))
			k.Client.Alive()
			k.Client.MustWrite(frame(k, neoclient.Stop))
		}},
		{"Stop, Continue in one write", func(k *clients.NeoConsumer) {
			k.Client.MustWrite(frame(k, neoclient.Stop), frame(k, neoclient.Continue))
		}},
		{"Stop, then Continue", func(k *clients.NeoConsumer) {
			k.Client.MustWrite(frame(k, neoclient.Stop))
			k.Client.Alive()
			k.Client.MustWrite(frame(k, neoclient.Continue))
		}},
	}
	for _, queued := range []int{0, 5, 300} { // behind the first batch
		for _, order := range orders {
			t.Run(fmt.Sprintf("%s, %d queued", order.name, queued), func(t *testing.T) {
				t.Parallel()
				node := nodetest.Start(t)
				c, producer := clients.Neo(t, node), clients.Legacy(t, node)
				other := c.MustConsume("other", "")
				producer.MustPush("order", clients.Record(0, 1000))
				k := c.MustConsume("order", "")
				k.WantBatch(clients.Record(0, 1000))
				producer.ProduceRecords("order", 1, 1+queued, 1000)
				order.send(k)

				next := 1
				message, records, err := k.Next()
				c.Must(err)
				if message == neoclient.Records {
					for _, r := range records {
						if string(r) != clients.Record(next, 1000) {
							t.Fatalf("got %s, want record %d", clients.Excerpt(string(r)), next)
						}
						next++
					}
					message, _, err = k.Next()
					c.Must(err)
				}
				if message != neoclient.Stopped {
					t.Fatalf("got message %02x, want Stopped", message)
				}
				c.WantNothing()
				producer.MustPush("other", "value")
				other.WantRecords("value")
				k = c.MustConsume("order", "")
				k.WantRecords(clients.Numbered(next, 1+queued, 1000)...)
				c.WantNothing()
				k.Send(neoclient.Stop)
				k.WantEnd(neoclient.Stopped)
			})
		}
	}
}

// Stop in one write with the first message works, and leaves the records where they are or
// delivers them (neo protocol spec §11.5, race 4). So does the next Consume on the same id behind it.
func TestNeoStopBeforeStarted(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c, producer := clients.Neo(t, node), clients.Neo(t, node)
	const id = 900
	consume := neoclient.RequestFrame(id, neoclient.ConsumePayload("early", ""))
	stop := neoclient.RequestFrame(id, []byte{neoclient.Stop})
	k := &clients.NeoConsumer{Consumer: c.Consumer(id), Client: c}
	next, pushes := 0, 0
	for range 20 {
		for range 3 {
			producer.MustPush(clients.Record(pushes, 20), "early")
			pushes++
		}
		c.MustWrite(consume, stop, consume, stop)
		for range 2 {
			c.WantReply(id, clients.Supported, clients.Started)
			message, records, err := k.Next()
			c.Must(err)
			if message == neoclient.Records {
				for _, r := range records {
					next = wantNumbers(t, []string{string(r)}, next)
				}
				message, _, err = k.Next()
				c.Must(err)
			}
			if message != neoclient.Stopped {
				t.Fatalf("got message %02x, want Stopped", message)
			}
		}
	}
	c.MustWrite(consume)
	c.WantReply(id, clients.Supported, clients.Started)
	for next < pushes {
		next = wantNumbers(t, k.Batch(), next)
		k.Send(neoclient.Continue)
	}
	c.WantNothing()
}

// A Continue that does not wait for Started can't answer a batch.
func TestNeoContinueBeforeStarted(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c, other := clients.Neo(t, node), clients.Neo(t, node)
	other.MustPush("value", "early")
	c.MustWrite(neoclient.RequestFrame(7, neoclient.ConsumePayload("early", "")), neoclient.RequestFrame(7, []byte{neoclient.Continue}))
	c.WantFrame(7, clients.Supported)
	c.WantFrame(7, clients.Started)
	c.WantClose()
	clients.LeaveNeo(t, node, c, clients.ByClose)
	other.MustConsume("early", "").WantRecords("value")
}

// Consumes start, get records, and stop at a high rate on one connection, each on the id of
// one before, with late Continues in between.
func TestNeoManyShortConsumes(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c := clients.Neo(t, node)
	next, pushes := 0, 0
	for range 1000 {
		for range 2 {
			c.MustPush(clients.Record(pushes, 20), "short")
			pushes++
		}
		k := c.MustConsume("short", "")
		next = wantNumbers(t, k.Batch(), next)
		k.Send(neoclient.Stop)
		k.Send(neoclient.Continue)
		k.WantEnd(neoclient.Stopped)
	}
	if next != pushes {
		t.Errorf("got %d records, want %d", next, pushes)
	}
	c.WantNothing()
}
