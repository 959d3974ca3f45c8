package neo

import (
	"net"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
)

// A batch is sent at once, the next one when the client has answered.
func TestConsume(t *testing.T) {
	n := start(t, nil)
	c, producer := n.connect(), n.connect()
	consumer := c.consume("jobs", "")
	producer.push("1", "jobs")
	c.wantBatch(consumer, "1")
	producer.push("2", "jobs")
	producer.push("3", "jobs")
	c.push("on the same connection", "other")
	if parked := c.Parked(); len(parked) > 0 {
		t.Errorf("got %v before the batch is confirmed", parked)
	}
	c.must(consumer.Feedback(neoclient.Continue))
	c.wantBatch(consumer, "2", "3")
	c.must(consumer.Feedback(neoclient.Continue))
	n.until("confirmation", func() bool { return n.stored("jobs") == 0 })
	producer.push("4", "jobs")
	c.wantBatch(consumer, "4")
	c.must(consumer.Feedback(neoclient.Stop))
	c.wantMessage(consumer, neoclient.Stopped)
	n.until("confirmation by Stop", func() bool { return n.stored("jobs") == 0 })
	n.until("the end to be counted", func() bool { return n.handled("consume") == 1 })
}

// Batches are filled up to about 100 kB.
func TestBatchSize(t *testing.T) {
	n := start(t, nil)
	c := n.connect()
	value := strings.Repeat("x", 30_000)
	for range 5 {
		c.push(value, "jobs")
	}
	consumer := c.consume("jobs", "")
	c.wantBatch(consumer, value, value, value, value)
	c.must(consumer.Feedback(neoclient.Continue))
	c.wantBatch(consumer, value)
}

// Each subscriber gets every record; consumers of one share them.
func TestSubscribers(t *testing.T) {
	n := start(t, nil)
	c, producer := n.connect(), n.connect()
	a, b, sharing := c.consume("jobs", "a"), c.consume("jobs", "b"), c.consume("jobs", "b")
	producer.push("record", "jobs")
	c.wantBatch(a, "record")
	frame, err := c.Read()
	c.must(err)
	if frame.ID != b.ID && frame.ID != sharing.ID {
		t.Errorf("got %v, want a batch of %d or %d", frame, b.ID, sharing.ID)
	}
	producer.push("another", "jobs")
	for _, other := range []*neoclient.Consumer{b, sharing} {
		if other.ID != frame.ID {
			c.wantBatch(other, "another")
		}
	}
}

func TestConsumeOfBadNames(t *testing.T) {
	n := start(t, nil)
	c := n.connect()
	for _, names := range [][2]string{{"", "s"}, {"a@b", ""}, {"jobs", "s@"}, {strings.Repeat("c", 251), "s"}} {
		id := c.NextID()
		c.must(c.Start(id, neoclient.ConsumePayload(names[0], names[1])))
		if status, err := c.ReadByteFor(id); err != nil || status != 2 {
			t.Errorf("%q: got status %d, error %v, want 2", names, status, err)
		}
	}
	c.push("record", "jobs")
}

// What a client has not confirmed goes to the next one, in the old order, however the
// connection ends.
func TestRedelivery(t *testing.T) {
	for rule, end := range map[string]func(client){
		"closed": func(c client) { c.Close() },
		"reset": func(c client) {
			c.Conn().(*net.TCPConn).SetLinger(0)
			c.Close()
		},
		"protocol error": func(c client) { c.must(c.Send(999, []byte{9})) },
	} {
		n := start(t, nil)
		c, other := n.connect(), n.connect()
		other.push("1", "jobs")
		other.push("2", "jobs")
		first := c.consume("jobs", "")
		c.wantBatch(first, "1", "2")
		other.push("3", "jobs")
		end(c)
		n.until(rule+": the records to be back", func() bool {
			return len(n.channels.Figures()) == 1 && n.channels.Figures()[0].Redelivered.Records == 2
		})
		second := other.consume("jobs", "")
		other.wantBatch(second, "1", "2", "3")
	}
}

// Without redelivery records are delivered when they are sent.
func TestNoRedelivery(t *testing.T) {
	n := start(t, func(o *Options) { o.Redeliver = false })
	c, other := n.connect(), n.connect()
	other.push("1", "jobs")
	c.wantBatch(c.consume("jobs", ""), "1")
	n.until("the record to be delivered", func() bool { return n.stored("jobs") == 0 })
	c.Close()
	other.push("2", "jobs")
	other.wantBatch(other.consume("jobs", ""), "2")
}

// The end of a channel ends its Consumes, with and without a batch in flight.
func TestRemovedChannel(t *testing.T) {
	n := start(t, nil)
	c, other := n.connect(), n.connect()
	waiting, busy := c.consume("empty", ""), c.consume("jobs", "")
	other.push("record", "jobs")
	c.wantBatch(busy, "record")
	for _, name := range []string{"empty", "jobs"} {
		n.channels.Remove([]byte(name))
	}
	c.wantMessage(waiting, neoclient.ChannelRemoved)
	c.wantMessage(busy, neoclient.ChannelRemoved)

	// Feedback may have crossed that: a Continue means nothing, a Stop wants its answer.
	c.must(busy.Feedback(neoclient.Continue))
	c.must(waiting.Feedback(neoclient.Stop))
	c.wantMessage(waiting, neoclient.Stopped)
	c.push("record", "jobs")
	if parked := c.Parked(); len(parked) > 0 {
		t.Errorf("also got %v", parked)
	}
}

func TestFeedbackThatIsNone(t *testing.T) {
	n := start(t, nil)
	for rule, feedback := range map[string][]byte{
		"Continue without a batch": {neoclient.Continue},
		"an unknown one":           {9},
		"a long one":               {neoclient.Stop, 0},
	} {
		c := n.connect()
		consumer := c.consume("jobs", "")
		n.logs.TakeAll()
		c.must(consumer.Feedback(feedback...))
		if err := c.ExpectClose(); err != nil {
			t.Errorf("%s: %v", rule, err)
		}
		logged := n.logs.FilterMessage("connection closed after a protocol error").All()
		if len(logged) != 1 || logged[0].ContextMap()["storage"] != "@jobs" || logged[0].ContextMap()["client"] != "client" {
			t.Errorf("%s: got log %v, want a line about the Consume", rule, logged)
		}
	}
}

// One connection may have so many requests and no more; that of an id that is done is not one.
func TestTooManyRequests(t *testing.T) {
	n := start(t, func(o *Options) { o.MaxRequests = 2 })
	c := n.connect()
	first := c.consume("a", "")
	c.must(first.Feedback(neoclient.Stop))
	c.wantMessage(first, neoclient.Stopped)
	c.consume("b", "")
	c.consume("c", "")
	c.must(c.Send(c.NextID(), neoclient.PopPayload("jobs")))
	c.wantClosed()
}
