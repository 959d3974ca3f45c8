package legacy

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/connpool"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/listener"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/storagetest"
)

// patience is how long a test waits for what must happen.
const patience = 2 * time.Minute

// node is legacy sessions on running loops, with a real storage.
type node struct {
	t        testing.TB
	loops    *listener.Group
	pools    []*connpool.Pool // by loop
	channels *storage.Channels
	dir      string // of its data
	stats    stats.Legacy
	logs     *observer.ObservedLogs
	last     *Session // made or opened last
}

// Channels whose name starts with diskFull cannot store a record, and the records of those with
// spilled all lie in spill files, which have their places on the disk.
const (
	diskFull = "disk-full"
	spilled  = "spilled"
)

// opening is a session that tells the test when it is opened.
type opening struct {
	*Session
	node *node
}

func (o opening) Opened() {
	o.node.last = o.Session
	o.Session.Opened()
}

func start(t testing.TB, loops int) *node {
	t.Helper()
	options := storagetest.Options(t, 0)
	options.RingSize = func(channel string) uint64 {
		switch {
		case strings.HasPrefix(channel, diskFull):
			return 1 << 62
		case strings.HasPrefix(channel, spilled):
			return 0
		}
		return 64 << 20
	}
	n := startWith(t, loops, storagetest.Start(t, options))
	n.dir = options.Dir
	return n
}

func startWith(t testing.TB, loops int, channels *storage.Channels) *node {
	t.Helper()
	group, err := listener.NewGroup(loops)
	if err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.DebugLevel)
	n := &node{t: t, loops: group, logs: logs, channels: channels}
	sessions := NewNode(n.channels, Options{}, &n.stats, Loggers{Main: zap.New(core), Handlers: zap.New(core)})
	for _, l := range group.Loops() {
		n.pools = append(n.pools, connpool.NewPool(l, connpool.Options{
			NewSession: func(c *connpool.Conn) connpool.Session {
				return opening{sessions.NewSession(c).(*Session), n}
			},
			Closed:       func(*listener.Loop, int) {},
			OutputBuffer: 1 << 20,
		}))
	}
	group.Start()
	t.Cleanup(func() {
		group.Do(func(l *listener.Loop) { n.pools[l.Index()].Drop() })
		if err := group.Stop(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// do runs f on a loop.
func (n *node) do(loop int, f func()) {
	done := make(chan struct{})
	n.loops.Loops()[loop].Post(listener.TaskFunc(func() {
		defer close(done)
		f()
	}))
	<-done
}

// until lets the loop go round until the condition, evaluated on the loop, is true.
func (n *node) until(loop int, what string, condition func() bool) {
	n.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		var ok bool
		n.do(loop, func() { ok = condition() })
		if ok {
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("still waiting for: %s", what)
		}
	}
}

// client is the other end of a connection.
type client struct {
	*net.TCPConn
	node    *node
	loop    int
	session *Session
	conn    *connpool.Conn
	before  uint64 // bytes that were sent on the loop before it connected
}

// connect opens a connection on the first loop.
func (n *node) connect() *client { return n.connectTo(0, false) }

// connectTo opens a connection on a loop. small is for little socket buffers.
func (n *node) connectTo(loop int, small bool) *client {
	n.t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		n.t.Fatal(err)
	}
	defer l.Close()
	dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) {
			if small {
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096)
			}
		})
	}}
	near, err := dialer.Dial("tcp4", l.Addr().String())
	if err != nil {
		n.t.Fatal(err)
	}
	served, err := l.Accept()
	if err != nil {
		n.t.Fatal(err)
	}
	fd := n.detach(served.(*net.TCPConn))
	if small {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4096)
	}
	c := &client{TCPConn: near.(*net.TCPConn), node: n, loop: loop}
	n.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	n.do(loop, func() {
		if err := n.pools[loop].Open(fd); err != nil {
			n.t.Error(err)
		}
		c.session, c.conn = n.last, n.last.conn
		_, c.before = n.pools[loop].Traffic()
	})
	return c
}

// detach takes the descriptor out of the hands of package net.
func (n *node) detach(c *net.TCPConn) int {
	n.t.Helper()
	f, err := c.File()
	if err != nil {
		n.t.Fatal(err)
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		n.t.Fatal(err)
	}
	f.Close()
	c.Close()
	return fd
}

// unhex turns hex as the spec prints it into bytes: blanks separate fields, 78*1000 is a
// byte repeated 1000 times, and 'name' is an array with that text.
func unhex(t testing.TB, text string) (b []byte) {
	t.Helper()
	for _, field := range strings.Fields(text) {
		if field[0] == '\'' {
			b = wire.AppendArray(b, strings.Trim(field, "'"))
			continue
		}
		digits, times, repeated := strings.Cut(field, "*")
		piece, err := hex.DecodeString(digits)
		if err != nil {
			t.Fatalf("%q: %v", field, err)
		}
		n := 1
		if repeated {
			if n, err = strconv.Atoi(times); err != nil {
				t.Fatalf("%q: %v", field, err)
			}
		}
		b = append(b, bytes.Repeat(piece, n)...)
	}
	return b
}

func (c *client) send(text string) {
	c.node.t.Helper()
	c.write(unhex(c.node.t, text))
}

func (c *client) write(b []byte) {
	c.node.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.node.t.Fatalf("sending: %v", err)
	}
}

// expect reads exactly those bytes.
func (c *client) expect(text string) {
	c.node.t.Helper()
	c.read(unhex(c.node.t, text))
}

func (c *client) read(want []byte) {
	c.node.t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
		c.node.t.Fatalf("received % x, %v, want % x", clip(got[:n]), err, clip(want))
	}
}

// ask sends a request and expects a reply.
func (c *client) ask(request, reply string) {
	c.node.t.Helper()
	c.send(request)
	c.expect(reply)
}

// expectEnd checks that the stream ends here, in order.
func (c *client) expectEnd() {
	c.node.t.Helper()
	if got, err := io.ReadAll(c); len(got) > 0 || err != nil {
		c.node.t.Fatalf("received % x, %v, want the end of the stream", clip(got), err)
	}
}

// reset breaks the connection and waits until the node has noticed.
func (c *client) reset() {
	c.node.t.Helper()
	c.SetLinger(0)
	c.Close()
	c.node.until(c.loop, "the connection to be gone", c.conn.Closing)
}

func clip(b []byte) []byte { return b[:min(len(b), 60)] }

// record is the payload of the i-th record.
func record(i, size int) []byte {
	b := bytes.Repeat([]byte{byte(i)}, size)
	copy(b, fmt.Sprintf("%06d", i))
	return b
}
