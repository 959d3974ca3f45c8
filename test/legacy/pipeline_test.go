package legacy

import (
	"bytes"
	"fmt"
	"math/rand"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// model is what the specification says about the channels of a node that one client
// talks to: their records, in order. It answers requests as the node has to.
type model map[string][]string

const (
	good = "abc" // each letter is a channel
	bad  = "a b"
)

// next returns a random request and the reply to it.
func (m model) next(random *rand.Rand) (request, reply []byte) {
	channel := string(good[random.Intn(len(good))])
	value := clients.Record(random.Intn(1e7), 8+random.Intn(200))
	status := func(s legacyclient.Status) []byte { return legacyclient.AppendStatus(nil, s) }
	switch random.Intn(13) {
	case 0, 1, 2:
		m[channel] = append(m[channel], value)
		return legacyclient.Request(legacyclient.Push, channel, value), status(legacyclient.Ok)
	case 3, 4, 5:
		return legacyclient.Request(legacyclient.Pop, channel), m.pop(channel)
	case 6:
		return legacyclient.Request(legacyclient.GetNumConnections), status(legacyclient.NotSupported)
	case 7:
		for _, name := range []string{"a", channel} {
			m[name] = append(m[name], value)
		}
		return legacyclient.ListRequest(legacyclient.PushMulti, []string{"a", channel}, value), status(legacyclient.Ok)
	case 8:
		delete(m, channel)
		return legacyclient.Request(legacyclient.RemoveChannel, channel), status(legacyclient.Ok)
	case 9:
		m[channel] = append(m[channel], value, "last")
		request = append(legacyclient.Request(legacyclient.Produce, channel), legacyclient.Records(value, "last", "")...)
		return request, status(legacyclient.Ok)
	case 10:
		for _, name := range []string{channel, "b"} {
			m[name] = append(m[name], value)
		}
		request = append(legacyclient.ListRequest(legacyclient.ProduceMulti, []string{channel, "b"}), legacyclient.Records(value, "")...)
		return request, status(legacyclient.Ok)
	case 11:
		m[channel] = append(m[channel], []string{}...)
		return legacyclient.Request(legacyclient.Push, channel, ""), status(legacyclient.EmptyValue)
	default:
		return legacyclient.ListRequest(legacyclient.PushMulti, []string{channel, bad}, value), status(legacyclient.BadChannelName)
	}
}

func (m model) pop(channel string) (reply []byte) {
	records, found := m[channel]
	if !found {
		return legacyclient.AppendStatus(nil, legacyclient.Error)
	}
	value := ""
	if len(records) > 0 {
		value, m[channel] = records[0], records[1:]
	}
	return legacyclient.AppendArray(legacyclient.AppendStatus(nil, legacyclient.Ok), value)
}

// 10,000 requests of all kinds, sent without waiting for a reply, are answered in order
// and exactly as if they had come one by one.
func TestPipelinedMixedRequests(t *testing.T) {
	t.Parallel()
	random := nodetest.Random(t)
	node := nodetest.Start(t)
	channels := model{}
	var requests, replies []byte
	var starts []int // of each reply
	for range 10_000 {
		request, reply := channels.next(random)
		requests = append(requests, request...)
		starts = append(starts, len(replies))
		replies = append(replies, reply...)
	}
	c := clients.Legacy(t, node)
	sent := make(chan error, 1)
	go func() { sent <- c.Send(requests) }()
	got := make([]byte, len(replies))
	n, err := c.ReceiveSome(got)
	if !bytes.Equal(got[:n], replies) {
		t.Fatalf("%s (%v)", firstDifference(got[:n], replies, starts), err)
	}
	c.Must(<-sent)
	c.WantSilence()
	c.Alive()
}

func firstDifference(got, want []byte, starts []int) string {
	at := 0
	for at < len(got) && got[at] == want[at] {
		at++
	}
	request := 0
	for request+1 < len(starts) && starts[request+1] <= at {
		request++
	}
	start := starts[request]
	end := min(len(want), start+40)
	return fmt.Sprintf("reply to request %d: got % x, want % x", request, got[min(start, len(got)):min(end, len(got))], want[start:end])
}
