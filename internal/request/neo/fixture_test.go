package neo

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/connpool"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/listener"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/storagetest"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
)

// patience is how long a test waits for what must happen. It only decides how fast a failure is
// reported.
const patience = time.Minute

// node is neo sessions on a loop, with a real storage.
type node struct {
	t        *testing.T
	address  string
	channels *storage.Channels
	stats    stats.Neo
	logs     *observer.ObservedLogs
}

type keys struct{ key [128]byte }

func (k *keys) Key(name []byte) (*wire.Key, bool) {
	return (*wire.Key)(&k.key), string(name) == "client"
}

// start starts a node with the options of production but for what change does.
func start(t *testing.T, change func(*Options)) *node {
	t.Helper()
	return startWith(t, storagetest.Start(t, storagetest.Options(t, 1<<20)), change)
}

func startWith(t *testing.T, channels *storage.Channels, change func(*Options)) *node {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	log := zap.New(core)
	n := &node{t: t, logs: logs, channels: channels}
	loops, err := listener.NewGroup(1)
	if err != nil {
		t.Fatal(err)
	}
	l, err := listener.Listen(listener.Options{Name: "neo", Address: netip.MustParseAddrPort("127.0.0.1:0"), Backlog: 16}, log)
	if err != nil {
		t.Fatal(err)
	}
	n.address = l.Addr().String()
	options := Options{Keys: new(keys), HandshakeTimeout: time.Hour, MaxFrame: 1 << 20, MaxRequests: 100, Redeliver: true}
	if change != nil {
		change(&options)
	}
	sessions := NewNode(n.channels, options, &n.stats, Loggers{Rejections: log, Requests: log})
	pool := connpool.NewPool(loops.Loops()[0], connpool.Options{NewSession: sessions.NewSession, Closed: l.Closed, OutputBuffer: 1 << 20})
	loops.Start()
	loops.Do(func(*listener.Loop) {
		err = l.Serve(loops, func(_ *listener.Loop, fd int) {
			if err := pool.Open(fd); err != nil {
				t.Error(err)
			}
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		loops.Do(func(*listener.Loop) {
			l.Close()
			pool.Drop()
		})
		if err := loops.Stop(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// client is a client whose every error ends the test.
type client struct {
	*neoclient.Client
	t *testing.T
}

// dial connects and says nothing.
func (n *node) dial() client {
	n.t.Helper()
	conn, err := net.Dial("tcp", n.address)
	if err != nil {
		n.t.Fatal(err)
	}
	c := client{neoclient.New(conn), n.t}
	c.Timeout = patience
	n.t.Cleanup(func() { c.Close() })
	return c
}

// connect connects and authenticates.
func (n *node) connect() client {
	n.t.Helper()
	c := n.dial()
	c.must(c.Authenticate(neoclient.Now("client", [128]byte{})))
	return c
}

func (c client) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c client) push(value string, channels ...string) {
	c.t.Helper()
	c.wantPush(1, value, channels...)
}

func (c client) wantPush(want byte, value string, channels ...string) {
	c.t.Helper()
	if status, err := c.Push([]byte(value), channels...); err != nil || status != want {
		c.t.Errorf("Push to %q: got status %d, error %v, want %d", channels, status, err, want)
	}
}

// wantPop pops; a value is that of status 1.
func (c client) wantPop(channel string, want byte, value string) {
	c.t.Helper()
	if status, got, err := c.Pop(channel); err != nil || status != want || string(got) != value {
		c.t.Errorf("Pop from %q: got status %d, %q, error %v, want %d, %q", channel, status, got, err, want, value)
	}
}

func (c client) consume(channel, subscriber string) *neoclient.Consumer {
	c.t.Helper()
	consumer, err := c.Consume(channel, subscriber)
	c.must(err)
	return consumer
}

// wantBatch takes a batch.
func (c client) wantBatch(from *neoclient.Consumer, want ...string) {
	c.t.Helper()
	records, err := from.Records()
	var got []string
	for _, r := range records {
		got = append(got, string(r))
	}
	if err != nil || !slices.Equal(got, want) {
		c.t.Fatalf("got batch %q, error %v, want %q", got, err, want)
	}
}

// wantMessage takes a message that is no batch.
func (c client) wantMessage(from *neoclient.Consumer, want byte) {
	c.t.Helper()
	if got, records, err := from.Next(); err != nil || got != want {
		c.t.Fatalf("got message %d with %d records, error %v, want %d", got, len(records), err, want)
	}
}

func (c client) wantClosed() {
	c.t.Helper()
	c.must(c.ExpectClose())
}

// until waits for something of which no client is told.
func (n *node) until(what string, condition func() bool) {
	n.t.Helper()
	for deadline := time.Now().Add(patience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			n.t.Fatalf("still waiting for: %s", what)
		}
	}
}

// stored is how many records all queues of a channel have.
func (n *node) stored(channel string) (records uint64) {
	for _, f := range n.channels.Figures() {
		if f.Channel == channel {
			records += f.MemoryRecords + f.OverflowRecords
		}
	}
	return records
}
