package neo

import (
	"strings"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/storagetest"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
)

func TestPushAndPop(t *testing.T) {
	n := start(t, nil)
	c := n.connect()
	c.wantPop("jobs", 2, "")
	c.push("first", "jobs")
	c.push("second", "jobs", "copies", "jobs")
	c.push("", "copies")
	c.wantPop("jobs", 1, "first")
	c.wantPop("jobs", 1, "second")
	c.wantPop("jobs", 1, "second") // a name that comes twice gets it twice
	c.wantPop("jobs", 2, "")
	c.wantPop("copies", 1, "second")
	c.wantPop("copies", 1, "")
	c.push("nobody wants it")
	n.until("requests to be counted", func() bool {
		return n.handled("push") == 4 && n.handled("pop") == 7
	})
}

// handled is how many requests of a name are counted.
func (n *node) handled(name string) uint64 {
	sources := stats.Sources{Legacy: new(stats.Legacy), Neo: &n.stats}
	for _, r := range sources.ReadRequests() {
		if r.Protocol == "neo" && r.Name == name {
			return r.Handled
		}
	}
	n.t.Fatalf("no request %s", name)
	return 0
}

// A name that is not valid leaves nothing stored.
func TestPushIsAllOrNothing(t *testing.T) {
	n := start(t, nil)
	c := n.connect()
	for _, bad := range []string{"", "a@b", "bl ank", strings.Repeat("x", 300)} {
		c.wantPush(2, "record", "good", bad)
		c.wantPop(bad, 3, "")
	}
	if got := n.stored("good"); got != 0 {
		t.Errorf("%d records are stored, want none", got)
	}
	c.push("record", "good")
}

// A channel in which there is no room for the record keeps it from the others, too.
func TestPushReachesAllChannelsOrNone(t *testing.T) {
	options := storagetest.Options(t, 0)
	options.RingSize = func(channel string) uint64 {
		if channel == "no-room" {
			return 1 << 62
		}
		return 1 << 20
	}
	n := startWith(t, storagetest.Start(t, options), nil)
	c := n.connect()
	for range 2 {
		c.wantPush(2, "record", "good", "no-room", "other")
	}
	if got := n.stored("good") + n.stored("other"); got != 0 {
		t.Errorf("%d records are stored, want none", got)
	}
	c.push("record", "good", "other")
}

// On a full disk a channel that can't be created leaves nothing stored.
func TestNoChannelCanBeCreated(t *testing.T) {
	n := startWith(t, storagetest.StartFull(t), nil)
	c := n.connect()
	before := n.stored("1")
	c.wantPush(2, "record", "1", "c") // the first of them is there
	c.wantPop("c", 3, "")
	id := c.NextID()
	c.must(c.Start(id, neoclient.ConsumePayload("c", "")))
	if status, err := c.ReadByteFor(id); err != nil || status != 2 {
		t.Errorf("Consume: got status %d, error %v, want 2", status, err)
	}
	if got := n.stored("1"); got != before {
		t.Errorf("%d records are stored, want %d", got, before)
	}
	if n.logs.FilterMessage("request failed").Len() == 0 {
		t.Error("no failure is logged")
	}
}

func TestPopFromASubscribedChannel(t *testing.T) {
	n := start(t, nil)
	c := n.connect()
	c.consume("jobs", "s")
	c.wantPop("jobs", 4, "")
}

func TestRequestsThatAreNotSupported(t *testing.T) {
	c := start(t, nil).connect()
	for payload, want := range map[string]byte{
		"\x01\x02": 0xfe, "\x02\x00": 0xfe, "\x06\x05": 0xfe,
		"\x03\x01": 0xff, "\x00\x00": 0xff, "\xff\xff": 0xff,
	} {
		id := c.NextID()
		c.must(c.Send(id, []byte(payload)))
		if got, err := c.ReadByteFor(id); err != nil || got != want {
			t.Errorf("request % x: got %02x, error %v, want %02x", payload, got, err, want)
		}
	}
	c.push("and go on", "jobs")
}

// What is no message ends the connection; others do not notice.
func TestBrokenMessages(t *testing.T) {
	n := start(t, nil)
	other := n.connect()
	for _, test := range []struct{ rule, payload string }{
		{"Push without fields", "\x01\x03"},
		{"Push with a channel cut off", "\x01\x03\x01\x05\x00\x00\x00\x00\x00\x00\x00jo"},
		{"Pop with bytes behind", string(neoclient.PopPayload("jobs")) + "x"},
		{"Consume without a subscriber", "\x06\x04" + string(neoclient.Array("jobs"))},
	} {
		c := n.connect()
		id := c.NextID()
		c.must(c.Start(id, []byte(test.payload)))
		c.wantClosed()
		if got := n.logs.FilterMessage("malformed request, connection closed").Len(); got == 0 {
			t.Errorf("%s: nothing is logged", test.rule)
		}
		n.logs.TakeAll()
	}
	for rule, frame := range map[string][]byte{
		"a message of no byte":                neoclient.RequestFrame(1, nil),
		"a message of one byte that is none":  neoclient.RequestFrame(1, []byte{9}),
		"a frame that is too large":           neoclient.Header(1, 1<<40),
		"a frame of the handshake behind it":  neoclient.AuthenticationFrame([]byte("late")),
		"a frame shorter than a request's id": append(neoclient.Header(1, 3), 1, 2, 3),
	} {
		c := n.connect()
		c.must(c.Write(frame))
		if err := c.ExpectClose(); err != nil {
			t.Errorf("%s: %v", rule, err)
		}
	}
	other.push("record", "jobs")
	other.wantPop("jobs", 1, "record")
}

// The replies of pipelined requests come in their order.
func TestPipelinedRequests(t *testing.T) {
	c := start(t, nil).connect()
	var all []byte
	for id := uint64(1); id <= 50; id++ {
		all = append(all, neoclient.RequestFrame(2*id, neoclient.PushPayload([]byte{byte(id)}, "jobs"))...)
		all = append(all, neoclient.RequestFrame(2*id+1, neoclient.PopPayload("jobs"))...)
	}
	c.must(c.Write(all))
	for id := uint64(1); id <= 50; id++ {
		c.must(c.Supported(2 * id))
		if status, err := c.ReadByteFor(2 * id); err != nil || status != 1 {
			t.Fatalf("Push %d: got status %d, error %v", id, status, err)
		}
		c.must(c.Supported(2*id + 1))
		if status, value, err := c.Popped(2*id + 1); err != nil || status != 1 || value[0] != byte(id) {
			t.Fatalf("Pop %d: got status %d, % x, error %v", id, status, value, err)
		}
	}
	if parked := c.Parked(); len(parked) > 0 {
		t.Errorf("also got %v", parked)
	}
}

func TestHandshake(t *testing.T) {
	n := start(t, nil)
	c := n.dial()
	if err := c.Authenticate(neoclient.Now("nobody", [128]byte{})); err != neoclient.ErrRejected {
		t.Errorf("got error %v, want a rejection", err)
	}
	c.wantClosed()
	if got := n.logs.All(); len(got) != 1 || !strings.Contains(got[0].Message, `"nobody"`) || got[0].ContextMap()["address"] == "" {
		t.Errorf("got log %v, want a line with name and address", got)
	}
}

func TestHandshakeTimeout(t *testing.T) {
	n := start(t, func(o *Options) { o.HandshakeTimeout = 5 * time.Millisecond })
	n.dial().wantClosed()
}
