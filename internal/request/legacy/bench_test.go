package legacy

import (
	"testing"

	"golang.org/x/sys/unix"

	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
)

// direct is a session that the benchmark calls itself, on its loop, with the other end of
// its socket at hand.
type direct struct {
	node    *node
	session *Session
	near    int // belongs to the node
	far     int
	trash   []byte
}

// direct opens a connection; it is to be called on the first loop.
func (n *node) direct() *direct {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		err = n.pools[0].Open(pair[0])
	}
	if err != nil {
		n.t.Error(err)
		return nil
	}
	n.t.Cleanup(func() { unix.Close(pair[1]) })
	return &direct{node: n, session: n.last, near: pair[0], far: pair[1], trash: make([]byte, 1<<20)}
}

// receive hands the session what one read would have brought.
func (d *direct) receive(in []byte) {
	for len(in) > 0 {
		d.session.conn.StartTurn()
		used := d.session.Receive(in)
		if used == 0 {
			d.node.t.Errorf("%d bytes are not used", len(in))
			return
		}
		in = in[used:]
	}
}

// drain sends and receives that many bytes.
func (d *direct) drain(count int) {
	for got := 0; got < count; {
		d.session.conn.Continue()
		n, err := unix.Read(d.far, d.trash)
		if err != nil {
			d.node.t.Errorf("after %d of %d bytes: %v", got, count, err)
			return
		}
		got += n
	}
}

const (
	perRound   = 1000 // requests or records
	recordSize = 100
)

// rounds are what the benchmarks measure; each makes a function that executes perRound
// requests or records.
var rounds = []struct {
	name  string
	bytes int64 // of one request or record
	make  func(n *node) func()
}{
	{"Push and Pop, pipelined", recordSize, func(n *node) func() {
		d := n.direct()
		in := append(repeat(push("c", record(0, recordSize))), pops("c", perRound)...)
		return func() {
			d.receive(in)
			d.drain(perRound * (2*wire.CodeSize + wire.LengthSize + recordSize))
		}
	}},
	{"PushMulti and Pop, pipelined", 2 * recordSize, func(n *node) func() {
		d := n.direct()
		multi := wire.AppendArray(wire.AppendArray(wire.AppendCommand(nil, wire.PushMulti), "c"), "d")
		in := repeat(wire.AppendArray(append(multi, wire.EndMark...), record(0, recordSize)))
		in = append(append(in, pops("c", perRound)...), pops("d", perRound)...)
		return func() {
			d.receive(in)
			d.drain(perRound * (3*wire.CodeSize + 2*(wire.LengthSize+recordSize)))
		}
	}},
	{"Push and Pop of large records, one at a time", 5000, func(n *node) func() {
		d := n.direct()
		in := append(push("c", record(0, 5000)), pops("c", 1)...)
		return func() {
			for range perRound {
				d.receive(in)
				d.drain(2*wire.CodeSize + wire.LengthSize + 5000)
			}
		}
	}},
	{"Produce and Consume", recordSize, func(n *node) func() {
		producer, consumer := n.direct(), n.direct()
		consumer.receive(unhex(n.t, "06000000 'c'"))
		consumer.session.conn.Continue()
		producer.receive(unhex(n.t, "0a000000 'c'"))
		producer.drain(wire.CodeSize)
		consumer.drain(wire.CodeSize)
		in := repeat(wire.AppendArray(nil, record(0, recordSize)))
		return func() {
			producer.receive(in)
			consumer.session.Run()
			consumer.drain(len(in))
		}
	}},
	{"ProduceMulti with a repeated channel", recordSize, func(n *node) func() {
		d := n.direct()
		d.receive(unhex(n.t, "06000000 'c'"))
		producer := n.direct()
		producer.receive(unhex(n.t, "0b000000 'c' 'c' ''"))
		producer.drain(wire.CodeSize)
		d.drain(wire.CodeSize)
		in := repeat(wire.AppendArray(nil, record(0, recordSize)))
		return func() {
			producer.receive(in)
			d.session.Run()
			d.drain(2 * len(in))
		}
	}},
	{"refused requests", wire.CodeSize, func(n *node) func() {
		d := n.direct()
		in := repeat(unhex(n.t, "08000000 01000000 'c' '' 02000000 'unknown' 0c000000 'unknown' 06000000 'b.d'"))
		return func() {
			d.receive(in)
			d.drain(5 * perRound * wire.CodeSize)
		}
	}},
}

func repeat(one []byte) (b []byte) {
	for range perRound {
		b = append(b, one...)
	}
	return b
}

// A request or record allocates nothing.
func TestRequestsAllocateNothing(t *testing.T) {
	for _, test := range rounds {
		t.Run(test.name, func(t *testing.T) {
			n := start(t, 1)
			n.do(0, func() {
				round := test.make(n)
				for range 10 {
					round()
				}
				got := testing.AllocsPerRun(10, round)
				for again := 0; got > 1 && again < 10; again++ { // what else goes on in the process allocates, too, but not each time
					got = min(got, testing.AllocsPerRun(10, round))
				}
				if got > 1 { // a mailbox may grow
					t.Errorf("%v allocations for %d requests or records, want none", got, perRound)
				}
			})
		})
	}
}

func BenchmarkRequests(b *testing.B) {
	for _, test := range rounds {
		b.Run(test.name, func(b *testing.B) {
			n := start(b, 1)
			n.do(0, func() {
				round := test.make(n)
				round()
				b.SetBytes(test.bytes)
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; i < b.N; i += perRound {
					round()
				}
			})
		})
	}
}
