package neo

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// breaches are what a client must not send once it is authenticated: the node closes the
// connection in order and says nothing more (neo protocol spec §6.2, §7.2, §15).
var breaches = []struct {
	fault string
	bytes []byte
}{
	{"parity", fault(neoclient.Header(1, 9))},
	{"type 0", neoclient.Header(0, 9)},
	{"type 2", neoclient.Header(2, 9)},
	{"type 3", neoclient.Header(3, 9)},
	{"type 255", neoclient.Header(255, 9)},
	{"body of 0 bytes", neoclient.Header(1, 0)},
	{"body of 7 bytes", neoclient.Header(1, 7)},
	{"a timestamp", neoclient.AuthenticationFrame(neoclient.Number(1500000000))},
	{"HTTP", []byte("GET / HTTP/1.1\r\n\r\n")},
	{"Push of id 0", neoclient.RequestFrame(0, neoclient.PushPayload([]byte("value"), "breach"))},
	{"Pop of id 0", neoclient.RequestFrame(0, neoclient.PopPayload("breach"))},
	{"Consume of id 0", neoclient.RequestFrame(0, neoclient.ConsumePayload("breach", ""))},
	{"unknown request of id 0", neoclient.RequestFrame(0, []byte{9, 9})},
	{"Continue of id 0", neoclient.RequestFrame(0, []byte{neoclient.Continue})},
	{"Stop of id 0", neoclient.RequestFrame(0, []byte{neoclient.Stop})},
	{"no payload", neoclient.RequestFrame(77, nil)},
	{"one byte 00", neoclient.RequestFrame(77, []byte{0})},
	{"one byte 03", neoclient.RequestFrame(77, []byte{3})},
	{"one byte 06", neoclient.RequestFrame(77, []byte{6})},
	{"one byte ff", neoclient.RequestFrame(77, []byte{0xff})},
}

// Whatever a peer gets wrong, it first gets the replies to what it sent before, then the
// end of the stream and no reset, also if it goes on sending. What is behind the fault has
// no effect.
func TestNeoBreachClosesTheConnection(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	other := clients.Neo(t, node)
	before := neoclient.RequestFrame(5, neoclient.PushPayload([]byte("value"), "breach"))
	behind := bytes.Repeat(neoclient.RequestFrame(6, neoclient.PushPayload(make([]byte, 1000), "breach")), 300)
	for _, test := range breaches {
		t.Logf("%s", test.fault)
		c := clients.Neo(t, node)
		c.Alive()
		c.MustWrite(test.bytes)
		c.WantClose()

		c = clients.Neo(t, node)
		c.MustWrite(before, test.bytes, behind)
		c.WantFrame(5, clients.Supported)
		c.WantFrame(5, clients.Pushed)
		c.WantClose()
		other.WantPop("breach", "value")
		other.WantPopStatus("breach", clients.PopEmpty)
	}
}

// malformed are first messages of supported requests that can't be understood.
var malformed = []struct {
	fault, request string
	payload        []byte
}{
	{"no channel count", "push", []byte{1, 3}},
	{"no channel", "push", []byte{1, 3, 1}},
	{"one channel of two", "push", joined([]byte{1, 3, 2}, neoclient.Array("a"))},
	{"no value", "push", joined([]byte{1, 3, 1}, neoclient.Array("a"))},
	{"no value, no channels", "push", []byte{1, 3, 0}},
	{"cut length of the value", "push", joined([]byte{1, 3, 1}, neoclient.Array("a"), make([]byte, 7))},
	{"cut value", "push", joined([]byte{1, 3, 1}, neoclient.Array("a"), neoclient.Number(3), []byte("va"))},
	{"value of 2^64-1 bytes", "push", joined([]byte{1, 3, 1}, neoclient.Array("a"), neoclient.Number(math.MaxUint64), []byte("va"))},
	{"name of 2^64-8 bytes", "push", joined([]byte{1, 3, 1}, neoclient.Number(math.MaxUint64-7), []byte("a"), neoclient.Array("value"))},
	{"left-over byte", "push", append(neoclient.PushPayload([]byte("value"), "a"), 0)},
	{"no channel", "pop", []byte{2, 1}},
	{"cut channel", "pop", joined([]byte{2, 1}, neoclient.Number(5), []byte("chan"))},
	{"channel of 2^63 bytes", "pop", joined([]byte{2, 1}, neoclient.Number(1<<63), []byte("channel"))},
	{"left-over byte", "pop", append(neoclient.PopPayload("a"), 0)},
	{"no channel", "consume", []byte{6, 4}},
	{"no subscriber", "consume", joined([]byte{6, 4}, neoclient.Array("a"))},
	{"cut subscriber", "consume", joined([]byte{6, 4}, neoclient.Array("a"), neoclient.Number(2), []byte("s"))},
	{"subscriber of 2^64-1 bytes", "consume", joined([]byte{6, 4}, neoclient.Array("a"), neoclient.Number(math.MaxUint64))},
	{"left-over byte", "consume", append(neoclient.ConsumePayload("a", "s"), 0)},
}

func joined(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// fd says that the request is supported; then the connection ends, and an error in the log
// names client and request (neo protocol spec §15, Q8).
func TestNeoMalformedFirstMessage(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	for _, test := range malformed {
		t.Logf("%s: %s", test.request, test.fault)
		for _, behind := range []int{0, 300_000} {
			c := clients.Neo(t, node)
			c.MustWrite(neoclient.RequestFrame(5, test.payload), make([]byte, behind))
			c.WantFrame(5, clients.Supported)
			c.WantClose()
		}
		node.WaitLog(`^Error \[swarm\.neo\.node\.ConnectionHandler\] - .*test.*` + test.request)
	}
	c := clients.Neo(t, node)
	c.WantPopStatus("a", clients.PopEmpty)
}

// Codes and versions other than those of neo protocol spec §8 are answered with one byte; the rest of the
// message doesn't matter, nor is the connection affected (neo protocol spec §7.2, §18, point 4).
func TestNeoUnsupportedRequests(t *testing.T) {
	t.Parallel()
	c := clients.Neo(t, nodetest.Start(t))
	versions := map[byte]byte{1: 3, 2: 1, 6: 4}
	for code := byte(128); code <= 139; code++ { // ours: docs/protocol.md
		versions[code] = 1
	}
	for code := range 256 {
		for _, version := range []byte{0, 1, 2, 3, 4, 5, 255} {
			want, known := byte(clients.UnsupportedRequest), false
			if _, known = versions[byte(code)]; known {
				want = clients.UnsupportedVersion
			}
			if known && versions[byte(code)] == version {
				continue
			}
			for _, rest := range []int{0, 1, 300} {
				id := c.NextID()
				c.Must(c.Send(id, append([]byte{byte(code), version}, make([]byte, rest)...)))
				c.WantFrame(id, want)
			}
		}
	}
	c.WantNothing()
}

// A late Continue is discarded and a late Stop answered with Stopped, on any id without
// request and as often as they come (neo protocol spec §15, Q9).
func TestNeoStrayFeedback(t *testing.T) {
	t.Parallel()
	c := clients.Neo(t, nodetest.Start(t))
	c.MustPush("value", "stray")
	for _, id := range []uint64{1, 2, 999, math.MaxUint64} { // 1 was that of the Push
		for range 3 {
			c.Must(c.Send(id, []byte{neoclient.Continue}))
			c.Must(c.Send(id, []byte{neoclient.Stop}))
			c.WantFrame(id, neoclient.Stopped)
		}
	}
	c.WantNothing()
	c.WantPop("stray", "value")
}

// Ids are the client's: any order, any number but 0, and each again once its request is
// over, for whatever request (neo protocol spec §7.1).
func TestNeoRequestIDs(t *testing.T) {
	t.Parallel()
	c := clients.Neo(t, nodetest.Start(t))
	for _, id := range []uint64{math.MaxUint64, 1 << 63, 1, 1 << 32, math.MaxUint64, 0xffffffff, 1} {
		c.Must(c.Start(id, neoclient.PushPayload([]byte("value"), "ids")))
		c.WantReply(id, clients.Pushed)
		c.Must(c.Start(id, neoclient.PopPayload("ids")))
		status, value, err := c.Popped(id)
		if c.Must(err); status != clients.Popped || string(value) != "value" {
			t.Errorf("id %d: got status %02x, value %q", id, status, value)
		}
		c.Must(c.Start(id, neoclient.ConsumePayload(fmt.Sprintf("ids%d", id), "")))
		c.WantReply(id, clients.Started)
		c.Must(c.Send(id, []byte{neoclient.Stop}))
		c.WantReply(id, neoclient.Stopped)
	}
	c.WantNothing()
}

// The message behind that of a Push or Pop is a request of its own, since the first is over
// then (neo protocol spec §15, second message).
func TestNeoSecondMessageOnAnID(t *testing.T) {
	t.Parallel()
	c := clients.Neo(t, nodetest.Start(t))
	push := neoclient.RequestFrame(5, neoclient.PushPayload([]byte("value"), "second"))
	pop := neoclient.RequestFrame(5, neoclient.PopPayload("second"))
	c.MustWrite(push, push, pop, pop, pop)
	for range 2 {
		c.WantFrame(5, clients.Supported)
		c.WantFrame(5, clients.Pushed)
	}
	for range 2 {
		c.WantFrame(5, clients.Supported)
		c.WantFrame(5, append([]byte{clients.Popped}, neoclient.Array("value")...)...)
	}
	c.WantFrame(5, clients.Supported)
	c.WantFrame(5, clients.PopEmpty)
	c.WantNothing()

	c.MustWrite(push, neoclient.RequestFrame(5, []byte{3}))
	c.WantFrame(5, clients.Supported)
	c.WantFrame(5, clients.Pushed)
	c.WantClose()
}

// Frames may arrive in two pieces, cut anywhere. The first piece is in one write with a
// whole request, whose answer tells that it has arrived.
func TestNeoFramesSplitAtEveryByte(t *testing.T) {
	t.Parallel()
	c := clients.Neo(t, nodetest.Start(t))
	conversation := joined(
		neoclient.RequestFrame(1, neoclient.PushPayload([]byte("value"), "split", "other")),
		neoclient.RequestFrame(2, neoclient.PopPayload("split")),
		neoclient.RequestFrame(3, neoclient.PopPayload("other")),
		neoclient.RequestFrame(4, neoclient.ConsumePayload("channel", "subscriber")),
		neoclient.RequestFrame(4, []byte{neoclient.Stop}),
		neoclient.RequestFrame(5, []byte{7, 8, 9}),
	)
	whole := neoclient.RequestFrame(9, neoclient.PushPayload(nil))
	value := append([]byte{clients.Popped}, neoclient.Array("value")...)
	for cut := range conversation {
		c.MustWrite(whole, conversation[:cut])
		c.WantReply(9, clients.Supported, clients.Pushed)
		c.MustWrite(conversation[cut:])
		c.WantReply(1, clients.Supported, clients.Pushed)
		for id := range uint64(2) {
			c.WantFrame(2+id, clients.Supported)
			c.WantFrame(2+id, value...)
		}
		c.WantReply(4, clients.Supported, clients.Started, neoclient.Stopped)
		c.WantReply(5, clients.UnsupportedRequest)
	}
	c.WantNothing()
}
