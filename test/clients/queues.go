package clients

import (
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// The functions of this file have connections of their own and leave none open, for which a clean
// stop would wait.

// ProduceTo stores records of 100 bytes with the numbers first to last-1.
func ProduceTo(t *testing.T, node *nodetest.Node, channel string, first, last int) {
	t.Helper()
	c := Legacy(t, node)
	c.ProduceRecords(channel, first, last, 100)
	c.Must(c.Close())
}

// PushTo stores records, with one neo Push each.
func PushTo(t *testing.T, node *nodetest.Node, channel string, records ...string) {
	t.Helper()
	c := Neo(t, node)
	for _, r := range records {
		c.MustPush(r, channel)
	}
	c.Must(c.Close())
}

// SubscribeTo makes subscribers of a channel without records.
func SubscribeTo(t *testing.T, node *nodetest.Node, channel string, subscribers ...string) {
	t.Helper()
	for _, subscriber := range subscribers {
		WantQueue(t, node, channel, subscriber)
	}
}

// WantQueue requires the queue of a subscriber to consist of these records, and takes them.
func WantQueue(t *testing.T, node *nodetest.Node, channel, subscriber string, want ...string) {
	t.Helper()
	c := Neo(t, node)
	k := c.MustConsume(channel, subscriber)
	k.WantRecords(want...)
	k.Stop()
	c.Must(c.Close())
}

// WantFirst requires a plain channel to begin with these records, and takes them. When it
// returns, the node knows that they have been delivered.
func WantFirst(t *testing.T, node *nodetest.Node, channel string, want ...string) {
	t.Helper()
	c := Neo(t, node)
	for _, record := range want {
		c.WantPop(channel, record)
	}
	c.Alive()
	c.Must(c.Close())
}

// WantPops requires a plain channel to consist of these records, and takes them.
func WantPops(t *testing.T, node *nodetest.Node, channel string, want ...string) {
	t.Helper()
	WantFirst(t, node, channel, want...)
	c := Neo(t, node)
	c.WantPopStatus(channel, PopEmpty)
	c.Must(c.Close())
}
