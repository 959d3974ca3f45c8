package test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// A Push stores its value in every channel it names, as often as it names it (neo protocol spec §9, §18, point 6).
func TestNeoPushToSeveralChannels(t *testing.T) {
	t.Parallel()
	c := connect(t, nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "100000")))
	many := make([]string, 255)
	for i := range many {
		many[i] = fmt.Sprintf("many%d", i)
	}
	for _, channels := range [][]string{{}, {"one"}, {"two", "one"}, {"one", "one", "two", "one"}, many} {
		c.push("value", channels...)
		c.push("after", channels...)
		for _, value := range []string{"value", "after"} {
			for _, channel := range channels {
				c.wantPop(channel, value)
			}
		}
		for _, channel := range channels {
			c.wantPopStatus(channel, popEmpty)
		}
	}
	c.push("value", strings.Split(strings.Repeat("same ", 254)+"same", " ")...)
	for range 255 {
		c.wantPop("same", "value")
	}
	c.wantPopStatus("same", popEmpty)
}

// Pop returns the records in the order of the pushes, whichever protocol they came by, and
// creates a channel that does not exist (neo protocol spec §10).
func TestNeoPop(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c, legacy := connect(t, node), dial(t, node)
	c.wantPopStatus("order", popEmpty)
	legacy.wantPop("order", "") // known now; unknown ones are refused
	for number := range 10 {
		c.push(record(2*number, 10), "order")
		legacy.push("order", record(2*number+1, 10))
	}
	for number := 0; number < 20; number += 2 {
		legacy.wantPop("order", record(number, 10))
		c.wantPop("order", record(number+1, 10))
	}
	c.wantPopStatus("order", popEmpty)
}

// Any bytes of any length are a value.
func TestNeoValues(t *testing.T) {
	t.Parallel()
	c := connect(t, nodetest.Start(t))
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	values := []string{"\x00", "\x01", string(every), string(bytes.Repeat(every, 40))}
	for _, size := range []int{8, 4095, 4096, 4097, 65_535, 65_536, 65_537, 262_144, 1 << 20, 3 << 20} {
		values = append(values, record(1, size))
	}
	for _, value := range values {
		c.push(value, "values")
		c.wantPop("values", value)
	}
	for _, value := range values {
		c.push(value, "values")
	}
	for _, value := range values {
		c.wantPop("values", value)
	}
	c.wantNothing()
}

// Empty values are records like others for neo clients. Legacy clients can't be told of
// them and get the next one (Q10).
func TestNeoEmptyValues(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c, legacy := connect(t, node), dial(t, node)
	c.push("", "empty")
	c.wantPop("empty", "")
	c.wantPopStatus("empty", popEmpty)
	for _, value := range []string{"", "", "one", "", "two", ""} {
		c.push(value, "empty")
	}
	for _, value := range []string{"", "", "one", "", "two", ""} {
		c.wantPop("empty", value)
	}
	c.wantPopStatus("empty", popEmpty)

	for _, value := range []string{"", "", "one", "", "two", "", ""} {
		c.push(value, "empty")
	}
	legacy.wantPop("empty", "one")
	legacy.wantPop("empty", "two")
	legacy.wantPop("empty", "") // that is: no record
	c.wantPopStatus("empty", popEmpty)
	c.push("", "empty")
	legacy.wantPop("empty", "")
	c.wantPopStatus("empty", popEmpty)
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
	c := connect(t, node)
	for _, name := range badChannels {
		for _, channels := range [][]string{{name}, {"good", name}, {name, "good"}} {
			c.wantReply(c.start(neoclient.PushPayload([]byte("value"), channels...)), pushError)
		}
		c.wantPopStatus("good", popEmpty)
		c.wantPopStatus(name, popError)
		c.wantReply(c.start(neoclient.ConsumePayload(name, "")), consumeError)
		c.wantReply(c.start(neoclient.ConsumePayload(name, "subscriber")), consumeError)
		if name != "" {
			c.wantReply(c.start(neoclient.ConsumePayload("good", name)), consumeError)
		}
	}
	// Nobody has subscribed to that channel, and none of the requests is active.
	c.push("value", "good")
	c.wantPop("good", "value")
	c.wantNothing()
	if log := node.Log(); strings.Contains(log, "swarm.neo") {
		t.Errorf("got log\n%s\nwant nothing of invalid names", log)
	}
}

// A channel may have up to 251 bytes, and share them with a subscriber.
func TestNeoGoodNames(t *testing.T) {
	t.Parallel()
	c := connect(t, nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "10000")))
	for _, name := range []string{"a", "-", "_", "0", "Mixed-Case_9", strings.Repeat("n", 250), strings.Repeat("n", 251)} {
		c.push("value", name)
		c.wantPop(name, "value")
		k := c.consume(name, "")
		c.push("value", name)
		k.wantRecords("value")
		k.stop()
	}
	for _, length := range []struct{ subscriber, channel int }{{250, 1}, {1, 250}, {125, 126}} {
		channel := strings.Repeat("c", length.channel)
		k := c.consume(channel, strings.Repeat("s", length.subscriber))
		c.push("value", channel)
		k.wantRecords("value")
		k.stop()
		c.wantReply(c.start(neoclient.ConsumePayload(channel, strings.Repeat("s", length.subscriber+1))), consumeError)
	}
	for _, subscriber := range []string{"s", "-", "_", "0", "Mixed-Case_9"} {
		k := c.consume("subscribers", subscriber)
		c.push("value", "subscribers")
		k.wantRecords("value")
		k.stop()
	}
}

// A Pop whose client is gone before the reply was sent has not taken the record.
func TestNeoUnsentPopGoesBack(t *testing.T) {
	const size = 1 << 20
	for _, way := range neoLeaving[:2] { // a half-closing client still gets its replies
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "50000000"))
			dial(t, node).produceRecords("pops", 0, 40, size)
			other := connect(t, node)
			other.alive()
			gone := connect(t, node, smallWindow)
			for range 30 {
				gone.must(gone.Send(gone.NextID(), neoclient.PopPayload("pops")))
			}
			// As soon as the first reply is there, more than the kernel takes is under way.
			gone.must(gone.Supported(1))
			other.alive()
			leaveNeo(t, node, gone, way.leave)
			status, value, err := other.Pop("pops")
			other.must(err)
			first, err := recordNumber(string(value), size)
			if status != popped || err != nil || first > 8 {
				t.Fatalf("got status %02x, record %d, error %v; want the first one that was not sent", status, first, err)
			}
			for number := first + 1; number < 40; number++ {
				other.wantPop("pops", record(number, size))
			}
			other.wantPopStatus("pops", popEmpty)
		})
	}
}

// What a client that goes away has sent completely has an effect; what it has not, has
// none.
func TestNeoDisconnectInsideAFrame(t *testing.T) {
	for _, way := range neoLeaving {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t)
			other := connect(t, node)
			other.alive()
			frame := neoclient.RequestFrame(9, neoclient.PushPayload([]byte(record(2, 100_000)), "cut"))
			for _, cut := range []int{1, 9, 10, 17, 18, 50, len(frame) - 1} {
				c := connect(t, node)
				c.push(record(1, 100), "cut")
				c.write(frame[:cut])
				leaveNeo(t, node, c, way.leave)
				other.wantPop("cut", record(1, 100))
				other.wantPopStatus("cut", popEmpty)
			}
		})
	}
}

// A client that shuts down its sending side still gets the replies to all its requests.
func TestNeoHalfCloseBehindManyRequests(t *testing.T) {
	t.Parallel()
	const count = 2_000
	c := connect(t, nodetest.Start(t))
	var requests []byte
	for id := range uint64(count) {
		requests = append(requests, neoclient.RequestFrame(id+1, neoclient.PushPayload([]byte(record(int(id), 1000)), "half"))...)
		requests = append(requests, neoclient.RequestFrame(id+1, neoclient.PopPayload("half"))...)
	}
	sent := make(chan error, 1)
	go func() {
		err := c.Write(requests)
		c.tcp().CloseWrite()
		sent <- err
	}()
	for id := range uint64(count) {
		c.wantFrame(id+1, supported)
		c.wantFrame(id+1, pushed)
		c.wantFrame(id+1, supported)
		c.wantFrame(id+1, append([]byte{popped}, neoclient.Array(record(int(id), 1000))...)...)
	}
	c.wantClose()
	c.must(<-sent)
}

// The client that was pointed to the other port is told so by the end of the stream.
func TestLegacyClientOnTheNeoPort(t *testing.T) {
	t.Parallel()
	c := dialNeo(t, nodetest.Start(t))
	c.write(legacyclient.Request(legacyclient.Push, "channel", "value")) // begins like a version byte, so it is garbage behind one
	c.wantClose()
	c = dialNeo(t, nodetest.Start(t))
	c.write(legacyclient.Request(legacyclient.Consume, "channel"))
	c.play("N 01")
	c.wantClose()
}
