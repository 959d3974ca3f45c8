package test

import (
	"fmt"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// The first subscriber takes over what is in the channel, later ones start empty, and all
// get what is pushed from then on (neo protocol spec §12, §18, point 7).
func TestNeoSubscribers(t *testing.T) {
	for _, names := range [][]string{{"one", "two", "three"}, {"", "one", "two"}, {"one", "", "two"}} {
		t.Run(fmt.Sprintf("%q", names), func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t)
			c, producer := connect(t, node), connect(t, node)
			producer.push("before", "channel")
			first := c.consume("channel", names[0])
			first.wantRecords("before")
			second := c.consume("channel", names[1])
			c.wantNothing()
			producer.push("both", "channel")
			first.wantRecords("both")
			second.wantRecords("both")
			third := c.consume("channel", names[2])
			c.wantNothing()
			producer.push("all", "channel")
			for _, k := range []*neoConsumer{first, second, third} {
				k.wantRecords("all")
			}

			// Twice in one Push is twice for each.
			producer.push("twice", "channel", "channel")
			for _, k := range []*neoConsumer{first, second, third} {
				k.wantRecords("twice", "twice")
				k.stop()
			}
			c.wantNothing()
		})
	}
}

// Subscriptions outlive their consumers: they go on collecting, and are there for the next
// consumer of the name (neo protocol spec §12).
func TestNeoSubscriptionsOutliveTheirConsumers(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	producer := connect(t, node)
	names := []string{"one", "", "two"}
	for i, leave := range []func(k *neoConsumer){
		(*neoConsumer).stop,
		func(k *neoConsumer) { leaveNeo(t, node, k.c, byClose) },
		func(k *neoConsumer) { leaveNeo(t, node, k.c, byReset) },
	} {
		leave(connect(t, node).consume("channel", names[i]))
	}
	for number := range 200 {
		producer.push(record(number, 1000), "channel")
	}
	for i := len(names) - 1; i >= 0; i-- {
		k := connect(t, node).consume("channel", names[i])
		k.wantRecords(numbered(0, 200, 1000)...)
		k.c.wantNothing()
	}
}

// A channel with a subscriber refuses Pop by either protocol, also when nobody consumes
// (neo protocol spec §10), until it is removed.
func TestNeoPopIsRefusedWhileSubscribed(t *testing.T) {
	for _, subscribe := range []struct {
		name string
		by   func(c *neo, legacy *client)
	}{
		{"neo", func(c *neo, _ *client) { c.consume("popped", "").stop() }},
		{"neo, named", func(c *neo, _ *client) { c.consume("popped", "subscriber").stop() }},
		{"legacy", func(_ *neo, legacy *client) { legacy.consume("popped") }},
	} {
		t.Run(subscribe.name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t)
			c, legacy, popper := connect(t, node), dial(t, node), dial(t, node)
			c.push("value", "popped")
			c.wantPop("popped", "value")
			subscribe.by(c, legacy)
			for range 2 {
				c.wantPopStatus("popped", popSubscribed)
				popper.do(legacyclient.Request(legacyclient.Pop, "popped"), legacyclient.Error)
				c.push("value", "popped")
			}
			popper.remove("popped")
			c.wantPopStatus("popped", popEmpty)
			c.push("new", "popped")
			c.wantPop("popped", "new")
		})
	}
}

// A legacy consumer is one of the subscriber with the empty name (neo protocol spec §12).
func TestNeoAndLegacySubscribers(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c, legacy, producer := connect(t, node), dial(t, node), connect(t, node)

	// First: it takes over.
	producer.push("before", "legacyfirst")
	legacy.consume("legacyfirst")
	legacy.wantArray("before")
	other := c.consume("legacyfirst", "other")
	c.wantNothing()
	producer.push("both", "legacyfirst")
	legacy.wantArray("both")
	other.wantRecords("both")

	// Second: it starts empty.
	producer.push("before", "neofirst")
	one := c.consume("neofirst", "one")
	one.wantRecords("before")
	second := dial(t, node)
	second.consume("neofirst")
	producer.push("both", "neofirst")
	second.wantArray("both")
	one.wantRecords("both")

	// What it leaves behind is there for the empty name.
	leaveAndWait(t, node, legacy, func(c *client) { c.must(c.Close()) })
	producer.push("left", "legacyfirst")
	c.consume("legacyfirst", "").wantRecords("left")
	other.wantRecords("left")
	c.wantNothing()
}

// Subscribers don't wait for each other, and each has its own flow control and its own
// redelivery.
func TestNeoSubscribersAreIndependent(t *testing.T) {
	t.Parallel()
	const count, records = 20, 300
	node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "100000"))
	producer := connect(t, node)
	var all []*neoConsumer
	for i := range count {
		k := connect(t, node).consume("independent", fmt.Sprintf("s%d", i))
		k.c.alive()
		all = append(all, k)
	}
	producer.push(record(0, 1000), "independent")
	for _, k := range all {
		k.wantBatch(record(0, 1000))
	}
	for number := 1; number < records; number++ {
		producer.push(record(number, 1000), "independent")
	}
	for i, k := range all {
		switch i % 3 {
		case 0: // goes on
			k.send(neoclient.Continue)
			k.wantRecords(numbered(1, records, 1000)...)
		case 1: // dies
			leaveNeo(t, node, k.c, byReset)
		}
	}
	for i, k := range all {
		switch i % 3 {
		case 1:
			k = connect(t, node).consume("independent", fmt.Sprintf("s%d", i))
			k.wantRecords(numbered(0, records, 1000)...)
		case 2: // comes late
			k.send(neoclient.Continue)
			k.wantRecords(numbered(1, records, 1000)...)
		}
	}
}
