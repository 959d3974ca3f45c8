package neo

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// What a client must not send on the id of a Consume, first while it is idle, then with a
// batch in flight (neo protocol spec §11.4, §15).
func TestNeoWrongFeedback(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("EventLoop.count", "1"))
	tests := []struct {
		fault    string
		payload  []byte
		inFlight bool // is wrong also then
	}{
		{"Continue", []byte{neoclient.Continue}, false},
		{"nothing", nil, true},
		{"type 0", []byte{0}, true},
		{"Records", []byte{neoclient.Records}, true},
		{"Stopped", []byte{neoclient.Stopped}, true},
		{"ChannelRemoved", []byte{neoclient.ChannelRemoved}, true},
		{"type 255", []byte{255}, true},
		{"Continue and a byte", []byte{neoclient.Continue, 0}, true},
		{"Stop and a byte", []byte{neoclient.Stop, 0}, true},
		{"Continue twice in a message", []byte{neoclient.Continue, neoclient.Continue}, true},
		{"another Consume", neoclient.ConsumePayload("other", ""), true},
		{"a Push", neoclient.PushPayload([]byte("wrong"), "other"), true},
		{"a large message", make([]byte, 1_000_000), true},
	}
	producer := clients.Neo(t, node)
	for i, test := range tests {
		channel := fmt.Sprintf("wrong%d", i)
		c := clients.Neo(t, node)
		k := c.MustConsume(channel, "")
		k.Send(test.payload...)
		c.WantClose()
		c.Close()

		producer.MustPush("value", channel)
		for range 2 {
			c = clients.Neo(t, node)
			k = c.MustConsume(channel, "")
			k.WantBatch("value") // again, because the first one was not confirmed
			if test.inFlight {
				k.Send(test.payload...)
				c.WantClose()
			}
			clients.LeaveNeo(t, node, c, clients.ByClose)
		}
	}
	node.WaitLog(`^Error \[swarm\.neo\.node\.ConnectionHandler\] - .*protocol error.*test.*consume`)
	producer.WantPopStatus("other", clients.PopEmpty)
	if strings.Contains(node.Log(), `client=""`) {
		t.Error("the log has errors without the name of the client (Q6)")
	}
}

// A Continue behind another one can't be the answer to the next batch, since that was not
// sent before.
func TestNeoTwoContinues(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	clients.Legacy(t, node).ProduceRecords("twice", 0, 300, 1000)
	c := clients.Neo(t, node)
	k := c.MustConsume("twice", "")
	k.WantBatch(clients.Numbered(0, 100, 1000)...)
	frame := neoclient.RequestFrame(k.ID, []byte{neoclient.Continue})
	c.MustWrite(frame, frame)
	k.WantBatch(clients.Numbered(100, 200, 1000)...)
	c.WantClose()
	other := clients.Neo(t, node)
	other.Alive()
	clients.LeaveNeo(t, node, c, clients.ByClose)
	other.MustConsume("twice", "").WantRecords(clients.Numbered(100, 300, 1000)...) // the second batch again
}

// A consumer that goes away leaves an Info in the log, with its name and the request
// (neo protocol spec §13); one that has stopped doesn't.
func TestNeoConsumerThatDisappearsIsLogged(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Credentials(clients.FixedClients))
	login := func() *clients.NeoClient {
		c := clients.DialNeo(t, node)
		c.Must(c.Authenticate(neoclient.Now("client1", clients.CountingKey)))
		return c
	}
	quiet := login()
	quiet.MustConsume("logged", "").Stop()
	quiet.MustPush("value", "unlogged")
	quiet.WantPop("unlogged", "value")
	clients.LeaveNeo(t, node, quiet, clients.ByClose)
	if strings.Contains(node.Log(), "swarm.neo") {
		t.Errorf("got log\n%s\nwant nothing of a client without active requests", node.Log())
	}
	c := login()
	c.MustConsume("logged", "sub")
	c.Close()
	node.WaitLog(`^Info \[swarm\.neo\.node\.ConnectionHandler\] - .*client1.*consume`)
}
