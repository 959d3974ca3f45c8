package legacy

import (
	"fmt"
	"io"
	"testing"

	"golang.org/x/sys/unix"

	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
)

func (c *client) readFull(b []byte) {
	c.node.t.Helper()
	if n, err := io.ReadFull(c, b); err != nil {
		c.node.t.Fatalf("%d of %d bytes: %v", n, len(b), err)
	}
}

// fill pushes records to a channel.
func (n *node) fill(channel string, count, size int) {
	n.t.Helper()
	c := n.connect()
	b := wire.AppendArray(wire.AppendCommand(nil, wire.Produce), channel)
	for i := range count {
		b = wire.AppendArray(b, record(i, size))
	}
	c.write(append(b, wire.EndMark...))
	c.ask("08000000", "c8000000 96010000")
	c.Close()
}

// stuck waits until the socket of a client that does not read is full.
func (c *client) stuck() {
	c.node.t.Helper()
	previous := ^uint64(0)
	c.node.until(c.loop, "a full socket", func() bool {
		sent, unsent := c.conn.Progress()
		stuck := unsent > 0 && sent == previous
		previous = sent
		return stuck
	})
}

// sent returns how many bytes were handed to the kernel for a client that is alone on its
// loop since it has connected.
func (c *client) sent() int {
	_, now := c.node.pools[c.loop].Traffic()
	return int(now - c.before)
}

// Records of pops whose replies were not sent completely go back, in order, when the
// connection breaks; so nothing is lost and nothing comes twice but what a client may
// have got.
func TestUnsentPopsGoBack(t *testing.T) {
	for _, test := range []struct{ count, size int }{{300, 10_000}, {20_000, 100}, {30, 300_000}, {300, 4000}} {
		t.Run(fmt.Sprintf("%d of %d bytes", test.count, test.size), func(t *testing.T) {
			n := start(t, 1)
			n.fill("c", test.count, test.size)
			cut := n.connectTo(0, true)
			go cut.Write(pops("c", test.count))
			cut.stuck()
			n.do(0, func() {
				if _, unsent := cut.conn.Progress(); unsent > 1<<20+wire.LengthSize+test.size {
					t.Errorf("%d bytes wait to be sent, want at most one reply more than 1 MiB", unsent)
				}
			})
			cut.reset()
			first := cut.sent() / (wire.CodeSize + wire.LengthSize + test.size)
			if first == test.count {
				t.Fatal("everything was sent")
			}

			c := n.connect()
			c.write(pops("c", test.count-first+1))
			for i := first; i < test.count; i++ {
				c.read(append(unhex(t, "c8000000"), wire.AppendArray(nil, record(i, test.size))...))
			}
			c.expect("c8000000 ''")
		})
	}
}

// The same for the records of a Consume.
func TestUnsentConsumeGoesBack(t *testing.T) {
	for _, test := range []struct{ count, size int }{{300, 10_000}, {30_000, 100}, {30, 300_000}} {
		for _, way := range []string{"reset", "half-close", "node drops it"} {
			t.Run(fmt.Sprintf("%d of %d bytes, %s", test.count, test.size, way), func(t *testing.T) {
				n := start(t, 1)
				n.fill("c", test.count, test.size)
				cut := n.connectTo(0, true)
				cut.ask("06000000 'c'", "c8000000")
				for i := range test.count / 2 {
					cut.read(wire.AppendArray(nil, record(i, test.size)))
				}
				cut.stuck()
				switch way {
				case "reset":
					cut.reset()
				case "half-close":
					cut.CloseWrite()
					n.until(0, "the end of the Consume", func() bool { return cut.session.state == requests })
				case "node drops it":
					n.do(0, n.pools[0].Drop)
				}
				first := (cut.sent() - wire.CodeSize) / (wire.LengthSize + test.size)
				c := n.connect()
				c.ask("06000000 'c'", "c8000000")
				for i := first; i < test.count; i++ {
					c.read(wire.AppendArray(nil, record(i, test.size)))
				}
				n.connect().ask("01000000 'c' 'last'", "c8000000")
				c.expect("'last'")
			})
		}
	}
}

// A consumer whose socket takes everything is served to the end, though others get their
// turn in between.
func TestConsumeOfALargeBacklog(t *testing.T) {
	n := start(t, 1)
	const count, size = 500, 10_000
	n.fill("c", count, size)
	var d *direct
	var forced error
	n.do(0, func() {
		d = n.direct()
		forced = unix.SetsockoptInt(d.near, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 16<<20)
		if _, err := unix.Write(d.far, unhex(t, "06000000 'c'")); err != nil {
			t.Error(err)
		}
	})
	if forced != nil {
		t.Skipf("no large socket buffer: %v", forced)
	}
	n.until(0, "all records to be sent", func() bool {
		sent, unsent := d.session.conn.Progress()
		return unsent == 0 && sent == wire.CodeSize+count*(wire.LengthSize+size)
	})
}

// A consumer that waits gets at once what another one could not send.
func TestUnsentConsumeGoesToAConsumerThatWaits(t *testing.T) {
	n := start(t, 2)
	const count, size = 300, 10_000
	n.fill("c", count, size)
	cut := n.connectTo(0, true)
	cut.send("06000000 'c'")
	cut.stuck()
	other := n.connectTo(1, false)
	other.ask("06000000 'c'", "c8000000")
	// It takes what is in the storage, all but the records on their way to the first one.
	n.until(1, "an idle consumer", func() bool { _, unsent := other.conn.Progress(); return unsent == 0 })
	cut.reset()
	seen := make(map[string]bool)
	first := (cut.sent() - wire.CodeSize) / (wire.LengthSize + size)
	for len(seen) < count-first {
		r := string(other.array()[:6])
		if seen[r] {
			t.Fatalf("record %s came twice", r)
		}
		seen[r] = true
	}
	for i := first; i < count; i++ {
		if !seen[string(record(i, size)[:6])] {
			t.Errorf("record %d is lost", i)
		}
	}
}

// A half-close during a Consume is taken for the end of it; the requests behind it, which
// came before, are executed (legacy protocol spec §7.5).
func TestEndOfInputDuringConsume(t *testing.T) {
	for _, test := range []struct{ rule, behind, replies, pop, want string }{
		{"nothing", "", "", "02000000 'd'", "f4010000"},
		{"a Push", "01000000 'd' 'x'", "c8000000", "02000000 'd'", "c8000000 'x'"},
		{"a Produce", "0a000000 'd' 'x' 'y' ''", "c8000000", "02000000 'd' 02000000 'd'", "c8000000 'x' c8000000 'y'"},
		{"a Produce without its end", "0a000000 'd' 'x'", "c8000000", "02000000 'd'", "c8000000 'x'"},
		{"a Consume of the same channel", "06000000 'c' 01000000 'd' 'x'", "c8000000 c8000000", "02000000 'd'", "c8000000 'x'"},
		{"many Consumes", "06000000 'c' 06000000 'e' 06000000 'c' 01000000 'd' 'x'", "c8000000 c8000000 c8000000 c8000000", "02000000 'd'", "c8000000 'x'"},
		{"an incomplete Push", "01000000 'd' 0200000000000000 78", "", "02000000 'd'", "f4010000"},
		{"an invalid command", "01000000 'd' 'x' 00000000", "c8000000", "02000000 'd'", "c8000000 'x'"},
	} {
		t.Run(test.rule, func(t *testing.T) {
			n := start(t, 1)
			c := n.connect()
			c.ask("06000000 'c'", "c8000000")
			c.send(test.behind)
			c.CloseWrite()
			c.expect(test.replies)
			c.expectEnd()
			other := n.connect()
			other.ask(test.pop, test.want)
			other.ask("01000000 'c' 'kept'", "c8000000") // nobody is there to take it
			other.ask("06000000 'c'", "c8000000 'kept'")
		})
	}
}

// If the end of the input cuts the stream, nothing follows on the connection: the client
// would take it for a part of the record that was cut. What is popped there, or was popped
// and not sent, goes back.
func TestEndOfInputCutsTheStream(t *testing.T) {
	n := start(t, 1)
	n.fill("c", 300, 10_000)
	n.fill("d", 10, 10)
	cut := n.connectTo(0, true)
	cut.send("06000000 'c'")
	cut.stuck()
	cut.send("02000000 'd' 01000000 'e' 'x' 02000000 'd'")
	cut.CloseWrite()
	got, err := io.ReadAll(cut)
	if sent := cut.sent(); len(got) != sent || err != nil {
		t.Errorf("received %d bytes, %v, want the %d that were sent, and the end", len(got), err, sent)
	}
	c := n.connect()
	c.ask("02000000 'e'", "c8000000 'x'")
	for i := range 10 {
		c.write(pops("d", 1))
		c.read(append(unhex(t, "c8000000"), wire.AppendArray(nil, record(i, 10))...))
	}
}

// So does what was popped before the Consume and not sent.
func TestEndOfInputCutsReplies(t *testing.T) {
	n := start(t, 1)
	const count, size = 60, 10_000
	n.fill("c", count, size)
	cut := n.connectTo(0, true)
	cut.write(append(pops("c", count), unhex(t, "06000000 'd' 02000000 'e' 01000000 'f' 'x'")...))
	cut.CloseWrite()
	n.until(0, "the end of the connection", cut.conn.Closing)
	got, err := io.ReadAll(cut)
	if sent := cut.sent(); len(got) != sent || err != nil {
		t.Errorf("received %d bytes, %v, want the %d that were sent, and the end", len(got), err, sent)
	}
	first := len(got) / (wire.CodeSize + wire.LengthSize + size)
	if first == count {
		t.Fatal("everything was sent")
	}
	c := n.connect()
	c.ask("02000000 'f'", "c8000000 'x'")
	c.write(pops("c", count-first+1))
	for i := first; i < count; i++ {
		c.read(append(unhex(t, "c8000000"), wire.AppendArray(nil, record(i, size))...))
	}
	c.expect("c8000000 ''")
}
