package neo

import (
	"fmt"
	"math/rand"
	"slices"
	"syscall"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

var (
	redeliver   = nodetest.Set("Consume.redeliver", "true")
	noRedeliver = nodetest.Set("Consume.redeliver", "false")
)

// cuts are points in a Consume of a channel with the records 0 to 249 of 1000 bytes, which
// make batches of 100, 100 and 50. Each step brings a connection to its point, where it is
// cut. Then the next consumer has to begin with a record of kept, if batches that were not
// confirmed come back, or of once, if they do not.
var cuts = []struct {
	name       string
	step       func(c *clients.NeoClient)
	kept, once []int
	// What is sent last may be lost by a reset.
	reset []int
}{
	{"nothing sent", func(c *clients.NeoClient) {}, []int{0}, []int{0}, nil},
	{"inside the first message", func(c *clients.NeoClient) { c.MustWrite(cutFrame[:len(cutFrame)/2]) }, []int{0}, []int{0}, nil},
	{"before fd", func(c *clients.NeoClient) { c.MustWrite(cutFrame) }, []int{0}, []int{0, 100}, nil},
	{"before Started", func(c *clients.NeoClient) { c.MustWrite(cutFrame); c.Must(c.Supported(1)) }, []int{0}, []int{0, 100}, nil},
	{"after Started", func(c *clients.NeoClient) { c.MustConsume("cut", "") }, []int{0}, []int{0, 100}, nil},
	{"inside the header of Records", func(c *clients.NeoClient) { c.MustConsume("cut", ""); skip(c, 5) }, []int{0}, []int{100}, nil},
	{"inside a record", func(c *clients.NeoClient) { c.MustConsume("cut", ""); skip(c, 50_000) }, []int{0}, []int{100}, nil},
	{"before the last byte of Records", func(c *clients.NeoClient) { c.MustConsume("cut", ""); skip(c, 10+100817-1) }, []int{0}, []int{100}, nil},
	{"behind Records", func(c *clients.NeoClient) { c.MustConsume("cut", "").Batch() }, []int{0}, []int{100}, nil},
	{"inside Continue", func(c *clients.NeoClient) {
		k := c.MustConsume("cut", "")
		k.Batch()
		c.MustWrite(neoclient.RequestFrame(k.ID, []byte{neoclient.Continue})[:18])
	}, []int{0}, []int{100}, nil},
	{"behind Continue", func(c *clients.NeoClient) {
		k := c.MustConsume("cut", "")
		k.Batch()
		k.Send(neoclient.Continue)
	}, []int{100}, []int{100, 200}, []int{0}},
	{"behind the second Records", func(c *clients.NeoClient) {
		k := c.MustConsume("cut", "")
		k.Batch()
		k.Send(neoclient.Continue)
		k.Batch()
	}, []int{100}, []int{200}, nil},
	{"behind Stop", func(c *clients.NeoClient) {
		k := c.MustConsume("cut", "")
		k.Batch()
		k.Send(neoclient.Stop)
	}, []int{100}, []int{100}, []int{0}},
	{"behind Stopped", func(c *clients.NeoClient) {
		k := c.MustConsume("cut", "")
		k.Batch()
		k.Stop()
	}, []int{100}, []int{100}, nil},
	{"behind Stopped of the second", func(c *clients.NeoClient) {
		k := c.MustConsume("cut", "")
		k.Batch()
		k.Send(neoclient.Continue)
		k.Batch()
		k.Stop()
	}, []int{200}, []int{200}, nil},
	{"behind everything", func(c *clients.NeoClient) {
		k := c.MustConsume("cut", "")
		k.WantRecords(clients.Numbered(0, 250, 1000)...)
		c.Alive()
	}, []int{250}, []int{250}, nil},
}

var cutFrame = neoclient.RequestFrame(1, neoclient.ConsumePayload("cut", ""))

// skip reads bytes.
func skip(c *clients.NeoClient, n int) {
	c.T.Helper()
	_, err := c.ReadBytes(n)
	c.Must(err)
}

// Wherever a connection is cut, the next consumer gets, in order and once, what was not
// confirmed by Continue or Stop; without redelivery, what was not sent.
func TestNeoConnectionCutAtEveryStep(t *testing.T) {
	for _, config := range []struct {
		name   string
		option nodetest.Option
	}{{"redeliver", redeliver}, {"no redelivery", noRedeliver}} {
		for _, way := range clients.NeoLeaving {
			t.Run(config.name+", "+way.Name, func(t *testing.T) {
				t.Parallel()
				node := nodetest.Start(t, config.option, nodetest.Set("Server.channel_size_limit", "400000"))
				producer, other := clients.Legacy(t, node), clients.Neo(t, node)
				other.Alive()
				for _, cut := range cuts {
					producer.ProduceRecords("cut", 0, 250, 1000)
					gone := clients.Neo(t, node)
					cut.step(gone)
					clients.LeaveNeo(t, node, gone, way.Leave)

					want := cut.kept
					if config.name != "redeliver" {
						want = cut.once
					}
					if way.Name == "reset" {
						want = append(slices.Clone(want), cut.reset...)
					}
					k := other.MustConsume("cut", "")
					first := 250
					if !slices.Contains(want, 250) {
						batch := k.Batch()
						k.Send(neoclient.Continue)
						first, _ = clients.RecordNumber(batch[0], 1000)
						k.WantRecords(clients.Numbered(first+len(batch), 250, 1000)...)
						if !slices.Equal(batch, clients.Numbered(first, first+len(batch), 1000)) {
							t.Errorf("%s: got batch %s from record %d on, want them in order", cut.name, clients.Excerpts(batch), first)
						}
					}
					if !slices.Contains(want, first) {
						t.Errorf("%s: the next consumer begins with record %d, want one of %v", cut.name, first, want)
					}
					other.WantNothing()
					k.Stop()
				}
			})
		}
	}
}

// A batch of which the kernel has not taken everything comes back in any case, since the
// client can't have understood it.
func TestNeoCutInsideABatchThatIsNotSent(t *testing.T) {
	const size = 16 << 20
	for _, option := range []nodetest.Option{redeliver, noRedeliver} {
		for _, way := range clients.NeoLeaving[:2] { // a half-closing client goes on receiving
			t.Run(way.Name, func(t *testing.T) {
				t.Parallel()
				node := nodetest.Start(t, option, nodetest.Set("Server.channel_size_limit", "40000000"))
				other := clients.Neo(t, node)
				large := clients.Record(1, size)
				for _, value := range []string{large, "second", "third"} {
					other.MustPush(value, "large")
				}
				for _, read := range []int{1, 10, 100_000, 1 << 20} {
					gone := clients.Neo(t, node, clients.SmallWindow)
					gone.MustConsume("large", "")
					skip(gone, read)
					clients.LeaveNeo(t, node, gone, way.Leave)
				}
				k := other.MustConsume("large", "")
				k.WantRecords(large, "second", "third")
				other.WantNothing()
			})
		}
	}
}

// After a breach of the protocol a batch that is sent goes back at once. The connection stays
// for longer than the next consumer has patience, because its client does not read.
func TestNeoRedeliveryAfterABreach(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", "40000000"),
		nodetest.Set("Limits.output_buffer", "40000000")) // else the breach is not read
	other := clients.Neo(t, node)
	other.MustPush("value", "sent")
	other.MustPush(clients.Record(1, 16<<20), "unread")
	gone := clients.Neo(t, node, clients.SmallWindow)
	gone.MustConsume("sent", "").WantBatch("value")
	gone.MustConsume("unread", "")
	gone.MustWrite(fault(neoclient.Header(1, 9)))
	other.MustConsume("sent", "").WantRecords("value")
}

// Several consumers that go away at once bring everything back, and the next one gets it in
// the order of the pushes.
func TestNeoRedeliveryOfSeveralConsumers(t *testing.T) {
	for _, way := range clients.NeoLeaving {
		t.Run(way.Name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t, nodetest.Set("EventLoop.count", "2"))
			producer := clients.Neo(t, node)
			const connections, each = 5, 4
			var all []*clients.NeoClient
			for range connections {
				all = append(all, clients.Neo(t, node))
			}
			producer.Alive()
			number := 0
			for range each {
				for _, c := range all {
					k := c.MustConsume("several", "")
					for range 3 { // the last two wait for it
						producer.MustPush(clients.Record(number, 100), "several")
						number++
					}
					k.Batch()
				}
			}
			open := node.Sockets()
			for _, c := range all {
				way.Leave(c)
			}
			nodetest.Eventually(t, "the node closes all connections that left", func() bool { return node.Sockets() <= open-connections })
			next := clients.Neo(t, node).MustConsume("several", "")
			next.WantRecords(clients.Numbered(0, number, 100)...)
			next.Client.WantNothing()
		})
	}
}

// Records that come back go to a consumer that already waits, too, and to one of the other
// protocol.
func TestNeoRedeliveryToWaitingConsumers(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("EventLoop.count", "2"))
	producer := clients.Neo(t, node)
	batchInFlight := func() *clients.NeoClient {
		gone := clients.Neo(t, node)
		k := gone.MustConsume("waiting", "")
		producer.MustPush("value", "waiting")
		k.WantBatch("value")
		return gone
	}
	for range 20 {
		gone := batchInFlight()
		waiting := clients.Neo(t, node)
		k := waiting.MustConsume("waiting", "")
		waiting.WantNothing()
		gone.Close()
		k.WantRecords("value")
		k.Stop()

		gone = batchInFlight()
		legacy := clients.Legacy(t, node)
		legacy.MustConsume("waiting")
		gone.Close()
		legacy.WantArray("value")
		clients.LeaveLegacy(t, node, legacy, func(c *clients.LegacyClient) { c.Must(c.Close()) })
	}
}

// One consumer at a time, which goes on, stops, or is killed at random: what it gets is
// always what the specification says.
func TestNeoRedeliveryAgainstModel(t *testing.T) {
	for _, ring := range []string{"20000", "2000000"} {
		t.Run("channel_size_limit="+ring, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t, nodetest.Set("EventLoop.count", "1"), nodetest.Set("Server.channel_size_limit", ring))
			m := &redeliveryModel{t: t, node: node, random: nodetest.Random(t), producer: clients.Neo(t, node)}
			m.producer.Alive()
			m.attach()
			for range 600 {
				m.step()
			}
			for len(m.queue) > 0 || len(m.batch) > 0 {
				m.k.Send(neoclient.Continue)
				m.batch = nil
				m.expect()
			}
			m.k.Client.WantNothing()
		})
	}
}

type redeliveryModel struct {
	t        *testing.T
	node     *nodetest.Node
	random   *rand.Rand
	producer *clients.NeoClient
	k        *clients.NeoConsumer
	queue    []string // what no consumer has
	batch    []string // in flight
	pushes   int
}

func (m *redeliveryModel) attach() {
	m.k = clients.Neo(m.t, m.node).MustConsume("model", "")
	m.expect()
}

// expect requires a batch if one has to come.
func (m *redeliveryModel) expect() {
	m.t.Helper()
	if len(m.batch) > 0 || len(m.queue) == 0 {
		return
	}
	size, n := 0, 0
	for ; n < len(m.queue) && size < 100_000; n++ {
		size += 8 + len(m.queue[n])
	}
	m.batch, m.queue = m.queue[:n:n], m.queue[n:]
	m.k.WantBatch(m.batch...)
}

func (m *redeliveryModel) step() {
	m.t.Helper()
	switch m.random.Intn(12) {
	case 0, 1:
		if len(m.batch) > 0 {
			m.k.Send(neoclient.Continue)
			m.batch = nil
		}
		m.expect()
	case 2:
		m.k.Stop()
		clients.LeaveNeo(m.t, m.node, m.k.Client, clients.ByClose)
		m.batch = nil
		m.attach()
	case 3:
		clients.LeaveNeo(m.t, m.node, m.k.Client, clients.NeoLeaving[m.random.Intn(len(clients.NeoLeaving))].Leave)
		m.queue, m.batch = append(m.batch, m.queue...), nil
		m.attach()
	default:
		for range 1 + m.random.Intn(3) {
			value := sized(m.pushes, m.random.Intn(30_000))
			m.pushes++
			m.producer.MustPush(value, "model")
			m.queue = append(m.queue, value)
			m.expect()
		}
	}
}

// Confirmed records are gone for good, whatever happens to the connection afterwards.
func TestNeoConfirmedBatchesDoNotComeBack(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	other := clients.Neo(t, node)
	for i, end := range []func(k *clients.NeoConsumer){
		func(k *clients.NeoConsumer) { k.Send(neoclient.Continue); k.Client.Alive() },
		func(k *clients.NeoConsumer) { k.Stop() },
		func(k *clients.NeoConsumer) { k.Send(neoclient.Continue); k.Stop() },
		func(k *clients.NeoConsumer) { k.Stop(); k.Send(neoclient.Continue); k.Client.Alive() },
		func(k *clients.NeoConsumer) {
			k.Send(neoclient.Continue)
			k.Client.MustWrite(fault(neoclient.Header(1, 9)))
			k.Client.WantClose()
		},
	} {
		channel := fmt.Sprintf("confirmed%d", i)
		other.MustPush("value", channel)
		c := clients.Neo(t, node)
		k := c.MustConsume(channel, "")
		k.WantBatch("value")
		end(k)
		clients.LeaveNeo(t, node, c, clients.ByReset)
		k = other.MustConsume(channel, "")
		other.MustPush("next", channel)
		k.WantRecords("next")
		other.WantNothing()
	}
}

// A node that hangs answers a Continue and a Stop when their client has long given up: the
// batch that it then sends nobody gets, so it is not delivered.
func TestNeoBatchThatCrossesStopComesBack(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	other := clients.Neo(t, node)
	gone := clients.Neo(t, node)
	k := gone.MustConsume("crossed", "")
	other.MustPush("first", "crossed")
	k.WantBatch("first")
	other.MustPush("second", "crossed")
	node.Hang()
	k.Send(neoclient.Continue)
	k.Send(neoclient.Stop)
	gone.Must(gone.Close())
	node.Signal(syscall.SIGCONT)
	k = other.MustConsume("crossed", "")
	k.WantRecords("second")
	other.WantNothing()
}
