package neo

import (
	"fmt"
	"math"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// hugeLengths are bodies that nobody sends. 10 more bytes make the last ones wrap.
var hugeLengths = []uint64{1 << 30, 1 << 40, math.MaxInt64 - 9, math.MaxInt64, 1 << 63, math.MaxUint64 - 10, math.MaxUint64 - 9, math.MaxUint64}

// A peer that is not authenticated can't make the node wait for a large body, nor reserve
// memory for it: it is closed when its header is there (Q4).
func TestNeoHugeLengthsBeforeAuthentication(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	clients.Neo(t, node).Alive()
	before := node.ResetPeakRSS()
	for _, length := range append(hugeLengths, 1000) {
		for _, kind := range []byte{1, 2, 3} {
			header := neoclient.Header(kind, length)
			unequal := fault(neoclient.Header(kind, length))
			for _, h := range [][]byte{header, unequal} {
				c := clients.DialNeo(t, node)
				play(c, "C 01\nN 01")
				c.MustWrite(h)
				c.WantClose()

				c = clients.DialNeo(t, node)
				_, err := c.Introduce(clients.TestLogin().Time)
				c.Must(err)
				c.MustWrite(h)
				c.WantClose()
			}
		}
	}
	nodetest.WantGrowth(t, node, before, 4<<20)
}

// The same for one that is, beyond the limit of the configuration; and a header with wrong
// parity ends the connection whatever the length.
func TestNeoHugeLengthsAfterAuthentication(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	clients.Neo(t, node).Alive()
	before := node.ResetPeakRSS()
	for _, length := range append(hugeLengths, 268435457) {
		c := clients.Neo(t, node)
		c.MustWrite(neoclient.Header(1, length))
		c.WantClose()
	}
	for _, length := range append(hugeLengths, 9, 268435456) {
		for _, kind := range []byte{1, 2} {
			c := clients.Neo(t, node)
			c.MustWrite(fault(neoclient.Header(kind, length)))
			c.WantClose()
		}
	}
	nodetest.WantGrowth(t, node, before, 4<<20)
}

// An allowed length is only an announcement: memory is for bytes that have come.
func TestNeoAnnouncedLengthsCostNoMemory(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	other := clients.Neo(t, node)
	other.Alive()
	before := node.ResetPeakRSS()
	for _, announced := range []uint64{268435456, 100 << 20, 1 << 20} {
		for range 30 {
			c := clients.Neo(t, node)
			c.MustWrite(neoclient.Header(1, announced), neoclient.Number(1), neoclient.PushPayload(make([]byte, 100), "announced"))
		}
	}
	clients.RoundTrips(t, node, "other", 500)
	other.WantPopStatus("announced", clients.PopEmpty)
	nodetest.WantGrowth(t, node, before, 8<<20)
}

// [Limits] neo_frame is the largest body.
func TestNeoFrameLimit(t *testing.T) {
	t.Parallel()
	const limit = 100_000
	node := nodetest.Start(t, nodetest.Set("Limits.neo_frame", fmt.Sprint(limit)))
	c := clients.Neo(t, node)
	empty := len(neoclient.PushPayload(nil, "frame")) + 8 // body without value
	c.MustPush(clients.Record(1, limit-empty), "frame")
	c.WantPop("frame", clients.Record(1, limit-empty))
	c.MustWrite(neoclient.RequestFrame(9, neoclient.PushPayload([]byte(clients.Record(2, limit-empty+1)), "frame")))
	c.WantClose()
	clients.Neo(t, node).WantPopStatus("frame", clients.PopEmpty)
}

// 5000 requests may be active on a connection; one more, of whatever kind, closes it and
// ends all the others (neo protocol spec §7.4, §18, point 11).
func TestNeoFiveThousandRequests(t *testing.T) {
	t.Parallel()
	const limit, channels, firstID = 5000, 20, 100_000
	channel := func(i int) string { return fmt.Sprintf("c%d", i%channels) }
	node := nodetest.Start(t)
	c := clients.Neo(t, node)
	var requests []byte
	for i := range limit {
		requests = append(requests, neoclient.RequestFrame(firstID+uint64(i), neoclient.ConsumePayload(channel(i), ""))...)
	}
	c.MustWrite(requests)
	for i := range limit {
		c.WantFrame(firstID+uint64(i), clients.Supported)
		c.WantFrame(firstID+uint64(i), clients.Started)
	}
	// Late feedback starts no request; a request that ends makes room.
	c.MustWrite(neoclient.RequestFrame(6000, []byte{neoclient.Continue}), neoclient.RequestFrame(6000, []byte{neoclient.Stop}))
	c.WantFrame(6000, neoclient.Stopped)
	c.Must(c.Send(firstID+7, []byte{neoclient.Stop}))
	c.WantFrame(firstID+7, neoclient.Stopped)
	c.Alive()
	c.Must(c.Send(firstID+7, neoclient.ConsumePayload(channel(7), "")))
	c.WantReply(firstID+7, clients.Supported, clients.Started)

	// Records reach all of them. They are not confirmed.
	producer := clients.Neo(t, node) // has requests of its own
	for i := range limit {
		producer.MustPush(clients.Record(i, 20), channel(i))
	}
	seen := map[string]bool{}
	for len(seen) < limit {
		f, err := c.Read()
		c.Must(err)
		if batch, err := neoclient.Batch(f.Payload); err != nil || seen[string(batch[0])] {
			t.Fatalf("got frame %v, error %v; want new records", f, err)
		} else {
			for _, r := range batch {
				seen[string(r)] = true
			}
		}
	}
	c.Must(c.Send(1, neoclient.PushPayload([]byte("too many"), "more")))
	c.WantClose()

	producer.WantPopStatus("more", clients.PopEmpty)
	clients.LeaveNeo(t, node, c, clients.ByClose)
	var first []string // records of the first channel; those that had them are over
	for i := 0; i < limit; i += channels {
		first = append(first, clients.Record(i, 20))
	}
	producer.MustConsume(channel(0), "").WantRecords(first...)
}

// The limit is that of the configuration, and Push and Pop count while they are active.
func TestNeoRequestLimit(t *testing.T) {
	t.Parallel()
	for _, request := range [][]byte{
		neoclient.PushPayload([]byte("value"), "more"), neoclient.PopPayload("more"), neoclient.ConsumePayload("more", ""),
	} {
		node := nodetest.Start(t, nodetest.Set("Limits.neo_requests", "2"))
		c := clients.Neo(t, node)
		c.MustConsume("limit", "")
		for range 3 {
			c.Alive()
		}
		second := c.MustConsume("limit", "")
		second.Stop()
		c.MustConsume("limit", "another")
		c.Must(c.Send(c.NextID(), request))
		c.WantClose()
	}
}

// [Server] connection_limit counts the connections of each protocol by themselves (neo protocol spec §2.1).
func TestNeoConnectionLimit(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Server.connection_limit", "3"), nodetest.Set("Limits.peer_connections", "0"))
	var legacy []*clients.LegacyClient
	var three []*clients.NeoClient
	for range 3 {
		legacy = append(legacy, clients.Legacy(t, node))
		three = append(three, clients.Neo(t, node))
	}
	for range 20 {
		clients.DialNeo(t, node).WantClose()
		clients.Legacy(t, node).WantEOF()
	}
	k := three[0].MustConsume("limit", "")
	three[1].MustPush("value", "limit")
	k.WantRecords("value")
	legacy[0].MustPush("limit", "legacy")
	k.WantRecords("legacy")
	node.WaitLog(`(?i)connection.*limit.*protocol=neo`)
	for _, c := range legacy {
		c.Alive()
	}

	three[2].Close()
	nodetest.Eventually(t, "a new neo connection is served", func() bool {
		c, err := neoclient.Connect(node.Neo(), clients.TestLogin())
		if err != nil {
			return false
		}
		t.Cleanup(func() { c.Close() })
		status, err := c.Push(nil)
		return err == nil && status == clients.Pushed
	})
	clients.DialNeo(t, node).WantClose()
	clients.Legacy(t, node).WantEOF()
}
