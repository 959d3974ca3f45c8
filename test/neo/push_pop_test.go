package neo

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// A Push stores its value in every channel it names, as often as it names it (neo protocol spec §9, §18, point 6).
func TestNeoPushToSeveralChannels(t *testing.T) {
	t.Parallel()
	c := clients.Neo(t, nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "100000")))
	many := make([]string, 255)
	for i := range many {
		many[i] = fmt.Sprintf("many%d", i)
	}
	for _, channels := range [][]string{{}, {"one"}, {"two", "one"}, {"one", "one", "two", "one"}, many} {
		c.MustPush("value", channels...)
		c.MustPush("after", channels...)
		for _, value := range []string{"value", "after"} {
			for _, channel := range channels {
				c.WantPop(channel, value)
			}
		}
		for _, channel := range channels {
			c.WantPopStatus(channel, clients.PopEmpty)
		}
	}
	c.MustPush("value", strings.Split(strings.Repeat("same ", 254)+"same", " ")...)
	for range 255 {
		c.WantPop("same", "value")
	}
	c.WantPopStatus("same", clients.PopEmpty)
}

// Pop returns the records in the order of the pushes, whichever protocol they came by, and
// creates a channel that does not exist (neo protocol spec §10).
func TestNeoPop(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c, legacy := clients.Neo(t, node), clients.Legacy(t, node)
	c.WantPopStatus("order", clients.PopEmpty)
	legacy.WantPop("order", "") // known now; unknown ones are refused
	for number := range 10 {
		c.MustPush(clients.Record(2*number, 10), "order")
		legacy.MustPush("order", clients.Record(2*number+1, 10))
	}
	for number := 0; number < 20; number += 2 {
		legacy.WantPop("order", clients.Record(number, 10))
		c.WantPop("order", clients.Record(number+1, 10))
	}
	c.WantPopStatus("order", clients.PopEmpty)
}

// Any bytes of any length are a value.
func TestNeoValues(t *testing.T) {
	t.Parallel()
	c := clients.Neo(t, nodetest.Start(t))
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	values := []string{"\x00", "\x01", string(every), string(bytes.Repeat(every, 40))}
	for _, size := range []int{8, 4095, 4096, 4097, 65_535, 65_536, 65_537, 262_144, 1 << 20, 3 << 20} {
		values = append(values, clients.Record(1, size))
	}
	for _, value := range values {
		c.MustPush(value, "values")
		c.WantPop("values", value)
	}
	for _, value := range values {
		c.MustPush(value, "values")
	}
	for _, value := range values {
		c.WantPop("values", value)
	}
	c.WantNothing()
}

// Empty values are records like others for neo clients. Legacy clients can't be told of
// them and get the next one (Q10).
func TestNeoEmptyValues(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c, legacy := clients.Neo(t, node), clients.Legacy(t, node)
	c.MustPush("", "empty")
	c.WantPop("empty", "")
	c.WantPopStatus("empty", clients.PopEmpty)
	for _, value := range []string{"", "", "one", "", "two", ""} {
		c.MustPush(value, "empty")
	}
	for _, value := range []string{"", "", "one", "", "two", ""} {
		c.WantPop("empty", value)
	}
	c.WantPopStatus("empty", clients.PopEmpty)

	for _, value := range []string{"", "", "one", "", "two", "", ""} {
		c.MustPush(value, "empty")
	}
	legacy.WantPop("empty", "one")
	legacy.WantPop("empty", "two")
	legacy.WantPop("empty", "") // that is: no record
	c.WantPopStatus("empty", clients.PopEmpty)
	c.MustPush("", "empty")
	legacy.WantPop("empty", "")
	c.WantPopStatus("empty", clients.PopEmpty)
}

// badChannels can't be stored under their name (Q11).
var badChannels = []string{
	"", ".", "..", "../x", "a/b", "/etc/passwd", "a b", " a", "a ", "a\n", "x@y", "@y", "x@", "a.b", "a\x00", "\x00", "ä", "a\xff",
	"a:b", "`", strings.Repeat("n", 252), strings.Repeat("n", 1000), strings.Repeat("n", 100_000),
}

// An invalid name is answered with the error status of the request, nothing happens, and
// the connection goes on (neo protocol spec §15).
func TestNeoBadNames(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c := clients.Neo(t, node)
	for _, name := range badChannels {
		for _, channels := range [][]string{{name}, {"good", name}, {name, "good"}} {
			c.WantReply(c.MustStart(neoclient.PushPayload([]byte("value"), channels...)), clients.PushError)
		}
		c.WantPopStatus("good", clients.PopEmpty)
		c.WantPopStatus(name, clients.PopError)
		c.WantReply(c.MustStart(neoclient.ConsumePayload(name, "")), clients.ConsumeError)
		c.WantReply(c.MustStart(neoclient.ConsumePayload(name, "subscriber")), clients.ConsumeError)
		if name != "" {
			c.WantReply(c.MustStart(neoclient.ConsumePayload("good", name)), clients.ConsumeError)
		}
	}
	// Nobody has subscribed to that channel, and none of the requests is active.
	c.MustPush("value", "good")
	c.WantPop("good", "value")
	c.WantNothing()
	if log := node.Log(); strings.Contains(log, "swarm.neo") {
		t.Errorf("got log\n%s\nwant nothing of invalid names", log)
	}
}

// A channel may have up to 251 bytes, and share them with a subscriber.
func TestNeoGoodNames(t *testing.T) {
	t.Parallel()
	c := clients.Neo(t, nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "10000")))
	for _, name := range []string{"a", "-", "_", "0", "Mixed-Case_9", strings.Repeat("n", 250), strings.Repeat("n", 251)} {
		c.MustPush("value", name)
		c.WantPop(name, "value")
		k := c.MustConsume(name, "")
		c.MustPush("value", name)
		k.WantRecords("value")
		k.Stop()
	}
	for _, length := range []struct{ subscriber, channel int }{{250, 1}, {1, 250}, {125, 126}} {
		channel := strings.Repeat("c", length.channel)
		k := c.MustConsume(channel, strings.Repeat("s", length.subscriber))
		c.MustPush("value", channel)
		k.WantRecords("value")
		k.Stop()
		c.WantReply(c.MustStart(neoclient.ConsumePayload(channel, strings.Repeat("s", length.subscriber+1))), clients.ConsumeError)
	}
	for _, subscriber := range []string{"s", "-", "_", "0", "Mixed-Case_9"} {
		k := c.MustConsume("subscribers", subscriber)
		c.MustPush("value", "subscribers")
		k.WantRecords("value")
		k.Stop()
	}
}

// A Pop whose client is gone before the reply was sent has not taken the record.
func TestNeoUnsentPopGoesBack(t *testing.T) {
	const size = 1 << 20
	for _, way := range clients.NeoLeaving[:2] { // a half-closing client still gets its replies
		t.Run(way.Name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "50000000"))
			clients.Legacy(t, node).ProduceRecords("pops", 0, 40, size)
			other := clients.Neo(t, node)
			other.Alive()
			gone := clients.Neo(t, node, clients.SmallWindow)
			for range 30 {
				gone.Must(gone.Send(gone.NextID(), neoclient.PopPayload("pops")))
			}
			// As soon as the first reply is there, more than the kernel takes is under way.
			gone.Must(gone.Supported(1))
			other.Alive()
			clients.LeaveNeo(t, node, gone, way.Leave)
			status, value, err := other.Pop("pops")
			other.Must(err)
			first, err := clients.RecordNumber(string(value), size)
			if status != clients.Popped || err != nil || first > 8 {
				t.Fatalf("got status %02x, record %d, error %v; want the first one that was not sent", status, first, err)
			}
			for number := first + 1; number < 40; number++ {
				other.WantPop("pops", clients.Record(number, size))
			}
			other.WantPopStatus("pops", clients.PopEmpty)
		})
	}
}

// What a client that goes away has sent completely has an effect; what it has not, has
// none.
func TestNeoDisconnectInsideAFrame(t *testing.T) {
	for _, way := range clients.NeoLeaving {
		t.Run(way.Name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t)
			other := clients.Neo(t, node)
			other.Alive()
			frame := neoclient.RequestFrame(9, neoclient.PushPayload([]byte(clients.Record(2, 100_000)), "cut"))
			for _, cut := range []int{1, 9, 10, 17, 18, 50, len(frame) - 1} {
				c := clients.Neo(t, node)
				c.MustPush(clients.Record(1, 100), "cut")
				c.MustWrite(frame[:cut])
				clients.LeaveNeo(t, node, c, way.Leave)
				other.WantPop("cut", clients.Record(1, 100))
				other.WantPopStatus("cut", clients.PopEmpty)
			}
		})
	}
}

// A client that shuts down its sending side still gets the replies to all its requests.
func TestNeoHalfCloseBehindManyRequests(t *testing.T) {
	t.Parallel()
	const count = 2_000
	c := clients.Neo(t, nodetest.Start(t))
	var requests []byte
	for id := range uint64(count) {
		requests = append(requests, neoclient.RequestFrame(id+1, neoclient.PushPayload([]byte(clients.Record(int(id), 1000)), "half"))...)
		requests = append(requests, neoclient.RequestFrame(id+1, neoclient.PopPayload("half"))...)
	}
	sent := make(chan error, 1)
	go func() {
		err := c.Write(requests)
		c.TCP().CloseWrite()
		sent <- err
	}()
	for id := range uint64(count) {
		c.WantFrame(id+1, clients.Supported)
		c.WantFrame(id+1, clients.Pushed)
		c.WantFrame(id+1, clients.Supported)
		c.WantFrame(id+1, append([]byte{clients.Popped}, neoclient.Array(clients.Record(int(id), 1000))...)...)
	}
	c.WantClose()
	c.Must(<-sent)
}

// The client that was pointed to the other port is told so by the end of the stream.
func TestLegacyClientOnTheNeoPort(t *testing.T) {
	t.Parallel()
	c := clients.DialNeo(t, nodetest.Start(t))
	c.MustWrite(legacyclient.Request(legacyclient.Push, "channel", "value")) // begins like a version byte, so it is garbage behind one
	c.WantClose()
	c = clients.DialNeo(t, nodetest.Start(t))
	c.MustWrite(legacyclient.Request(legacyclient.Consume, "channel"))
	play(c, "N 01")
	c.WantClose()
}
