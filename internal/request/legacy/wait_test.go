package legacy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/storagetest"
)

const large = 1 << 20 // of a record that takes a spill file of its own

// backlog makes a channel of three large records, each in a file of its own, of which the one in
// the middle is not mapped, and slow to open until release is called.
func (n *node) backlog() (release func()) {
	n.t.Helper()
	c := n.connect()
	for i := 1; i <= 3; i++ {
		c.ask(fmt.Sprintf("01000000 'spilled' 0000100000000000 %02x*1048576", i), "c8000000")
	}
	release = storagetest.SlowFile(n.t, n.dir)
	c.pop(1)
	return release
}

// pop takes the large record i from the channel.
func (c *client) pop(i int) {
	c.node.t.Helper()
	c.ask("02000000 'spilled'", largeRecord(i))
}

func largeRecord(i int) string {
	return fmt.Sprintf("c8000000 0000100000000000 %02x*1048576", i)
}

// blocked sends a request and waits until it waits.
func (c *client) blocked(request string) {
	c.node.t.Helper()
	c.send(request)
	c.node.until(c.loop, "the request to wait", c.session.batch.Waiting)
}

// others lets another connection of the same loop do a number of requests.
func (n *node) others() {
	n.t.Helper()
	c := n.connect()
	for i := range 200 {
		value := fmt.Sprintf("01000000 'others' '%d'", i)
		c.ask(value, "c8000000")
		c.ask("02000000 'others'", strings.Replace(value, "01000000 'others'", "c8000000", 1))
	}
}

// A request that needs a file which is slow waits, and what the client has sent behind it too. Its
// replies come in order. Others go on.
func TestARequestWaitsForAFile(t *testing.T) {
	n := start(t, 1)
	release := n.backlog()
	c := n.connect()
	c.blocked("01000000 'c' 'v'  02000000 'spilled'  02000000 'c'  02000000 'spilled'")
	c.expect("c8000000") // what comes before is not held up
	n.others()
	release()
	c.expect(largeRecord(2) + " c8000000 'v' " + largeRecord(3))
	c.Close()
	n.until(0, "the connection to be gone", c.conn.Closing)
	sources := stats.Sources{Legacy: &n.stats, Neo: new(stats.Neo)}
	for _, r := range sources.ReadRequests() {
		if want := uint64(1 + 3 + 200); r.Name == "Pop" && r.Handled != want {
			t.Errorf("%d Pops are counted, want each once: %d", r.Handled, want)
		}
	}
}

// A Consume waits for the file without being asked again, and gets all records in order.
func TestAConsumeWaitsForAFile(t *testing.T) {
	n := start(t, 1)
	release := n.backlog()
	c := n.connect()
	c.ask("06000000 'spilled'", "c8000000")
	n.others()
	release()
	c.expect("0000100000000000 02*1048576 0000100000000000 03*1048576")
}

// A client that has sent everything, and closed its side, still gets the reply.
func TestTheEndOfTheInputWhileARequestWaits(t *testing.T) {
	n := start(t, 1)
	release := n.backlog()
	c := n.connect()
	c.blocked("02000000 'spilled'")
	c.CloseWrite()
	n.others()
	release()
	c.expect(largeRecord(2))
	c.expectEnd()
}

// What a client does not get, because it has broken the connection meanwhile, others get; and the
// loop does not ask for ever what has become of the connection.
func TestAConnectionBreaksWhileARequestWaits(t *testing.T) {
	n := start(t, 1)
	release := n.backlog()
	c := n.connect()
	c.blocked("02000000 'spilled'")
	c.SetLinger(0)
	c.Close()
	n.others()
	if n.closing(c) {
		t.Error("the request was given up")
	}
	release()
	n.until(0, "the connection to be gone", c.conn.Closing)
	other := n.connect()
	other.pop(2)
	other.pop(3)
}

func (n *node) closing(c *client) (closing bool) {
	n.do(c.loop, func() { closing = c.conn.Closing() })
	return closing
}

// A connection that waits can be ended, as a stop of the node does it.
func TestAConnectionIsEndedWhileARequestWaits(t *testing.T) {
	n := start(t, 1)
	release := n.backlog()
	c := n.connect()
	c.blocked("02000000 'spilled'")
	n.do(0, func() {
		c.conn.Close()
		c.conn.Continue()
	})
	c.expectEnd()
	c.Close()
	n.until(0, "the connection to be gone", c.conn.Closing)
	release()
	n.others()
	n.connect().pop(2)
}

// All channels of a PushMulti have the record, or none, also while it waits.
func TestAPushMultiWaitsForAFile(t *testing.T) {
	options := storagetest.Options(t, 0)
	before, err := storage.Load(options)
	if err != nil {
		t.Fatal(err)
	}
	if err := before.Serve(); err != nil {
		t.Fatal(err)
	}
	c, err := before.Open([]byte(spilled))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Push(make([]byte, large)); err != nil {
		t.Fatal(err)
	}
	c.Commit()
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}

	n := startWith(t, 1, storagetest.Start(t, options))
	release := storagetest.SlowFile(t, options.Dir)
	multi := n.connect()
	multi.blocked("09000000 'a' 'spilled' 'b' '' 'v'")
	other := n.connect()
	for _, name := range []string{"a", "b"} {
		other.ask("02000000 '"+name+"'", "c8000000 0000000000000000")
	}
	release()
	multi.expect("c8000000")
	for _, name := range []string{"a", "b"} {
		other.ask("02000000 '"+name+"'", "c8000000 'v'")
	}
}
