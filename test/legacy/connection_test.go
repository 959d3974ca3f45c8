package legacy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// The node never speaks first (legacy protocol spec §1.4, §15 item 4).
func TestNothingIsSentBeforeARequest(t *testing.T) {
	t.Parallel()
	c := clients.Legacy(t, nodetest.Start(t))
	c.WantSilence()
	c.Alive()
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
			c := clients.Legacy(t, node)
			c.MustSend(append(append(good[:len(good):len(good)], test.bad...), make([]byte, more)...))
			c.WantStatus(legacyclient.Ok)
			c.WantStatus(legacyclient.NotSupported)
			c.WantEOF()
			node.WaitLog(test.log)
			other := clients.Legacy(t, node)
			other.WantPop("kept", "value")
			other.MustDo(legacyclient.Request(legacyclient.Pop, "refused"), legacyclient.Error)
		})
	}
}

// Ordinary ends of connections leave no trace in the log (operations spec §7.5).
func TestDisconnectsAreNotLogged(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	clients.Legacy(t, node).Alive()
	for _, way := range leaving {
		open := node.Sockets()
		c := clients.Legacy(t, node)
		c.MustPush("quiet", "value")
		way.leave(c)
		nodetest.Eventually(t, "the node closes the connection", func() bool { return node.Sockets() <= open })
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
			reader := clients.Legacy(t, node)
			c := clients.Legacy(t, node)
			c.MustSend(legacyclient.Request(legacyclient.Push, "unread", "value"))
			way.leave(c)
			nodetest.Eventually(t, "the record is stored", func() bool {
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
			reader := clients.Legacy(t, node)
			reader.Alive()

			producer := clients.Legacy(t, node)
			producer.MustProduce("cut")
			producer.MustSend(legacyclient.Records("one", "two"))
			producer.MustSend(legacyclient.AppendLength(nil, 100))
			producer.MustSend([]byte("only a part"))
			nodetest.Eventually(t, "the complete records are stored", func() bool {
				reader.MustDo(legacyclient.Request(legacyclient.Pop, "cut"), legacyclient.Ok)
				return reader.MustArray() == "one"
			})
			reader.WantPop("cut", "two")
			clients.LeaveLegacy(t, node, producer, way.leave)
			reader.WantPop("cut", "")

			pusher := clients.Legacy(t, node)
			pusher.Alive()
			request := legacyclient.Request(legacyclient.Push, "uncut", clients.Record(1, 100_000))
			pusher.MustSend(request[:len(request)-1])
			clients.LeaveLegacy(t, node, pusher, way.leave)
			reader.MustDo(legacyclient.Request(legacyclient.Pop, "uncut"), legacyclient.Error)
		})
	}
}

// Replies to everything sent before a half-close arrive, however many they are.
func TestHalfCloseBehindManyRequests(t *testing.T) {
	t.Parallel()
	const count = 2_000
	node := nodetest.Start(t)
	c := clients.Legacy(t, node)
	var requests []byte
	for number := range count {
		requests = append(requests, legacyclient.Request(legacyclient.Push, "half", clients.Record(number, 1000))...)
	}
	for range count {
		requests = append(requests, legacyclient.Request(legacyclient.Pop, "half")...)
	}
	sent := make(chan error, 1)
	go func() { sent <- c.Send(requests) }()
	for range count {
		c.WantStatus(legacyclient.Ok)
	}
	c.Must(<-sent)
	c.Must(c.CloseWrite())
	for number := range count {
		c.WantStatus(legacyclient.Ok)
		c.WantArray(clients.Record(number, 1000))
	}
	c.WantEOF()
}

// A neo client that was pointed to the legacy port is told so by the end of the stream:
// its version byte and the first frame make an unknown command.
func TestNeoClientOnTheLegacyPort(t *testing.T) {
	t.Parallel()
	c := clients.Legacy(t, nodetest.Start(t))
	c.MustSend([]byte{1})
	c.WantSilence()
	c.MustSend([]byte("\x02\x08\x00\x00\x00\x00\x00\x00\x00\x0a\x00\x2f\x68\x59\x00\x00\x00\x00"))
	c.WantEOF()
}

// Every request leaves the connection ready for the next one, whatever its status.
func TestConnectionIsReusedForEveryRequest(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c, other := clients.Legacy(t, node), clients.Legacy(t, node)
	for i := range 50 {
		channel := fmt.Sprintf("reuse%d", i)
		c.MustPush(channel, "pushed")
		c.MustDo(legacyclient.ListRequest(legacyclient.PushMulti, []string{channel}, "multi"), legacyclient.Ok)
		c.MustProduce(channel)
		c.MustSend(legacyclient.Records("produced", ""))
		c.MustDo(legacyclient.ListRequest(legacyclient.ProduceMulti, []string{channel}), legacyclient.Ok)
		c.MustSend(legacyclient.Records("producedmulti", ""))
		c.WantPop(channel, "pushed")
		c.MustConsume(channel)
		for _, want := range []string{"multi", "produced", "producedmulti"} {
			c.WantArray(want)
		}
		other.MustRemove(channel)
		c.WantArray("")
		c.MustRemove(channel)
		c.MustDo(legacyclient.Request(legacyclient.Pop, channel), legacyclient.Error)
		c.Alive()
	}
}
