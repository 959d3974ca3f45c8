package neo

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// Thousands of requests in one write, in random order and with random ids: each gets its
// own replies, the support status first, and what it asked for (neo protocol spec §18, point 5).
func TestNeoThousandsOfInterleavedRequests(t *testing.T) {
	t.Parallel()
	const count, channels = 5000, 10
	random := nodetest.Random(t)
	node := nodetest.Start(t, nodetest.Set("EventLoop.count", "2"))
	c := clients.Neo(t, node)

	requests := map[uint64][]byte{} // the second reply to each; nil if there is none
	var frames [][]byte
	add := func(payload, reply []byte) {
		id := random.Uint64() | 1
		requests[id] = reply
		frames = append(frames, neoclient.RequestFrame(id, payload))
	}
	stored := map[string]int{} // records by channel
	for number := range count {
		channel := fmt.Sprintf("mixed%d", number%channels)
		add(neoclient.PushPayload([]byte(clients.Record(number, 8+random.Intn(300))), channel), []byte{clients.Pushed})
		add(neoclient.PopPayload("empty"), []byte{clients.PopEmpty})
		switch random.Intn(10) {
		case 0:
			add([]byte{byte(140 + random.Intn(100)), 0, 1, 2}, nil)
		case 1:
			add(neoclient.PopPayload("a b"), []byte{clients.PopError})
		case 2:
			add(neoclient.PushPayload([]byte("value"), channel, "a/b"), []byte{clients.PushError})
		}
		stored[channel]++
	}
	random.Shuffle(len(frames), func(i, j int) { frames[i], frames[j] = frames[j], frames[i] })
	sent := make(chan error, 1)
	go func() { sent <- c.Write(bytes.Join(frames, nil)) }()

	replies := map[uint64]int{}
	for expected := replyCount(requests); expected > 0; expected-- {
		f, err := c.Read()
		c.Must(err)
		reply, known := requests[f.ID]
		want := reply
		if replies[f.ID] == 0 {
			if want = []byte{clients.Supported}; reply == nil {
				want = []byte{clients.UnsupportedRequest}
			}
		}
		if !known || replies[f.ID] > 1 || !bytes.Equal(f.Payload, want) {
			t.Fatalf("got reply %d to a request: %v, want % x", replies[f.ID]+1, f, want)
		}
		replies[f.ID]++
	}
	c.Must(<-sent)
	c.WantNothing()

	for channel, count := range stored {
		wantPops(c, channel, count)
	}
}

// WantPops requires a channel to hold so many records, each once.
func wantPops(c *clients.NeoClient, channel string, count int) {
	c.T.Helper()
	seen := map[int]bool{}
	for range count {
		status, value, err := c.Pop(channel)
		c.Must(err)
		number, err := clients.RecordNumber(string(value), len(value))
		if status != clients.Popped || err != nil || seen[number] {
			c.T.Fatalf("channel %s: got status %02x, record %d, error %v; want a new record", channel, status, number, err)
		}
		seen[number] = true
	}
	c.WantPopStatus(channel, clients.PopEmpty)
}

func replyCount(requests map[uint64][]byte) (count int) {
	for _, reply := range requests {
		if count++; reply != nil {
			count++
		}
	}
	return count
}

// Values of 3 MB and small ones, pushed and popped on one connection in one go: all replies
// come, with the right values.
func TestNeoLargeValuesAmongSmallOnes(t *testing.T) {
	t.Parallel()
	const large, small, each = 10, 200, 3_000_000
	node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "40000000"))
	c := clients.Neo(t, node)
	var frames []byte
	id := uint64(0)
	push := func(value, channel string) {
		id++
		frames = append(frames, neoclient.RequestFrame(id, neoclient.PushPayload([]byte(value), channel))...)
	}
	for i := range large {
		push(clients.Record(i, each), "large")
		for j := range small {
			push(clients.Record(i*small+j, 50), "small")
		}
	}
	total := id
	sent := make(chan error, 1)
	go func() { sent <- c.Write(frames) }()
	for id := range total {
		c.WantReply(id+1, clients.Supported, clients.Pushed)
	}
	c.Must(<-sent)

	frames = nil
	for i := range large {
		frames = append(frames, neoclient.RequestFrame(uint64(1_000_000+i), neoclient.PopPayload("large"))...)
		for j := range small {
			frames = append(frames, neoclient.RequestFrame(uint64(i*small+j+1), neoclient.PopPayload("small"))...)
		}
	}
	c.MustWrite(frames)
	for i := range large {
		status, value := popped(c, uint64(1_000_000+i))
		if status != clients.Popped || value != clients.Record(i, each) {
			t.Errorf("got status %02x, value %s; want large record %d", status, clients.Excerpt(value), i)
		}
		for j := range small {
			status, value := popped(c, uint64(i*small+j+1))
			if status != clients.Popped || value != clients.Record(i*small+j, 50) {
				t.Errorf("got status %02x, value %s; want small record %d", status, clients.Excerpt(value), i*small+j)
			}
		}
	}
	c.WantNothing()
}

// Popped waits for the replies to a Pop.
func popped(c *clients.NeoClient, id uint64) (status byte, value string) {
	c.T.Helper()
	c.Must(c.Supported(id))
	status, v, err := c.Popped(id)
	c.Must(err)
	return status, string(v)
}

// Small requests are answered while large batches of several Consumes keep the connection
// busy. In front of a reply there is at most what was under way, and one batch of each
// Consume, since a request has one message in the queue (neo protocol spec §7.5).
func TestNeoSmallRequestsAmongLargeBatches(t *testing.T) {
	t.Parallel()
	nodetest.Slow(t)
	const consumes, records, size, pushes = 6, 15, 3_000_000, 8
	node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "50000000"))
	c, producer := clients.Neo(t, node), clients.Neo(t, node)
	for number := range records {
		for i := range consumes {
			producer.MustPush(clients.Record(number, size), fmt.Sprintf("large%d", i))
		}
	}
	next := map[uint64]int{}
	for i := range consumes {
		id := uint64(100 + i)
		c.Must(c.Send(id, neoclient.ConsumePayload(fmt.Sprintf("large%d", i), "")))
		next[id] = 0
	}
	// Replies to small requests are for id 1; a new one follows each.
	batches, since, answered := 0, 0, 0
	ask := neoclient.RequestFrame(1, neoclient.PushPayload([]byte("small"), "small"))
	c.MustWrite(ask)
	for batches < consumes*records {
		f, err := c.Read()
		c.Must(err)
		switch {
		case f.ID == 1 && f.Payload[0] == clients.Pushed:
			if most := 2 * consumes; since > most {
				t.Errorf("small request %d: %d batches of 3 MB were sent before its reply, want at most %d", answered, since, most)
			}
			if since, answered = 0, answered+1; answered < pushes {
				c.MustWrite(ask)
			}
		case len(f.Payload) > 1:
			batch, err := neoclient.Batch(f.Payload)
			c.Must(err)
			if len(batch) != 1 || string(batch[0]) != clients.Record(next[f.ID], size) {
				t.Fatalf("Consume %d: got %d records, first %s; want record %d", f.ID, len(batch), clients.Excerpt(string(batch[0])), next[f.ID])
			}
			next[f.ID]++
			batches++
			since++
			c.MustWrite(neoclient.RequestFrame(f.ID, []byte{neoclient.Continue}))
		}
	}
	if answered < pushes {
		t.Errorf("%d small requests were answered before the last batch, want %d", answered, pushes)
	}
}

// A frame that arrives slowly holds up nobody: requests sent before it are answered, and so
// are those of other connections, while memory grows with what has arrived only.
func TestNeoHalfOfALargeFrame(t *testing.T) {
	t.Parallel()
	const size = 3_000_000
	node := nodetest.Start(t)
	c, other := clients.Neo(t, node), clients.Neo(t, node)
	frame := neoclient.RequestFrame(5, neoclient.PushPayload([]byte(clients.Record(1, size)), "slow"))
	push := neoclient.RequestFrame(6, neoclient.PushPayload([]byte("small"), "small"))
	c.MustWrite(push, frame[:1_000_000])
	c.WantReply(6, clients.Supported, clients.Pushed)
	for range 100 {
		other.MustPush("value", "other")
		other.WantPop("other", "value")
	}
	c.MustWrite(frame[1_000_000:size])
	for range 100 {
		other.MustPush("value", "other")
		other.WantPop("other", "value")
	}
	other.WantPopStatus("slow", clients.PopEmpty)
	c.MustWrite(frame[size:], push)
	c.WantReply(5, clients.Supported, clients.Pushed)
	c.WantReply(6, clients.Supported, clients.Pushed)
	other.WantPop("slow", clients.Record(1, size))
	other.WantPop("small", "small")
}

// A client may send everything first and read everything later, as long as the kernel takes
// the replies.
func TestNeoRepliesWaitForTheReader(t *testing.T) {
	t.Parallel()
	const count = 20_000
	c := clients.Neo(t, nodetest.Start(t))
	var frames []byte
	for id := range uint64(count) {
		frames = append(frames, neoclient.RequestFrame(id+1, neoclient.PushPayload(nil))...)
	}
	c.MustWrite(frames)
	for id := range uint64(count) {
		c.WantFrame(id+1, clients.Supported)
		c.WantFrame(id+1, clients.Pushed)
	}
	c.WantNothing()
}
