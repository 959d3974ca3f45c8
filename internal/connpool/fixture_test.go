package connpool

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/listener"
)

// patience is how long a test waits for what must happen.
const patience = 2 * time.Minute

// node is a pool on a running loop, with sessions that speak a protocol of lines.
type node struct {
	t        *testing.T
	loops    *listener.Group
	pool     *Pool
	sessions []*lines
	opened   int
	gone     int    // calls of Options.Closed
	reaped   int    // connections of which Options.Reaped has told
	memory   []byte // that spans are cut from
	breaking chan struct{}
}

func start(t *testing.T, outputBuffer int) *node { return startWith(t, outputBuffer, nil) }

// startWith is start with a limit for the memory of all connections.
func startWith(t *testing.T, outputBuffer int, memory *Memory) *node {
	loops, err := listener.NewGroup(1)
	if err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, loops: loops, memory: make([]byte, 4<<20), breaking: make(chan struct{}, 1)}
	for i := range n.memory {
		n.memory[i] = byte(i % 251)
	}
	n.pool = NewPool(loops.Loops()[0], Options{
		NewSession: func(c *Conn) Session {
			s := &lines{node: n, conn: c}
			n.sessions = append(n.sessions, s)
			return s
		},
		Closed:       func(*listener.Loop, int) { n.gone++ },
		Reaped:       func(connections int) { n.reaped += connections },
		Memory:       memory,
		OutputBuffer: outputBuffer,
	})
	loops.Start()
	t.Cleanup(n.stop)
	return n
}

// stop ends everything and checks that every connection was closed once.
func (n *node) stop() {
	n.do(n.pool.Drop)
	if err := n.loops.Stop(); err != nil {
		n.t.Error(err)
	}
	closed := 0
	for _, s := range n.sessions {
		closed += s.closed
	}
	if closed != n.opened || n.gone != n.opened || n.pool.Len() != 0 {
		n.t.Errorf("of %d connections: Session.Closed called %d times, Options.Closed %d times, %d left; want each once, 0 left",
			n.opened, closed, n.gone, n.pool.Len())
	}
}

// do runs f on the loop.
func (n *node) do(f func()) { n.loops.Do(func(*listener.Loop) { f() }) }

// until lets the loop go round until the condition, evaluated on the loop, is true.
func (n *node) until(what string, condition func() bool) {
	n.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		var ok bool
		n.do(func() { ok = condition() })
		if ok {
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("still waiting for: %s", what)
		}
	}
}

// quiet checks that nothing is left to do: the connection gets no event in many rounds.
func (n *node) quiet(c *Conn) {
	n.t.Helper()
	counter := &countingHandler{c: c}
	n.do(func() { n.handleWith(c, counter) })
	for range 50 {
		n.do(func() {})
	}
	n.do(func() {
		if counter.events > 0 {
			n.t.Errorf("%d events in 50 rounds with nothing to do, last %#x (watched %#x), want none", counter.events, counter.last, c.watched)
		}
		n.handleWith(c, c)
	})
}

func (n *node) handleWith(c *Conn, h listener.Handler) {
	if c.fd < 0 {
		n.t.Error("the connection is gone")
		return
	}
	n.pool.loop.Unregister(c.fd)
	if err := n.pool.loop.Register(c.fd, c.watched, h); err != nil {
		n.t.Error(err)
	}
}

type countingHandler struct {
	c      *Conn
	events int
	last   listener.Events
}

func (h *countingHandler) Ready(e listener.Events) {
	h.events++
	h.last = e
	h.c.Ready(e)
}

// peer is the other end of a connection.
type peer struct {
	*net.TCPConn
	node    *node
	conn    *Conn
	session *lines
}

// connect opens a connection. small is for little socket buffers on both sides.
func (n *node) connect(small bool) *peer {
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
	client, err := dialer.Dial("tcp4", l.Addr().String())
	if err != nil {
		n.t.Fatal(err)
	}
	served, err := l.Accept()
	if err != nil {
		n.t.Fatal(err)
	}
	fd := detach(n.t, served.(*net.TCPConn))
	if small {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4096)
	}
	p := &peer{TCPConn: client.(*net.TCPConn), node: n}
	n.t.Cleanup(func() { p.Close() })
	p.SetDeadline(time.Now().Add(patience))
	n.do(func() {
		if err := n.pool.Open(fd); err != nil {
			n.t.Error(err)
			return
		}
		n.opened++
		p.conn = n.pool.open[len(n.pool.open)-1]
		p.session = p.conn.session.(*lines)
	})
	return p
}

// detach takes the descriptor out of the hands of package net.
func detach(t *testing.T, c *net.TCPConn) int {
	t.Helper()
	f, err := c.File()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	c.Close()
	return fd
}

func (p *peer) send(text string) {
	p.node.t.Helper()
	if _, err := io.WriteString(p, text); err != nil {
		p.node.t.Fatalf("sending: %v", err)
	}
}

// expect reads exactly that text.
func (p *peer) expect(want string) {
	p.node.t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(p, got); err != nil || string(got) != want {
		p.node.t.Fatalf("received %q, %v, want %q", clip(got[:n]), err, clip([]byte(want)))
	}
}

// expectEnd checks that the stream ends here, in order.
func (p *peer) expectEnd() {
	p.node.t.Helper()
	got, err := io.ReadAll(p)
	if len(got) > 0 || err != nil {
		p.node.t.Fatalf("received %q, %v, want the end of the stream", clip(got), err)
	}
}

// reset breaks the connection.
func (p *peer) reset() {
	p.SetLinger(0)
	p.Close()
}

func clip(b []byte) string {
	if len(b) > 100 {
		return fmt.Sprintf("%s… (%d bytes)", b[:100], len(b))
	}
	return string(b)
}

// lines is a session whose requests are lines of text:
//
//	pause      is answered, and pauses the input
//	close      closes the connection
//	swallow N  drops N bytes, then closes
//	span N     is answered with N bytes of node.memory
//	break      waits until the peer has broken the connection, then finds out
//	anything   is answered with itself, or if it is long with its length and checksum
type lines struct {
	node *node
	conn *Conn

	received []string // of the current connection
	sent     func()   // called by Sent, if set
	gone     func()   // called by Closed, if set
	ending   func()   // called by EndOfInput, if set
	ends     int      // calls of EndOfInput
	lastSent uint64   // Progress in Closed

	opened, closed int // all connections
}

func (s *lines) Opened() {
	s.received, s.sent, s.gone, s.ending, s.ends = nil, nil, nil, nil, 0
	s.opened++
}

func (s *lines) Receive(in []byte) (used int) {
	for s.conn.Turn() > 0 && !s.conn.Closing() && !s.conn.OutputFull() && !s.conn.paused && s.conn.swallow == 0 {
		s.conn.Work(1)
		length := bytes.IndexByte(in[used:], '\n') + 1
		if length == 0 {
			return used
		}
		s.execute(in[used : used+length])
		used += length
	}
	return used
}

func (s *lines) execute(line []byte) {
	if len(line) > 4<<10 {
		s.received = append(s.received, "long")
		s.reply(long(line))
		return
	}
	s.received = append(s.received, string(line))
	var n int
	switch {
	case string(line) == "pause\n":
		s.conn.Pause()
		s.reply("pause\n")
	case string(line) == "close\n":
		s.conn.Close()
	case string(line) == "break\n":
		s.node.broken(s.conn)
	case scan(line, "swallow %d\n", &n):
		s.conn.Swallow(uint64(n))
	case scan(line, "span %d\n", &n):
		s.conn.Write(s.node.memory[:n])
	default:
		s.reply(string(line))
	}
}

func scan(line []byte, format string, n *int) bool {
	_, err := fmt.Sscanf(string(line), format, n)
	return err == nil
}

// long is the reply to a long line.
func long[T string | []byte](line T) string {
	return fmt.Sprintf("%d %08x\n", len(line), crc32.ChecksumIEEE([]byte(line)))
}

func (s *lines) reply(text string) {
	s.conn.Appended(append(s.conn.Buffer(len(text)), text...))
}

func (s *lines) Sent() {
	if s.sent != nil {
		s.sent()
	}
}

func (s *lines) EndOfInput() {
	s.ends++
	if !s.conn.paused {
		s.node.t.Error("EndOfInput although the input is not paused")
	}
	if s.ending != nil {
		s.ending()
	}
	s.conn.Resume()
}

func (s *lines) Closed() {
	s.closed++
	if s.closed != s.opened {
		s.node.t.Errorf("Closed called %d times for %d connections", s.closed, s.opened)
	}
	s.lastSent, _ = s.conn.Progress()
	if s.gone != nil {
		s.gone()
	}
}

// line is a line of that length with varied content.
func line(length int) string {
	var b strings.Builder
	for i := 0; b.Len() < length-1; i++ {
		fmt.Fprintf(&b, "%d.", i)
	}
	return b.String()[:length-1] + "\n"
}

// broken waits, on the loop, until the kernel knows that the peer has broken the
// connection, and lets the node find out by sending.
func (n *node) broken(c *Conn) {
	n.breaking <- struct{}{}
	poll := []unix.PollFd{{Fd: int32(c.fd)}}
	for poll[0].Revents&unix.POLLHUP == 0 {
		if _, err := unix.Poll(poll, 1000); err != nil && err != unix.EINTR {
			n.t.Error(err)
			return
		}
	}
	c.Write([]byte("x"))
	if c.Flush() {
		n.t.Error("Flush reports success on a broken connection")
	}
	if !c.Closing() {
		n.t.Error("the connection is broken, but takes requests")
	}
}
