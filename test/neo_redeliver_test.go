package test

import (
	"fmt"
	"math/rand"
	"slices"
	"syscall"
	"testing"

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
	step       func(c *neo)
	kept, once []int
	// What is sent last may be lost by a reset.
	reset []int
}{
	{"nothing sent", func(c *neo) {}, []int{0}, []int{0}, nil},
	{"inside the first message", func(c *neo) { c.write(cutFrame[:len(cutFrame)/2]) }, []int{0}, []int{0}, nil},
	{"before fd", func(c *neo) { c.write(cutFrame) }, []int{0}, []int{0, 100}, nil},
	{"before Started", func(c *neo) { c.write(cutFrame); c.must(c.Supported(1)) }, []int{0}, []int{0, 100}, nil},
	{"after Started", func(c *neo) { c.consume("cut", "") }, []int{0}, []int{0, 100}, nil},
	{"inside the header of Records", func(c *neo) { c.consume("cut", ""); c.skip(5) }, []int{0}, []int{100}, nil},
	{"inside a record", func(c *neo) { c.consume("cut", ""); c.skip(50_000) }, []int{0}, []int{100}, nil},
	{"before the last byte of Records", func(c *neo) { c.consume("cut", ""); c.skip(10 + 100817 - 1) }, []int{0}, []int{100}, nil},
	{"behind Records", func(c *neo) { c.consume("cut", "").batch() }, []int{0}, []int{100}, nil},
	{"inside Continue", func(c *neo) {
		k := c.consume("cut", "")
		k.batch()
		c.write(neoclient.RequestFrame(k.ID, []byte{neoclient.Continue})[:18])
	}, []int{0}, []int{100}, nil},
	{"behind Continue", func(c *neo) {
		k := c.consume("cut", "")
		k.batch()
		k.send(neoclient.Continue)
	}, []int{100}, []int{100, 200}, []int{0}},
	{"behind the second Records", func(c *neo) {
		k := c.consume("cut", "")
		k.batch()
		k.send(neoclient.Continue)
		k.batch()
	}, []int{100}, []int{200}, nil},
	{"behind Stop", func(c *neo) {
		k := c.consume("cut", "")
		k.batch()
		k.send(neoclient.Stop)
	}, []int{100}, []int{100}, []int{0}},
	{"behind Stopped", func(c *neo) {
		k := c.consume("cut", "")
		k.batch()
		k.stop()
	}, []int{100}, []int{100}, nil},
	{"behind Stopped of the second", func(c *neo) {
		k := c.consume("cut", "")
		k.batch()
		k.send(neoclient.Continue)
		k.batch()
		k.stop()
	}, []int{200}, []int{200}, nil},
	{"behind everything", func(c *neo) {
		k := c.consume("cut", "")
		k.wantRecords(numbered(0, 250, 1000)...)
		c.alive()
	}, []int{250}, []int{250}, nil},
}

var cutFrame = neoclient.RequestFrame(1, neoclient.ConsumePayload("cut", ""))

// skip reads bytes.
func (c *neo) skip(n int) {
	c.t.Helper()
	_, err := c.ReadBytes(n)
	c.must(err)
}

// Wherever a connection is cut, the next consumer gets, in order and once, what was not
// confirmed by Continue or Stop; without redelivery, what was not sent.
func TestNeoConnectionCutAtEveryStep(t *testing.T) {
	for _, config := range []struct {
		name   string
		option nodetest.Option
	}{{"redeliver", redeliver}, {"no redelivery", noRedeliver}} {
		for _, way := range neoLeaving {
			t.Run(config.name+", "+way.name, func(t *testing.T) {
				t.Parallel()
				node := nodetest.Start(t, config.option, nodetest.Set("Server.channel_size_limit", "400000"))
				producer, other := dial(t, node), connect(t, node)
				other.alive()
				for _, cut := range cuts {
					producer.produceRecords("cut", 0, 250, 1000)
					gone := connect(t, node)
					cut.step(gone)
					leaveNeo(t, node, gone, way.leave)

					want := cut.kept
					if config.name != "redeliver" {
						want = cut.once
					}
					if way.name == "reset" {
						want = append(slices.Clone(want), cut.reset...)
					}
					k := other.consume("cut", "")
					first := 250
					if !slices.Contains(want, 250) {
						batch := k.batch()
						k.send(neoclient.Continue)
						first, _ = recordNumber(batch[0], 1000)
						k.wantRecords(numbered(first+len(batch), 250, 1000)...)
						if !slices.Equal(batch, numbered(first, first+len(batch), 1000)) {
							t.Errorf("%s: got batch %s from record %d on, want them in order", cut.name, excerpts(batch), first)
						}
					}
					if !slices.Contains(want, first) {
						t.Errorf("%s: the next consumer begins with record %d, want one of %v", cut.name, first, want)
					}
					other.wantNothing()
					k.stop()
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
		for _, way := range neoLeaving[:2] { // a half-closing client goes on receiving
			t.Run(way.name, func(t *testing.T) {
				t.Parallel()
				node := nodetest.Start(t, option, nodetest.Set("Server.channel_size_limit", "40000000"))
				other := connect(t, node)
				large := record(1, size)
				for _, value := range []string{large, "second", "third"} {
					other.push(value, "large")
				}
				for _, read := range []int{1, 10, 100_000, 1 << 20} {
					gone := connect(t, node, smallWindow)
					gone.consume("large", "")
					gone.skip(read)
					leaveNeo(t, node, gone, way.leave)
				}
				k := other.consume("large", "")
				k.wantRecords(large, "second", "third")
				other.wantNothing()
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
	other := connect(t, node)
	other.push("value", "sent")
	other.push(record(1, 16<<20), "unread")
	gone := connect(t, node, smallWindow)
	gone.consume("sent", "").wantBatch("value")
	gone.consume("unread", "")
	gone.write(fault(neoclient.Header(1, 9)))
	other.consume("sent", "").wantRecords("value")
}

// Several consumers that go away at once bring everything back, and the next one gets it in
// the order of the pushes.
func TestNeoRedeliveryOfSeveralConsumers(t *testing.T) {
	for _, way := range neoLeaving {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t, nodetest.Set("EventLoop.count", "2"))
			producer := connect(t, node)
			const connections, each = 5, 4
			var all []*neo
			for range connections {
				all = append(all, connect(t, node))
			}
			producer.alive()
			number := 0
			for range each {
				for _, c := range all {
					k := c.consume("several", "")
					for range 3 { // the last two wait for it
						producer.push(record(number, 100), "several")
						number++
					}
					k.batch()
				}
			}
			open := node.Sockets()
			for _, c := range all {
				way.leave(c)
			}
			eventually(t, "the node closes all connections that left", func() bool { return node.Sockets() <= open-connections })
			next := connect(t, node).consume("several", "")
			next.wantRecords(numbered(0, number, 100)...)
			next.c.wantNothing()
		})
	}
}

// Records that come back go to a consumer that already waits, too, and to one of the other
// protocol.
func TestNeoRedeliveryToWaitingConsumers(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("EventLoop.count", "2"))
	producer := connect(t, node)
	batchInFlight := func() *neo {
		gone := connect(t, node)
		k := gone.consume("waiting", "")
		producer.push("value", "waiting")
		k.wantBatch("value")
		return gone
	}
	for range 20 {
		gone := batchInFlight()
		waiting := connect(t, node)
		k := waiting.consume("waiting", "")
		waiting.wantNothing()
		gone.Close()
		k.wantRecords("value")
		k.stop()

		gone = batchInFlight()
		legacy := dial(t, node)
		legacy.consume("waiting")
		gone.Close()
		legacy.wantArray("value")
		leaveAndWait(t, node, legacy, func(c *client) { c.must(c.Close()) })
	}
}

// One consumer at a time, which goes on, stops, or is killed at random: what it gets is
// always what the specification says.
func TestNeoRedeliveryAgainstModel(t *testing.T) {
	for _, ring := range []string{"20000", "2000000"} {
		t.Run("channel_size_limit="+ring, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t, nodetest.Set("EventLoop.count", "1"), nodetest.Set("Server.channel_size_limit", ring))
			m := &redeliveryModel{t: t, node: node, random: newRand(t), producer: connect(t, node)}
			m.producer.alive()
			m.attach()
			for range 600 {
				m.step()
			}
			for len(m.queue) > 0 || len(m.batch) > 0 {
				m.k.send(neoclient.Continue)
				m.batch = nil
				m.expect()
			}
			m.k.c.wantNothing()
		})
	}
}

type redeliveryModel struct {
	t        *testing.T
	node     *nodetest.Node
	random   *rand.Rand
	producer *neo
	k        *neoConsumer
	queue    []string // what no consumer has
	batch    []string // in flight
	pushes   int
}

func (m *redeliveryModel) attach() {
	m.k = connect(m.t, m.node).consume("model", "")
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
	m.k.wantBatch(m.batch...)
}

func (m *redeliveryModel) step() {
	m.t.Helper()
	switch m.random.Intn(12) {
	case 0, 1:
		if len(m.batch) > 0 {
			m.k.send(neoclient.Continue)
			m.batch = nil
		}
		m.expect()
	case 2:
		m.k.stop()
		leaveNeo(m.t, m.node, m.k.c, byClose)
		m.batch = nil
		m.attach()
	case 3:
		leaveNeo(m.t, m.node, m.k.c, neoLeaving[m.random.Intn(len(neoLeaving))].leave)
		m.queue, m.batch = append(m.batch, m.queue...), nil
		m.attach()
	default:
		for range 1 + m.random.Intn(3) {
			value := sized(m.pushes, m.random.Intn(30_000))
			m.pushes++
			m.producer.push(value, "model")
			m.queue = append(m.queue, value)
			m.expect()
		}
	}
}

// Confirmed records are gone for good, whatever happens to the connection afterwards.
func TestNeoConfirmedBatchesDoNotComeBack(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	other := connect(t, node)
	for i, end := range []func(k *neoConsumer){
		func(k *neoConsumer) { k.send(neoclient.Continue); k.c.alive() },
		func(k *neoConsumer) { k.stop() },
		func(k *neoConsumer) { k.send(neoclient.Continue); k.stop() },
		func(k *neoConsumer) { k.stop(); k.send(neoclient.Continue); k.c.alive() },
		func(k *neoConsumer) {
			k.send(neoclient.Continue)
			k.c.write(fault(neoclient.Header(1, 9)))
			k.c.wantClose()
		},
	} {
		channel := fmt.Sprintf("confirmed%d", i)
		other.push("value", channel)
		c := connect(t, node)
		k := c.consume(channel, "")
		k.wantBatch("value")
		end(k)
		leaveNeo(t, node, c, byReset)
		k = other.consume(channel, "")
		other.push("next", channel)
		k.wantRecords("next")
		other.wantNothing()
	}
}

// A node that hangs answers a Continue and a Stop when their client has long given up: the
// batch that it then sends nobody gets, so it is not delivered.
func TestNeoBatchThatCrossesStopComesBack(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	other := connect(t, node)
	gone := connect(t, node)
	k := gone.consume("crossed", "")
	other.push("first", "crossed")
	k.wantBatch("first")
	other.push("second", "crossed")
	node.Hang()
	k.send(neoclient.Continue)
	k.send(neoclient.Stop)
	gone.must(gone.Close())
	node.Signal(syscall.SIGCONT)
	k = other.consume("crossed", "")
	k.wantRecords("second")
	other.wantNothing()
}
