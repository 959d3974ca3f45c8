package storage

import (
	"fmt"
	"math/rand"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/datadir"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// hoard is a node with large queues of every kind and what is in them.
type hoard struct {
	t      *testing.T
	node   *nodetest.Node
	random *rand.Rand
	next   int                 // number of the next record
	queues map[string][]string // by storage name

	mode stopMode

	rounds, unfinished int // interrupted while there was still something to do

	start, stop time.Duration // that were not interrupted
}

const hoardRecord = 2000 // bytes

// hoardChannels tells the subscribers of each channel; the plain ones have none.
var hoardChannels = map[string][]string{
	"plain": nil, "plain-small": nil, "plain-all": nil, "plain-empty": nil,
	"sub": {"", "a", "b"}, "sub-small": {"x"}, "sub-empty": {"", "e"},
}

func newHoard(t *testing.T) *hoard {
	random := nodetest.Random(t)
	node := nodetest.Start(t, hoardRings(1)...)
	h := &hoard{t: t, node: node, random: random, queues: map[string][]string{}, mode: dumpMode}
	for channel, subscribers := range hoardChannels {
		clients.SubscribeTo(t, node, channel, subscribers...)
	}
	h.fill()
	began := time.Now()
	stopInOrder(t, node)
	h.stop = time.Since(began)
	began = time.Now()
	node.Restart()
	h.start = time.Since(began)
	t.Logf("a stop takes %v, a start %v", h.stop, h.start)
	return h
}

// hoardRings are ring sizes such that some queues lie in the ring, some in the overflow, most
// in both.
func hoardRings(factor float64) (options []nodetest.Option) {
	for key, size := range map[string]float64{
		"Server.channel_size_limit": 1e6, "ChannelSizeById.plain-small": 1e4,
		"ChannelSizeById.sub-small": 1e4, "ChannelSizeById.plain-all": 1e7,
	} {
		options = append(options, nodetest.Set(key, fmt.Sprint(int(size*factor))))
	}
	return options
}

// fill adds records to the queues.
func (h *hoard) fill() {
	h.t.Helper()
	for _, channel := range sortedChannels() {
		if channel == "plain-empty" || channel == "sub-empty" {
			continue
		}
		count := 200 + h.random.Intn(1500)
		c := clients.Legacy(h.t, h.node)
		c.ProduceRecords(channel, h.next, h.next+count, hoardRecord)
		c.Must(c.Close())
		for _, storage := range storagesOf(channel) {
			h.queues[storage] = append(h.queues[storage], clients.Numbered(h.next, h.next+count, hoardRecord)...)
		}
		h.next += count
	}
}

// makeGaps makes some queues begin with a batch that was given back, behind which another one
// has been delivered.
func (h *hoard) makeGaps() {
	h.t.Helper()
	for _, channel := range []string{"sub", "sub-small"} { // in the ring, in the overflow
		for i, storage := range storagesOf(channel) {
			if h.random.Intn(2) == 0 {
				h.makeGap(channel, hoardChannels[channel][i], storage)
			}
		}
	}
}

func (h *hoard) makeGap(channel, subscriber, storage string) {
	h.t.Helper()
	holder, other := clients.Neo(h.t, h.node), clients.Neo(h.t, h.node)
	held := holder.MustConsume(channel, subscriber).Batch()
	k := other.MustConsume(channel, subscriber)
	delivered := k.Batch()
	k.Send(neoclient.Stop)
	k.WantEnd(neoclient.Stopped)
	clients.LeaveNeo(h.t, h.node, holder, clients.ByClose)
	other.Must(other.Close())
	h.queues[storage] = slices.Delete(h.queues[storage], len(held), len(held)+len(delivered))
}

func sortedChannels() (channels []string) {
	for channel := range hoardChannels {
		channels = append(channels, channel)
	}
	slices.Sort(channels)
	return channels
}

func storagesOf(channel string) (storages []string) {
	for _, subscriber := range hoardChannels[channel] {
		storages = append(storages, subscriber+"@"+channel)
	}
	if storages == nil {
		storages = []string{channel}
	}
	return storages
}

// somewhen waits for a random part of a duration and a little more.
func (h *hoard) somewhen(of time.Duration) {
	time.Sleep(time.Duration(h.random.Int63n(int64(of) * 12 / 10)))
}

// interruptStop kills the node while it stops; it may be too late for that.
func (h *hoard) interruptStop() {
	h.t.Helper()
	h.node.Signal(syscall.SIGTERM)
	h.somewhen(h.stop)
	h.node.Kill()
	if _, err := datadir.ReadStopped(h.node.Path("data"), datadir.AnySize); h.mode.value == dumpMode.value && err != nil {
		h.unfinished++
	}
}

// interruptStart ends the node while it starts, or shortly after, mostly by a kill.
func (h *hoard) interruptStart() {
	h.t.Helper()
	h.node.Launch()
	h.somewhen(h.start)
	if h.random.Intn(3) == 0 {
		// In order as soon as it has started, unless the process has only just begun.
		if status := h.node.Stop(); status != 0 && status != 128+int(syscall.SIGTERM) {
			h.t.Errorf("got exit status %d after SIGTERM during the start, want 0", status)
		}
		return
	}
	h.node.Kill()
	if !strings.Contains(h.node.Console(), "listening path=") {
		h.unfinished++
	}
}

// verify requires that every queue has its records, once and in order. It takes some or all.
func (h *hoard) verify() {
	h.t.Helper()
	for _, channel := range sortedChannels() {
		for i, storage := range storagesOf(channel) {
			want := h.queues[storage]
			if len(hoardChannels[channel]) == 0 {
				n := h.random.Intn(len(want) + 1)
				clients.WantFirst(h.t, h.node, channel, want[:n]...)
				h.queues[storage] = want[n:]
				continue
			}
			clients.WantQueue(h.t, h.node, channel, hoardChannels[channel][i], want...)
			h.queues[storage] = nil
		}
	}
	if h.t.Failed() {
		h.t.FailNow()
	}
}

// A stop that is killed at any moment, a start that is killed at any moment, several of them
// one after the other, also while records move because the rings have another size now or
// some were delivered out of order: the next start has every record once.
func TestInterruptedStopsAndStarts(t *testing.T) {
	nodetest.Slow(t)
	for worker := range 2 {
		t.Run(fmt.Sprint(worker), func(t *testing.T) {
			t.Parallel()
			h := newHoard(t)
			for inTime := nodetest.AtMost(6 * time.Second); inTime(); h.rounds++ {
				h.makeGaps()
				if h.random.Intn(2) == 0 {
					h.interruptStop()
				} else {
					h.mode.stop(t, h.node)
				}
				if h.random.Intn(2) == 0 {
					h.mode = []stopMode{dumpMode, keepMode}[h.random.Intn(2)]
					h.node.Configure(nodetest.Set("Storage.stop", h.mode.value))
				}
				if h.random.Intn(2) == 0 {
					h.node.Configure(hoardRings(0.3 + h.random.Float64())...)
				}
				for range h.random.Intn(3) {
					h.interruptStart()
				}
				h.node.Restart()
				h.verify()
				h.fill()
			}
			t.Logf("%d rounds, %d stops and starts interrupted", h.rounds, h.unfinished)
		})
	}
}
