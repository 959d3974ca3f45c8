package test

import (
	"fmt"
	"math"
	"testing"

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
	connect(t, node).alive()
	before := node.ResetPeakRSS()
	for _, length := range append(hugeLengths, 1000) {
		for _, kind := range []byte{1, 2, 3} {
			header := neoclient.Header(kind, length)
			unequal := fault(neoclient.Header(kind, length))
			for _, h := range [][]byte{header, unequal} {
				c := dialNeo(t, node)
				c.play("C 01\nN 01")
				c.write(h)
				c.wantClose()

				c = dialNeo(t, node)
				_, err := c.Introduce(testLogin().Time)
				c.must(err)
				c.write(h)
				c.wantClose()
			}
		}
	}
	wantGrowth(t, node, before, 4<<20)
}

// The same for one that is, beyond the limit of the configuration; and a header with wrong
// parity ends the connection whatever the length.
func TestNeoHugeLengthsAfterAuthentication(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	connect(t, node).alive()
	before := node.ResetPeakRSS()
	for _, length := range append(hugeLengths, 268435457) {
		c := connect(t, node)
		c.write(neoclient.Header(1, length))
		c.wantClose()
	}
	for _, length := range append(hugeLengths, 9, 268435456) {
		for _, kind := range []byte{1, 2} {
			c := connect(t, node)
			c.write(fault(neoclient.Header(kind, length)))
			c.wantClose()
		}
	}
	wantGrowth(t, node, before, 4<<20)
}

// An allowed length is only an announcement: memory is for bytes that have come.
func TestNeoAnnouncedLengthsCostNoMemory(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	other := connect(t, node)
	other.alive()
	before := node.ResetPeakRSS()
	for _, announced := range []uint64{268435456, 100 << 20, 1 << 20} {
		for range 30 {
			c := connect(t, node)
			c.write(neoclient.Header(1, announced), neoclient.Number(1), neoclient.PushPayload(make([]byte, 100), "announced"))
		}
	}
	roundTrips(t, node, "other", 500)
	other.wantPopStatus("announced", popEmpty)
	wantGrowth(t, node, before, 8<<20)
}

// [Limits] neo_frame is the largest body.
func TestNeoFrameLimit(t *testing.T) {
	t.Parallel()
	const limit = 100_000
	node := nodetest.Start(t, nodetest.Set("Limits.neo_frame", fmt.Sprint(limit)))
	c := connect(t, node)
	empty := len(neoclient.PushPayload(nil, "frame")) + 8 // body without value
	c.push(record(1, limit-empty), "frame")
	c.wantPop("frame", record(1, limit-empty))
	c.write(neoclient.RequestFrame(9, neoclient.PushPayload([]byte(record(2, limit-empty+1)), "frame")))
	c.wantClose()
	connect(t, node).wantPopStatus("frame", popEmpty)
}

// 5000 requests may be active on a connection; one more, of whatever kind, closes it and
// ends all the others (neo protocol spec §7.4, §18, point 11).
func TestNeoFiveThousandRequests(t *testing.T) {
	t.Parallel()
	const limit, channels, firstID = 5000, 20, 100_000
	channel := func(i int) string { return fmt.Sprintf("c%d", i%channels) }
	node := nodetest.Start(t)
	c := connect(t, node)
	var requests []byte
	for i := range limit {
		requests = append(requests, neoclient.RequestFrame(firstID+uint64(i), neoclient.ConsumePayload(channel(i), ""))...)
	}
	c.write(requests)
	for i := range limit {
		c.wantFrame(firstID+uint64(i), supported)
		c.wantFrame(firstID+uint64(i), started)
	}
	// Late feedback starts no request; a request that ends makes room.
	c.write(neoclient.RequestFrame(6000, []byte{neoclient.Continue}), neoclient.RequestFrame(6000, []byte{neoclient.Stop}))
	c.wantFrame(6000, neoclient.Stopped)
	c.must(c.Send(firstID+7, []byte{neoclient.Stop}))
	c.wantFrame(firstID+7, neoclient.Stopped)
	c.alive()
	c.must(c.Send(firstID+7, neoclient.ConsumePayload(channel(7), "")))
	c.wantReply(firstID+7, supported, started)

	// Records reach all of them. They are not confirmed.
	producer := connect(t, node) // has requests of its own
	for i := range limit {
		producer.push(record(i, 20), channel(i))
	}
	seen := map[string]bool{}
	for len(seen) < limit {
		f, err := c.Read()
		c.must(err)
		if batch, err := neoclient.Batch(f.Payload); err != nil || seen[string(batch[0])] {
			t.Fatalf("got frame %v, error %v; want new records", f, err)
		} else {
			for _, r := range batch {
				seen[string(r)] = true
			}
		}
	}
	c.must(c.Send(1, neoclient.PushPayload([]byte("too many"), "more")))
	c.wantClose()

	producer.wantPopStatus("more", popEmpty)
	leaveNeo(t, node, c, byClose)
	var first []string // records of the first channel; those that had them are over
	for i := 0; i < limit; i += channels {
		first = append(first, record(i, 20))
	}
	producer.consume(channel(0), "").wantRecords(first...)
}

// The limit is that of the configuration, and Push and Pop count while they are active.
func TestNeoRequestLimit(t *testing.T) {
	t.Parallel()
	for _, request := range [][]byte{
		neoclient.PushPayload([]byte("value"), "more"), neoclient.PopPayload("more"), neoclient.ConsumePayload("more", ""),
	} {
		node := nodetest.Start(t, nodetest.Set("Limits.neo_requests", "2"))
		c := connect(t, node)
		c.consume("limit", "")
		for range 3 {
			c.alive()
		}
		second := c.consume("limit", "")
		second.stop()
		c.consume("limit", "another")
		c.must(c.Send(c.NextID(), request))
		c.wantClose()
	}
}

// [Server] connection_limit counts the connections of each protocol by themselves (neo protocol spec §2.1).
func TestNeoConnectionLimit(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Server.connection_limit", "3"), nodetest.Set("Limits.peer_connections", "0"))
	var legacy []*client
	var three []*neo
	for range 3 {
		legacy = append(legacy, dial(t, node))
		three = append(three, connect(t, node))
	}
	for range 20 {
		dialNeo(t, node).wantClose()
		dial(t, node).wantEOF()
	}
	k := three[0].consume("limit", "")
	three[1].push("value", "limit")
	k.wantRecords("value")
	legacy[0].push("limit", "legacy")
	k.wantRecords("legacy")
	node.WaitLog(`(?i)connection.*limit.*protocol=neo`)
	for _, c := range legacy {
		c.alive()
	}

	three[2].Close()
	eventually(t, "a new neo connection is served", func() bool {
		c, err := neoclient.Connect(node.Neo(), testLogin())
		if err != nil {
			return false
		}
		t.Cleanup(func() { c.Close() })
		status, err := c.Push(nil)
		return err == nil && status == pushed
	})
	dialNeo(t, node).wantClose()
	dial(t, node).wantEOF()
}
