// Package clients has connections to a node for use by the goroutine of a test: what goes wrong ends
// the test. A method of the clients of which that is not true returns an error; its name without Must
// or Want is the same.
package clients

import (
	"io"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// Silence is how long a test looks for bytes that must not come.
const Silence = 250 * time.Millisecond

// LegacyClient is a connection for use by the test goroutine: what goes wrong ends the test.
type LegacyClient struct {
	*legacyclient.Conn
	T *testing.T
}

// Legacy connects to the legacy port until the end of the test.
func Legacy(t *testing.T, node *nodetest.Node, options ...legacyclient.Option) *LegacyClient {
	t.Helper()
	conn, err := legacyclient.Dial(node.Legacy(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &LegacyClient{Conn: conn, T: t}
}

func (c *LegacyClient) Must(err error) {
	c.T.Helper()
	if err != nil {
		c.T.Fatal(err)
	}
}

func (c *LegacyClient) MustSend(b []byte) {
	c.T.Helper()
	c.Must(c.Send(b))
}

func (c *LegacyClient) WantStatus(want legacyclient.Status) {
	c.T.Helper()
	got, err := c.Status()
	c.Must(err)
	if got != want {
		c.T.Fatalf("got status %d, want %d", got, want)
	}
}

// MustDo sends a request and requires a status.
func (c *LegacyClient) MustDo(request []byte, want legacyclient.Status) {
	c.T.Helper()
	c.MustSend(request)
	c.WantStatus(want)
}

func (c *LegacyClient) MustPush(channel, value string) {
	c.T.Helper()
	c.MustDo(legacyclient.Request(legacyclient.Push, channel, value), legacyclient.Ok)
}

func (c *LegacyClient) MustConsume(channel string) {
	c.T.Helper()
	c.MustDo(legacyclient.Request(legacyclient.Consume, channel), legacyclient.Ok)
}

func (c *LegacyClient) MustProduce(channel string) {
	c.T.Helper()
	c.MustDo(legacyclient.Request(legacyclient.Produce, channel), legacyclient.Ok)
}

func (c *LegacyClient) MustRemove(channel string) {
	c.T.Helper()
	c.MustDo(legacyclient.Request(legacyclient.RemoveChannel, channel), legacyclient.Ok)
}

// Alive requires an answer to a harmless request. The answer also proves that the node
// has handled everything sent before on this connection (legacy protocol spec §11.1).
func (c *LegacyClient) Alive() {
	c.T.Helper()
	c.MustDo(legacyclient.Request(legacyclient.GetNumConnections), legacyclient.NotSupported)
}

// MustArray reads a record, a popped value, or the zero-length array at the end of a Consume.
func (c *LegacyClient) MustArray() string {
	c.T.Helper()
	got, err := c.Array()
	c.Must(err)
	return got
}

func (c *LegacyClient) WantArray(want string) {
	c.T.Helper()
	if got := c.MustArray(); got != want {
		c.T.Fatalf("got %s, want %s", Excerpt(got), Excerpt(want))
	}
}

func (c *LegacyClient) WantPop(channel, want string) {
	c.T.Helper()
	c.MustDo(legacyclient.Request(legacyclient.Pop, channel), legacyclient.Ok)
	c.WantArray(want)
}

func (c *LegacyClient) WantSilence() {
	c.T.Helper()
	c.Must(c.Silence(Silence))
}

func (c *LegacyClient) WantEOF() {
	c.T.Helper()
	c.Must(c.EOF())
}

// NextNumber reads a record from a Consume and returns its number; -1 is the end.
func NextNumber(c *legacyclient.Conn, size int) (int, error) {
	text, err := c.Array()
	if err != nil || text == "" {
		return -1, err
	}
	return RecordNumber(text, size)
}

func (c *LegacyClient) Number(size int) int {
	c.T.Helper()
	number, err := NextNumber(c.Conn, size)
	c.Must(err)
	return number
}

// ProduceRecords opens a Produce, sends the records first to last-1, ends it, and
// returns when the node has stored them all.
func (c *LegacyClient) ProduceRecords(channel string, first, last, size int) {
	c.T.Helper()
	c.MustProduce(channel)
	var batch []byte
	for number := first; number < last; number++ {
		batch = legacyclient.AppendArray(batch, Record(number, size))
		if len(batch) > 1<<20 {
			c.MustSend(batch)
			batch = batch[:0]
		}
	}
	c.MustSend(legacyclient.AppendArray(batch, ""))
	c.Alive()
}

// Drain reads until the node closes the connection, whatever comes before.
func (c *LegacyClient) Drain() {
	c.T.Helper()
	c.SetReadDeadline(time.Now().Add(nodetest.Patience))
	_, err := io.Copy(io.Discard, c.TCPConn)
	c.Must(err)
}

// LeaveLegacy makes a consumer go away and waits until the node has closed its side.
// Every other connection must have been used, so that the node has accepted it.
func LeaveLegacy(t *testing.T, node *nodetest.Node, c *LegacyClient, leave func(*LegacyClient)) {
	t.Helper()
	open := node.Sockets()
	leave(c)
	nodetest.Eventually(t, "the node closes the connection of the consumer that left", func() bool { return node.Sockets() < open })
}

// SmallWindow makes the kernel take in little for a client that does not read.
var SmallWindow = legacyclient.ReceiveBuffer(4096)

const (
	// BigRecord and BigCount make more than the kernel's buffers of two sockets hold,
	// and fit into the memory of a channel.
	BigRecord = 10_000
	BigCount  = 1_500
	// MaxInKernel is more than the buffers of one socket pair hold: 4 MiB to send by
	// default on Linux, and little to receive.
	MaxInKernel = 6 << 20
)

// BlockedConsumer returns a consumer that has not read anything and whose channel got
// the records 0 to BigCount-1, far more than its socket takes.
func BlockedConsumer(t *testing.T, node *nodetest.Node, channel string) *LegacyClient {
	t.Helper()
	blocked := Legacy(t, node, SmallWindow)
	blocked.MustConsume(channel)
	producer := Legacy(t, node)
	producer.ProduceRecords(channel, 0, BigCount, BigRecord)
	return blocked
}
