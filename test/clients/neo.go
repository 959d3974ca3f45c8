package clients

import (
	"bytes"
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
	Supported          = 0xfd
	UnsupportedVersion = 0xfe
	UnsupportedRequest = 0xff

	Pushed    = 1
	PushError = 2

	Popped        = 1
	PopEmpty      = 2
	PopError      = 3
	PopSubscribed = 4

	Started      = 1
	ConsumeError = 2
)

// NeoClient is a connection to the neo port for use by the test goroutine: what goes wrong ends
// the test.
type NeoClient struct {
	*neoclient.Client
	T *testing.T
}

// DialNeo connects to the neo port until the end of the test, and says nothing.
func DialNeo(t *testing.T, node *nodetest.Node, options ...legacyclient.Option) *NeoClient {
	t.Helper()
	conn, err := legacyclient.Dial(node.Neo(), options...) // TCP is the same
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	c := &NeoClient{neoclient.New(conn.TCPConn), t}
	c.Timeout = nodetest.Patience
	return c
}

// Neo connects and authenticates as client "test".
func Neo(t *testing.T, node *nodetest.Node, options ...legacyclient.Option) *NeoClient {
	t.Helper()
	c := DialNeo(t, node, options...)
	c.Must(c.Authenticate(TestLogin()))
	return c
}

// TestLogin is the client that nodetest lets in.
func TestLogin() neoclient.Login { return neoclient.Now("test", [128]byte{}) }

func (c *NeoClient) Must(err error) {
	c.T.Helper()
	if err != nil {
		c.T.Fatal(err)
	}
}

// MustWrite sends bytes as they are.
func (c *NeoClient) MustWrite(b ...[]byte) {
	c.T.Helper()
	c.Must(c.Write(bytes.Join(b, nil)))
}

// WantFrame requires the next frame, whatever its id, to be this one.
func (c *NeoClient) WantFrame(id uint64, payload ...byte) {
	c.T.Helper()
	want := neoclient.Frame{ID: id, Payload: payload}
	got, err := c.Read()
	if err != nil {
		c.T.Fatalf("waiting for frame %v: %v", want, err)
	}
	if got.ID != id || !bytes.Equal(got.Payload, payload) {
		c.T.Fatalf("got frame %v, want %v", got, want)
	}
}

// WantReply requires the next frames of an id to be one byte each. Frames of other ids are
// left for later.
func (c *NeoClient) WantReply(id uint64, payloads ...byte) {
	c.T.Helper()
	for _, want := range payloads {
		got, err := c.ReadByteFor(id)
		c.Must(err)
		if got != want {
			c.T.Fatalf("id %d: got %02x, want %02x", id, got, want)
		}
	}
}

// MustStart sends a first message on a new id and requires it to be supported.
func (c *NeoClient) MustStart(payload []byte) (id uint64) {
	c.T.Helper()
	id = c.NextID()
	c.Must(c.Start(id, payload))
	return id
}

func (c *NeoClient) MustPush(value string, channels ...string) {
	c.T.Helper()
	c.WantReply(c.MustStart(neoclient.PushPayload([]byte(value), channels...)), Pushed)
}

// WantPop requires a Pop to return a value.
func (c *NeoClient) WantPop(channel, want string) {
	c.T.Helper()
	status, value, err := c.Pop(channel)
	c.Must(err)
	if status != Popped || string(value) != want {
		c.T.Fatalf("Pop from %s: got status %02x, value %s; want 01, %s", channel, status, Excerpt(string(value)), Excerpt(want))
	}
}

// WantPopStatus requires a Pop to return no value, but a status.
func (c *NeoClient) WantPopStatus(channel string, want byte) {
	c.T.Helper()
	status, value, err := c.Pop(channel)
	c.Must(err)
	if status != want {
		c.T.Fatalf("Pop from %s: got status %02x, value %s; want status %02x", channel, status, Excerpt(string(value)), want)
	}
}

// Alive requires an answer to a harmless request. The answer also proves that the node has
// handled everything that was sent before on this connection.
func (c *NeoClient) Alive() {
	c.T.Helper()
	c.MustPush("nowhere")
}

// WantNothing requires that the node has sent no frame but those that were read. If the
// node runs one event loop, that includes what requests of others, already answered, may
// have caused.
func (c *NeoClient) WantNothing() {
	c.T.Helper()
	c.Alive()
	if parked := c.Parked(); len(parked) > 0 {
		c.T.Fatalf("got frame %v, want none", parked[0])
	}
}

func (c *NeoClient) WantClose() {
	c.T.Helper()
	c.Must(c.ExpectClose())
}

// NeoConsumer is a Consume that has started, for use by the test goroutine.
type NeoConsumer struct {
	*neoclient.Consumer
	Client *NeoClient
}

func (c *NeoClient) MustConsume(channel, subscriber string) *NeoConsumer {
	c.T.Helper()
	consumer, err := c.Consume(channel, subscriber)
	c.Must(err)
	return &NeoConsumer{consumer, c}
}

// Send sends feedback.
func (k *NeoConsumer) Send(message ...byte) {
	k.Client.T.Helper()
	k.Client.Must(k.Feedback(message...))
}

// Batch returns the records of the next message, which must be Records.
func (k *NeoConsumer) Batch() (records []string) {
	k.Client.T.Helper()
	batch, err := k.Records()
	k.Client.Must(err)
	for _, r := range batch {
		records = append(records, string(r))
	}
	return records
}

// WantBatch requires the next batch to consist of these records.
func (k *NeoConsumer) WantBatch(want ...string) {
	k.Client.T.Helper()
	if got := k.Batch(); !slices.Equal(got, want) {
		k.Client.T.Fatalf("got batch %s, want %s", Excerpts(got), Excerpts(want))
	}
}

// WantRecords requires batches, each answered with Continue, that make up these records.
func (k *NeoConsumer) WantRecords(want ...string) {
	k.Client.T.Helper()
	for len(want) > 0 {
		got := k.Batch()
		if len(got) > len(want) || !slices.Equal(got, want[:len(got)]) {
			k.Client.T.Fatalf("got batch %s, want the start of %s", Excerpts(got), Excerpts(want))
		}
		want = want[len(got):]
		k.Send(neoclient.Continue)
	}
}

// WantEnd requires the next message to be Stopped or ChannelRemoved.
func (k *NeoConsumer) WantEnd(want byte) {
	k.Client.T.Helper()
	got, records, err := k.Next()
	k.Client.Must(err)
	if got != want {
		k.Client.T.Fatalf("got message %02x with %d records, want %02x", got, len(records), want)
	}
}

// Stop requires an idle consumer to end without more records.
func (k *NeoConsumer) Stop() {
	k.Client.T.Helper()
	k.Send(neoclient.Stop)
	k.WantEnd(neoclient.Stopped)
}

// ByClose, ByReset and ByHalfClose are the ways in which a client can go away.
func ByClose(c *NeoClient) { c.T.Helper(); c.Must(c.Close()) }

func ByHalfClose(c *NeoClient) { c.T.Helper(); c.Must(c.TCP().CloseWrite()) }

func ByReset(c *NeoClient) {
	c.T.Helper()
	c.Must(c.TCP().SetLinger(0))
	c.Must(c.Close())
}

func (c *NeoClient) TCP() *net.TCPConn { return c.Conn().(*net.TCPConn) }

var NeoLeaving = []struct {
	Name  string
	Leave func(c *NeoClient)
}{{"close", ByClose}, {"reset", ByReset}, {"half-close", ByHalfClose}}

// LeaveNeo makes a client go away and waits until the node has closed its side. Every
// other connection must have been used, so that the node has accepted it.
func LeaveNeo(t *testing.T, node *nodetest.Node, c *NeoClient, leave func(*NeoClient)) {
	t.Helper()
	open := node.Sockets()
	leave(c)
	nodetest.Eventually(t, "the node closes the connection of the client that left", func() bool { return node.Sockets() < open })
}

// FixedClients are those of neo protocol spec §17.3.
var (
	FixedClients = "client1:" + HexKey(CountingKey) + "\na:" + strings.Repeat("ab", 128) + "\n"
	CountingKey  = func() (key [128]byte) {
		for i := range key {
			key[i] = byte(i)
		}
		return key
	}()
)

func HexKey(key [128]byte) string { return fmt.Sprintf("%x", key) }
