package test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// Answers of the node, named by what they say (neo protocol spec §7.2, §9 to §11). In the
// tests of the neo protocol, § is a section of that specification.
const (
	supported          = 0xfd
	unsupportedVersion = 0xfe
	unsupportedRequest = 0xff

	pushed    = 1
	pushError = 2

	popped        = 1
	popEmpty      = 2
	popError      = 3
	popSubscribed = 4

	started      = 1
	consumeError = 2
)

// neo is a connection to the neo port for use by the test goroutine: what goes wrong ends
// the test.
type neo struct {
	*neoclient.Client
	t *testing.T
}

// dialNeo connects to the neo port until the end of the test, and says nothing.
func dialNeo(t *testing.T, node *nodetest.Node, options ...legacyclient.Option) *neo {
	t.Helper()
	conn, err := legacyclient.Dial(node.Neo(), options...) // TCP is the same
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &neo{neoclient.New(conn.TCPConn), t}
	c.Timeout = nodetest.Patience
	return c
}

// connect connects and authenticates as client "test".
func connect(t *testing.T, node *nodetest.Node, options ...legacyclient.Option) *neo {
	t.Helper()
	c := dialNeo(t, node, options...)
	c.must(c.Authenticate(testLogin()))
	return c
}

// testLogin is the client that nodetest lets in.
func testLogin() neoclient.Login { return neoclient.Now("test", [128]byte{}) }

func (c *neo) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// write sends bytes as they are.
func (c *neo) write(b ...[]byte) {
	c.t.Helper()
	c.must(c.Write(bytes.Join(b, nil)))
}

// wantFrame requires the next frame, whatever its id, to be this one.
func (c *neo) wantFrame(id uint64, payload ...byte) {
	c.t.Helper()
	want := neoclient.Frame{ID: id, Payload: payload}
	got, err := c.Read()
	if err != nil {
		c.t.Fatalf("waiting for frame %v: %v", want, err)
	}
	if got.ID != id || !bytes.Equal(got.Payload, payload) {
		c.t.Fatalf("got frame %v, want %v", got, want)
	}
}

// wantReply requires the next frames of an id to be one byte each. Frames of other ids are
// left for later.
func (c *neo) wantReply(id uint64, payloads ...byte) {
	c.t.Helper()
	for _, want := range payloads {
		got, err := c.ReadByteFor(id)
		c.must(err)
		if got != want {
			c.t.Fatalf("id %d: got %02x, want %02x", id, got, want)
		}
	}
}

// start sends a first message on a new id and requires it to be supported.
func (c *neo) start(payload []byte) (id uint64) {
	c.t.Helper()
	id = c.NextID()
	c.must(c.Start(id, payload))
	return id
}

func (c *neo) push(value string, channels ...string) {
	c.t.Helper()
	c.wantReply(c.start(neoclient.PushPayload([]byte(value), channels...)), pushed)
}

// wantPop requires a Pop to return a value.
func (c *neo) wantPop(channel, want string) {
	c.t.Helper()
	status, value, err := c.Pop(channel)
	c.must(err)
	if status != popped || string(value) != want {
		c.t.Fatalf("Pop from %s: got status %02x, value %s; want 01, %s", channel, status, excerpt(string(value)), excerpt(want))
	}
}

// wantPopStatus requires a Pop to return no value, but a status.
func (c *neo) wantPopStatus(channel string, want byte) {
	c.t.Helper()
	status, value, err := c.Pop(channel)
	c.must(err)
	if status != want {
		c.t.Fatalf("Pop from %s: got status %02x, value %s; want status %02x", channel, status, excerpt(string(value)), want)
	}
}

// alive requires an answer to a harmless request. The answer also proves that the node has
// handled everything that was sent before on this connection.
func (c *neo) alive() {
	c.t.Helper()
	c.push("nowhere")
}

// wantNothing requires that the node has sent no frame but those that were read. If the
// node runs one event loop, that includes what requests of others, already answered, may
// have caused.
func (c *neo) wantNothing() {
	c.t.Helper()
	c.alive()
	if parked := c.Parked(); len(parked) > 0 {
		c.t.Fatalf("got frame %v, want none", parked[0])
	}
}

func (c *neo) wantClose() {
	c.t.Helper()
	c.must(c.ExpectClose())
}

// neoConsumer is a Consume that has started, for use by the test goroutine.
type neoConsumer struct {
	*neoclient.Consumer
	c *neo
}

func (c *neo) consume(channel, subscriber string) *neoConsumer {
	c.t.Helper()
	consumer, err := c.Consume(channel, subscriber)
	c.must(err)
	return &neoConsumer{consumer, c}
}

// send sends feedback.
func (k *neoConsumer) send(message ...byte) {
	k.c.t.Helper()
	k.c.must(k.Feedback(message...))
}

// batch returns the records of the next message, which must be Records.
func (k *neoConsumer) batch() (records []string) {
	k.c.t.Helper()
	batch, err := k.Records()
	k.c.must(err)
	for _, r := range batch {
		records = append(records, string(r))
	}
	return records
}

// wantBatch requires the next batch to consist of these records.
func (k *neoConsumer) wantBatch(want ...string) {
	k.c.t.Helper()
	if got := k.batch(); !slices.Equal(got, want) {
		k.c.t.Fatalf("got batch %s, want %s", excerpts(got), excerpts(want))
	}
}

// wantRecords requires batches, each answered with Continue, that make up these records.
func (k *neoConsumer) wantRecords(want ...string) {
	k.c.t.Helper()
	for len(want) > 0 {
		got := k.batch()
		if len(got) > len(want) || !slices.Equal(got, want[:len(got)]) {
			k.c.t.Fatalf("got batch %s, want the start of %s", excerpts(got), excerpts(want))
		}
		want = want[len(got):]
		k.send(neoclient.Continue)
	}
}

// wantEnd requires the next message to be Stopped or ChannelRemoved.
func (k *neoConsumer) wantEnd(want byte) {
	k.c.t.Helper()
	got, records, err := k.Next()
	k.c.must(err)
	if got != want {
		k.c.t.Fatalf("got message %02x with %d records, want %02x", got, len(records), want)
	}
}

// stop requires an idle consumer to end without more records.
func (k *neoConsumer) stop() {
	k.c.t.Helper()
	k.send(neoclient.Stop)
	k.wantEnd(neoclient.Stopped)
}

// byClose, byReset and byHalfClose are the ways in which a client can go away.
func byClose(c *neo)     { c.t.Helper(); c.must(c.Close()) }
func byHalfClose(c *neo) { c.t.Helper(); c.must(c.tcp().CloseWrite()) }
func byReset(c *neo) {
	c.t.Helper()
	c.must(c.tcp().SetLinger(0))
	c.must(c.Close())
}

func (c *neo) tcp() *net.TCPConn { return c.Conn().(*net.TCPConn) }

var neoLeaving = []struct {
	name  string
	leave func(c *neo)
}{{"close", byClose}, {"reset", byReset}, {"half-close", byHalfClose}}

// leaveNeo makes a client go away and waits until the node has closed its side. Every
// other connection must have been used, so that the node has accepted it.
func leaveNeo(t *testing.T, node *nodetest.Node, c *neo, leave func(*neo)) {
	t.Helper()
	open := node.Sockets()
	leave(c)
	eventually(t, "the node closes the connection of the client that left", func() bool { return node.Sockets() < open })
}

// numbered returns the records of numbers first to last-1.
func numbered(first, last, size int) (records []string) {
	for number := first; number < last; number++ {
		records = append(records, record(number, size))
	}
	return records
}

func excerpts(records []string) string {
	var text strings.Builder
	for _, r := range records[:min(4, len(records))] {
		fmt.Fprintf(&text, "%s, ", excerpt(r))
	}
	return fmt.Sprintf("[%s] (%d records)", strings.TrimSuffix(text.String(), ", "), len(records))
}

// fromHex decodes bytes as the specification writes them: | and white space separate.
func fromHex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer("|", "", " ", "", "\t", "", "\n", "").Replace(text))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return b
}
