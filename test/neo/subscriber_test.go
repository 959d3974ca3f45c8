package neo

import (
	"fmt"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
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
			c, producer := clients.Neo(t, node), clients.Neo(t, node)
			producer.MustPush("before", "channel")
			first := c.MustConsume("channel", names[0])
			first.WantRecords("before")
			second := c.MustConsume("channel", names[1])
			c.WantNothing()
			producer.MustPush("both", "channel")
			first.WantRecords("both")
			second.WantRecords("both")
			third := c.MustConsume("channel", names[2])
			c.WantNothing()
			producer.MustPush("all", "channel")
			for _, k := range []*clients.NeoConsumer{first, second, third} {
				k.WantRecords("all")
			}

			// Twice in one Push is twice for each.
			producer.MustPush("twice", "channel", "channel")
			for _, k := range []*clients.NeoConsumer{first, second, third} {
				k.WantRecords("twice", "twice")
				k.Stop()
			}
			c.WantNothing()
		})
	}
}

// Subscriptions outlive their consumers: they go on collecting, and are there for the next
// consumer of the name (neo protocol spec §12).
func TestNeoSubscriptionsOutliveTheirConsumers(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	producer := clients.Neo(t, node)
	names := []string{"one", "", "two"}
	for i, leave := range []func(k *clients.NeoConsumer){
		(*clients.NeoConsumer).Stop,
		func(k *clients.NeoConsumer) { clients.LeaveNeo(t, node, k.Client, clients.ByClose) },
		func(k *clients.NeoConsumer) { clients.LeaveNeo(t, node, k.Client, clients.ByReset) },
	} {
		leave(clients.Neo(t, node).MustConsume("channel", names[i]))
	}
	for number := range 200 {
		producer.MustPush(clients.Record(number, 1000), "channel")
	}
	for i := len(names) - 1; i >= 0; i-- {
		k := clients.Neo(t, node).MustConsume("channel", names[i])
		k.WantRecords(clients.Numbered(0, 200, 1000)...)
		k.Client.WantNothing()
	}
}

// A channel with a subscriber refuses Pop by either protocol, also when nobody consumes
// (neo protocol spec §10), until it is removed.
func TestNeoPopIsRefusedWhileSubscribed(t *testing.T) {
	for _, subscribe := range []struct {
		name string
		by   func(c *clients.NeoClient, legacy *clients.LegacyClient)
	}{
		{"neo", func(c *clients.NeoClient, _ *clients.LegacyClient) { c.MustConsume("popped", "").Stop() }},
		{"neo, named", func(c *clients.NeoClient, _ *clients.LegacyClient) { c.MustConsume("popped", "subscriber").Stop() }},
		{"legacy", func(_ *clients.NeoClient, legacy *clients.LegacyClient) { legacy.MustConsume("popped") }},
	} {
		t.Run(subscribe.name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t)
			c, legacy, popper := clients.Neo(t, node), clients.Legacy(t, node), clients.Legacy(t, node)
			c.MustPush("value", "popped")
			c.WantPop("popped", "value")
			subscribe.by(c, legacy)
			for range 2 {
				c.WantPopStatus("popped", clients.PopSubscribed)
				popper.MustDo(legacyclient.Request(legacyclient.Pop, "popped"), legacyclient.Error)
				c.MustPush("value", "popped")
			}
			popper.MustRemove("popped")
			c.WantPopStatus("popped", clients.PopEmpty)
			c.MustPush("new", "popped")
			c.WantPop("popped", "new")
		})
	}
}

// A legacy consumer is one of the subscriber with the empty name (neo protocol spec §12).
func TestNeoAndLegacySubscribers(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c, legacy, producer := clients.Neo(t, node), clients.Legacy(t, node), clients.Neo(t, node)

	// First: it takes over.
	producer.MustPush("before", "legacyfirst")
	legacy.MustConsume("legacyfirst")
	legacy.WantArray("before")
	other := c.MustConsume("legacyfirst", "other")
	c.WantNothing()
	producer.MustPush("both", "legacyfirst")
	legacy.WantArray("both")
	other.WantRecords("both")

	// Second: it starts empty.
	producer.MustPush("before", "neofirst")
	one := c.MustConsume("neofirst", "one")
	one.WantRecords("before")
	second := clients.Legacy(t, node)
	second.MustConsume("neofirst")
	producer.MustPush("both", "neofirst")
	second.WantArray("both")
	one.WantRecords("both")

	// What it leaves behind is there for the empty name.
	clients.LeaveLegacy(t, node, legacy, func(c *clients.LegacyClient) { c.Must(c.Close()) })
	producer.MustPush("left", "legacyfirst")
	c.MustConsume("legacyfirst", "").WantRecords("left")
	other.WantRecords("left")
	c.WantNothing()
}

// Subscribers don't wait for each other, and each has its own flow control and its own
// redelivery.
func TestNeoSubscribersAreIndependent(t *testing.T) {
	t.Parallel()
	const count, records = 20, 300
	node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "100000"))
	producer := clients.Neo(t, node)
	var all []*clients.NeoConsumer
	for i := range count {
		k := clients.Neo(t, node).MustConsume("independent", fmt.Sprintf("s%d", i))
		k.Client.Alive()
		all = append(all, k)
	}
	producer.MustPush(clients.Record(0, 1000), "independent")
	for _, k := range all {
		k.WantBatch(clients.Record(0, 1000))
	}
	for number := 1; number < records; number++ {
		producer.MustPush(clients.Record(number, 1000), "independent")
	}
	for i, k := range all {
		switch i % 3 {
		case 0: // goes on
			k.Send(neoclient.Continue)
			k.WantRecords(clients.Numbered(1, records, 1000)...)
		case 1: // dies
			clients.LeaveNeo(t, node, k.Client, clients.ByReset)
		}
	}
	for i, k := range all {
		switch i % 3 {
		case 1:
			k = clients.Neo(t, node).MustConsume("independent", fmt.Sprintf("s%d", i))
			k.WantRecords(clients.Numbered(0, records, 1000)...)
		case 2: // comes late
			k.Send(neoclient.Continue)
			k.WantRecords(clients.Numbered(1, records, 1000)...)
		}
	}
}
