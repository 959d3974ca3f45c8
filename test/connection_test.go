package test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// The node never speaks first (legacy protocol spec §1.4, §15 item 4).
func TestNothingIsSentBeforeARequest(t *testing.T) {
	t.Parallel()
	c := dial(t, nodetest.Start(t))
	c.wantSilence()
	c.alive()
}

// A refused connection is closed in order, with a FIN and not by a reset, although the
// client has sent more than the node reads as requests. The answers to the requests
// before arrive.
func TestOrderlyCloseInFrontOfUnreadInput(t *testing.T) {
	const more = 200_000
	good := append(legacyclient.Request(legacyclient.Push, "kept", "value"), legacyclient.Request(legacyclient.GetNumConnections)...)
	oversize := legacyclient.AppendLength(legacyclient.Request(legacyclient.Push, "refused"), legacyclient.MaxArray+1)
	oversize = append(oversize, make([]byte, legacyclient.MaxArray+1)...)
	tests := []struct {
		name string
		bad  []byte
		log  string
	}{
		{"unknown command", []byte{99, 0, 0, 0}, `^Error \[dmqnode.main\] - .*Invalid command`},
		{"oversize array", oversize, `^Error \[dmqnode.main\] - .*The input array is too long`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t)
			c := dial(t, node)
			c.send(append(append(good[:len(good):len(good)], test.bad...), make([]byte, more)...))
			c.wantStatus(legacyclient.Ok)
			c.wantStatus(legacyclient.NotSupported)
			c.wantEOF()
			node.WaitLog(test.log)
			other := dial(t, node)
			other.wantPop("kept", "value")
			other.do(legacyclient.Request(legacyclient.Pop, "refused"), legacyclient.Error)
		})
	}
}

// Ordinary ends of connections leave no trace in the log (operations spec §7.5).
func TestDisconnectsAreNotLogged(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	dial(t, node).alive()
	for _, way := range leaving {
		open := node.Sockets()
		c := dial(t, node)
		c.push("quiet", "value")
		way.leave(c)
		eventually(t, "the node closes the connection", func() bool { return node.Sockets() <= open })
	}
	for _, line := range strings.Split(node.Log(), "\n") {
		if strings.Contains(line, "[dmqnode.main]") && !strings.Contains(line, "listening for") {
			t.Errorf("got the log line %q, want none", line)
		}
	}
}

// A Push takes effect once all its bytes have arrived, whether the client waits for the
// status or not.
func TestPushWithoutReadingTheStatus(t *testing.T) {
	for _, way := range leaving {
		if way.name == "reset" {
			continue // a reset may overtake the bytes before it
		}
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t)
			reader := dial(t, node)
			c := dial(t, node)
			c.send(legacyclient.Request(legacyclient.Push, "unread", "value"))
			way.leave(c)
			eventually(t, "the record is stored", func() bool {
				status, err := reader.Do(legacyclient.Request(legacyclient.Pop, "unread"))
				if err != nil || status != legacyclient.Ok {
					return false
				}
				value, err := reader.Array() // empty while the push waits for a file
				return err == nil && value == "value"
			})
		})
	}
}

// What a request has sent incompletely when its connection ends has no effect; what it
// has completed has (legacy protocol spec §3.4, §6.6).
func TestDisconnectInsideARecord(t *testing.T) {
	for _, way := range leaving {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t)
			reader := dial(t, node)
			reader.alive()

			producer := dial(t, node)
			producer.produce("cut")
			producer.send(legacyclient.Records("one", "two"))
			producer.send(legacyclient.AppendLength(nil, 100))
			producer.send([]byte("only a part"))
			eventually(t, "the complete records are stored", func() bool {
				reader.do(legacyclient.Request(legacyclient.Pop, "cut"), legacyclient.Ok)
				return reader.array() == "one"
			})
			reader.wantPop("cut", "two")
			leaveAndWait(t, node, producer, way.leave)
			reader.wantPop("cut", "")

			pusher := dial(t, node)
			pusher.alive()
			request := legacyclient.Request(legacyclient.Push, "uncut", record(1, 100_000))
			pusher.send(request[:len(request)-1])
			leaveAndWait(t, node, pusher, way.leave)
			reader.do(legacyclient.Request(legacyclient.Pop, "uncut"), legacyclient.Error)
		})
	}
}

// Replies to everything sent before a half-close arrive, however many they are.
func TestHalfCloseBehindManyRequests(t *testing.T) {
	t.Parallel()
	const count = 2_000
	node := nodetest.Start(t)
	c := dial(t, node)
	var requests []byte
	for number := range count {
		requests = append(requests, legacyclient.Request(legacyclient.Push, "half", record(number, 1000))...)
	}
	for range count {
		requests = append(requests, legacyclient.Request(legacyclient.Pop, "half")...)
	}
	sent := make(chan error, 1)
	go func() { sent <- c.Send(requests) }()
	for range count {
		c.wantStatus(legacyclient.Ok)
	}
	c.must(<-sent)
	c.must(c.CloseWrite())
	for number := range count {
		c.wantStatus(legacyclient.Ok)
		c.wantArray(record(number, 1000))
	}
	c.wantEOF()
}

// A neo client that was pointed to the legacy port is told so by the end of the stream:
// its version byte and the first frame make an unknown command.
func TestNeoClientOnTheLegacyPort(t *testing.T) {
	t.Parallel()
	c := dial(t, nodetest.Start(t))
	c.send([]byte{1})
	c.wantSilence()
	c.send([]byte("\x02\x08\x00\x00\x00\x00\x00\x00\x00\x0a\x00\x2f\x68\x59\x00\x00\x00\x00"))
	c.wantEOF()
}

// Every request leaves the connection ready for the next one, whatever its status.
func TestConnectionIsReusedForEveryRequest(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c, other := dial(t, node), dial(t, node)
	for i := range 50 {
		channel := fmt.Sprintf("reuse%d", i)
		c.push(channel, "pushed")
		c.do(legacyclient.ListRequest(legacyclient.PushMulti, []string{channel}, "multi"), legacyclient.Ok)
		c.produce(channel)
		c.send(legacyclient.Records("produced", ""))
		c.do(legacyclient.ListRequest(legacyclient.ProduceMulti, []string{channel}), legacyclient.Ok)
		c.send(legacyclient.Records("producedmulti", ""))
		c.wantPop(channel, "pushed")
		c.consume(channel)
		for _, want := range []string{"multi", "produced", "producedmulti"} {
			c.wantArray(want)
		}
		other.remove(channel)
		c.wantArray("")
		c.remove(channel)
		c.do(legacyclient.Request(legacyclient.Pop, channel), legacyclient.Error)
		c.alive()
	}
}
