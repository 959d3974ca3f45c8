package test

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// silence is how long a test looks for bytes that must not come.
const silence = 250 * time.Millisecond

// client is a connection for use by the test goroutine: what goes wrong ends the test.
type client struct {
	*legacyclient.Conn
	t *testing.T
}

// dial connects to the legacy port until the end of the test.
func dial(t *testing.T, node *nodetest.Node, options ...legacyclient.Option) *client {
	t.Helper()
	conn, err := legacyclient.Dial(node.Legacy(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{Conn: conn, t: t}
}

func (c *client) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) send(b []byte) {
	c.t.Helper()
	c.must(c.Send(b))
}

func (c *client) wantStatus(want legacyclient.Status) {
	c.t.Helper()
	got, err := c.Status()
	c.must(err)
	if got != want {
		c.t.Fatalf("got status %d, want %d", got, want)
	}
}

// do sends a request and requires a status.
func (c *client) do(request []byte, want legacyclient.Status) {
	c.t.Helper()
	c.send(request)
	c.wantStatus(want)
}

func (c *client) push(channel, value string) {
	c.t.Helper()
	c.do(legacyclient.Request(legacyclient.Push, channel, value), legacyclient.Ok)
}

func (c *client) consume(channel string) {
	c.t.Helper()
	c.do(legacyclient.Request(legacyclient.Consume, channel), legacyclient.Ok)
}

func (c *client) produce(channel string) {
	c.t.Helper()
	c.do(legacyclient.Request(legacyclient.Produce, channel), legacyclient.Ok)
}

func (c *client) remove(channel string) {
	c.t.Helper()
	c.do(legacyclient.Request(legacyclient.RemoveChannel, channel), legacyclient.Ok)
}

// alive requires an answer to a harmless request. The answer also proves that the node
// has handled everything sent before on this connection (legacy protocol spec §11.1).
func (c *client) alive() {
	c.t.Helper()
	c.do(legacyclient.Request(legacyclient.GetNumConnections), legacyclient.NotSupported)
}

// array reads a record, a popped value, or the zero-length array at the end of a Consume.
func (c *client) array() string {
	c.t.Helper()
	got, err := c.Array()
	c.must(err)
	return got
}

func (c *client) wantArray(want string) {
	c.t.Helper()
	if got := c.array(); got != want {
		c.t.Fatalf("got %s, want %s", excerpt(got), excerpt(want))
	}
}

func (c *client) wantPop(channel, want string) {
	c.t.Helper()
	c.do(legacyclient.Request(legacyclient.Pop, channel), legacyclient.Ok)
	c.wantArray(want)
}

func (c *client) wantSilence() {
	c.t.Helper()
	c.must(c.Silence(silence))
}

func (c *client) wantEOF() {
	c.t.Helper()
	c.must(c.EOF())
}

func excerpt(s string) string {
	if len(s) > 60 {
		return fmt.Sprintf("%q… (%d bytes)", s[:50], len(s))
	}
	return fmt.Sprintf("%q", s)
}

// record returns a record of the given size, at least 8, that tells its number.
func record(number, size int) string {
	head := fmt.Sprintf("%07d ", number)
	return head + strings.Repeat(string(rune('a'+number%26)), size-len(head))
}

// recordNumber returns the number of a record and requires it to be whole.
func recordNumber(text string, size int) (int, error) {
	var number int
	if _, err := fmt.Sscanf(text, "%07d ", &number); err != nil || text != record(number, size) {
		return 0, fmt.Errorf("got %s, want a record of %d bytes", excerpt(text), size)
	}
	return number, nil
}

// nextNumber reads a record from a Consume and returns its number; -1 is the end.
func nextNumber(c *legacyclient.Conn, size int) (int, error) {
	text, err := c.Array()
	if err != nil || text == "" {
		return -1, err
	}
	return recordNumber(text, size)
}

func (c *client) number(size int) int {
	c.t.Helper()
	number, err := nextNumber(c.Conn, size)
	c.must(err)
	return number
}

// produceRecords opens a Produce, sends the records first to last-1, ends it, and
// returns when the node has stored them all.
func (c *client) produceRecords(channel string, first, last, size int) {
	c.t.Helper()
	c.produce(channel)
	var batch []byte
	for number := first; number < last; number++ {
		batch = legacyclient.AppendArray(batch, record(number, size))
		if len(batch) > 1<<20 {
			c.send(batch)
			batch = batch[:0]
		}
	}
	c.send(legacyclient.AppendArray(batch, ""))
	c.alive()
}

// together runs functions at once, each with its index, waits for all, and reports
// their errors.
func together(t *testing.T, count int, f func(i int) error) {
	t.Helper()
	errs := make([]error, count)
	var group sync.WaitGroup
	for i := range count {
		group.Go(func() { errs[i] = f(i) })
	}
	group.Wait()
	for i, err := range errs {
		if err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// eventually waits for a state of the node that nothing announces.
func eventually(t *testing.T, what string, reached func() bool) {
	t.Helper()
	eventuallyWithin(t, nodetest.Patience, what, reached)
}

func eventuallyWithin(t *testing.T, patience time.Duration, what string, reached func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !reached(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("within %v: want %s", patience, what)
		}
	}
}

// drain reads until the node closes the connection, whatever comes before.
func (c *client) drain() {
	c.t.Helper()
	c.SetReadDeadline(time.Now().Add(nodetest.Patience))
	_, err := io.Copy(io.Discard, c.TCPConn)
	c.must(err)
}
