package connpool

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/listener"
)

func (n *node) untilGone() {
	n.t.Helper()
	n.until("all connections to be gone", func() bool { return n.pool.Len() == 0 })
}

// A connection that the session closes ends in order: the peer gets what was appended
// before, then the end of the stream, and no reset although it goes on sending.
func TestCloseLingers(t *testing.T) {
	n := start(t, 1<<20)
	p := n.connect(false)
	p.send("a\nclose\nb\n")
	p.expect("a\n")
	p.expectEnd()
	for range 4 {
		p.send(strings.Repeat("after the end\n", 20_000))
	}
	n.until("that to be read", func() bool { return n.received() == 10+4*280_000 })
	n.quiet(p.conn)
	n.holdsNothing(p)
	p.CloseWrite()
	n.untilGone()
	p.expectEnd()
	n.do(func() {
		if got := strings.Join(p.session.received, ""); got != "a\nclose\n" {
			t.Errorf("executed %q, want nothing behind the close", got)
		}
	})
}

// Output that the socket does not take at once still arrives before the end.
func TestCloseSendsWhatWaits(t *testing.T) {
	n := start(t, 1<<20)
	p := n.connect(true)
	p.send("span 1000000\nclose\nb\n")
	n.until("the session to close", func() bool { return p.conn.closing })
	n.do(func() {
		if p.conn.finSent || p.conn.timer == nil {
			t.Errorf("end sent %v, time limit %v, want the output first and a time limit for it", p.conn.finSent, p.conn.timer != nil)
		}
	})
	n.quiet(p.conn)
	p.expect(string(n.memory[:1000000]))
	p.expectEnd()
}

// A peer that writes before it reads does not wait for the end: its input is dropped.
func TestCloseDropsInput(t *testing.T) {
	n := start(t, 1<<20)
	p := n.connect(true)
	p.send("span 2000000\n")
	n.until("the output to be full", func() bool { return p.conn.watched == unix.EPOLLOUT })
	n.do(n.pool.Close)
	p.send(strings.Repeat("after the end\n", 300_000))
	p.expect(string(n.memory[:2000000]))
	p.expectEnd()
}

// after waits for a time as the loop counts it.
func (n *node) after(d time.Duration) {
	passed := make(chan struct{})
	n.do(func() { n.pool.loop.After(d, listener.TaskFunc(func() { close(passed) })) })
	<-passed
}

// A peer that keeps its side open is not waited for longer than lingerTimeout.
func TestLingerEnds(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for lingerTimeout")
	}
	t.Parallel()
	n := start(t, 1<<20)
	p := n.connect(false)
	before := time.Now()
	p.send("close\n")
	p.expectEnd()
	n.untilGone()
	if took := time.Since(before); took < lingerTimeout {
		t.Errorf("gone after %v, want to linger %v", took, lingerTimeout)
	}
}

// The time limit of a connection does not end the next one of the same handler.
func TestTimeLimitEndsWithItsConnection(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for lingerTimeout")
	}
	t.Parallel()
	n := start(t, 1<<20)
	first := n.connect(false)
	first.send("close\n")
	first.expectEnd()
	first.Close()
	n.untilGone()
	second := n.connect(false)
	if second.conn != first.conn {
		t.Fatal("the handler is not used again")
	}
	n.after(lingerTimeout + 100*time.Millisecond)
	second.send("a\n")
	second.expect("a\n")
}

// Whatever ends a connection: the session is told once, the resources are free, and the
// handler serves another one. (start checks the counts.)
func TestEveryWayToEnd(t *testing.T) {
	fill := func(n *node, p *peer) {
		p.send("span 1000000\nspan 1000000\na\n")
		n.until("the output to be full", func() bool { return p.conn.watched == unix.EPOLLOUT })
	}
	pause := func(n *node, p *peer) {
		p.send("pause\n")
		p.expect("pause\n")
	}
	ahead := func(n *node, p *peer) {
		pause(n, p)
		p.send(strings.Repeat(line(4000), 20))
		n.until("enough sent ahead", func() bool { return p.conn.watched == unix.EPOLLRDHUP })
	}
	closed := func(n *node, p *peer) {
		p.send("a\nclose\n")
		p.expect("a\n")
		p.expectEnd()
	}
	for _, test := range []struct {
		way   string
		small bool
		do    func(n *node, p *peer)
	}{
		{"idle, peer closes", false, func(n *node, p *peer) { p.Close() }},
		{"idle, peer resets", false, func(n *node, p *peer) { p.reset() }},
		{"inside a request, peer resets", false, func(n *node, p *peer) { p.send(line(40000)[:30000]); p.reset() }},
		{"paused, peer closes", false, func(n *node, p *peer) { pause(n, p); p.Close() }},
		{"paused, peer resets", false, func(n *node, p *peer) { pause(n, p); p.reset() }},
		{"paused with much sent ahead, peer resets", false, func(n *node, p *peer) { ahead(n, p); p.reset() }},
		{"output full, peer resets", true, func(n *node, p *peer) { fill(n, p); p.reset() }},
		{"output full, peer closes with data unread", true, func(n *node, p *peer) { fill(n, p); p.Close() }},
		{"output full and half-closed, peer resets", true, func(n *node, p *peer) {
			fill(n, p)
			p.CloseWrite()
			p.reset()
		}},
		{"half-closed, replies unsent, peer resets", true, func(n *node, p *peer) {
			p.send("span 1000000\n")
			p.CloseWrite()
			n.until("the end of input", func() bool { return p.conn.ended })
			n.quiet(p.conn)
			p.reset()
		}},
		{"swallowing, peer resets", false, func(n *node, p *peer) { p.send("swallow 1000\nx"); p.reset() }},
		{"swallowing, peer closes", false, func(n *node, p *peer) { p.send("swallow 1000\nx"); p.Close() }},
		{"closed by the session, peer closes", false, func(n *node, p *peer) { closed(n, p); p.Close() }},
		{"closed by the session, peer resets", false, func(n *node, p *peer) { closed(n, p); p.reset() }},
		{"closed by the session with output unsent, peer resets", true, func(n *node, p *peer) {
			p.send("span 1000000\nclose\n")
			n.until("the session to close", func() bool { return p.conn.closing })
			p.reset()
		}},
		{"found broken in Receive", false, func(n *node, p *peer) {
			p.send("a\nbreak\nb\n")
			<-n.breaking
			p.reset()
		}},
		{"found broken in Sent", false, func(n *node, p *peer) {
			n.do(func() {
				p.session.sent = func() {
					p.session.sent = nil
					n.broken(p.conn)
				}
			})
			p.send("a\npause\nb\n")
			<-n.breaking
			p.reset()
		}},
		{"found broken in EndOfInput", false, func(n *node, p *peer) {
			pause(n, p)
			n.do(func() { p.session.ending = func() { n.broken(p.conn) } })
			p.CloseWrite()
			<-n.breaking
			p.reset()
		}},
		{"pool dropped", false, func(n *node, p *peer) { n.do(n.pool.Drop) }},
		{"pool dropped with output unsent", true, func(n *node, p *peer) { fill(n, p); n.do(n.pool.Drop) }},
		{"pool closed, peer closes", false, func(n *node, p *peer) {
			n.do(n.pool.Close)
			p.expectEnd()
			p.Close()
		}},
		{"pool closed twice", false, func(n *node, p *peer) {
			n.do(n.pool.Close)
			n.do(n.pool.Close)
			p.expectEnd()
			p.Close()
		}},
		{"pool closed while paused, peer closes", false, func(n *node, p *peer) {
			ahead(n, p)
			n.do(n.pool.Close)
			p.expectEnd()
			p.Close()
		}},
		{"pool closed with output unsent", true, func(n *node, p *peer) {
			p.send("a\nspan 1000000\n")
			n.until("the request", func() bool { return len(p.session.received) == 2 })
			n.do(n.pool.Close)
			p.expect("a\n" + string(n.memory[:1000000]))
			p.expectEnd()
			p.Close()
		}},
	} {
		t.Run(test.way, func(t *testing.T) {
			n := start(t, 1<<20)
			p := n.connect(test.small)
			test.do(n, p)
			n.untilGone()
			n.do(func() {
				checkPool(t, &n.pool.buffers)
				if p.conn.fd != -1 || p.conn.in != nil || p.conn.Flush() || !p.conn.Closing() {
					t.Errorf("descriptor %d, input %d bytes, closing %v after the end", p.conn.fd, len(p.conn.in), p.conn.Closing())
				}
				p.conn.Continue() // as a task may that was posted before
			})
			next := n.connect(false)
			if next.conn != p.conn {
				t.Error("the handler is not used again")
			}
			next.send("hello\npause\n")
			next.expect("hello\npause\n")
			n.quiet(next.conn)
			n.do(func() {
				if sent, unsent := next.conn.Progress(); sent != 12 || unsent != 0 {
					t.Errorf("progress of the next connection: %d sent, %d unsent, want 12, 0", sent, unsent)
				}
			})
		})
	}
}

// Memory that a span was cut from may change as soon as Closed is called, and Progress
// then says exactly how much of it the peer can have got.
func TestSpansAreNotReadAfterClosed(t *testing.T) {
	n := start(t, 1<<20)
	p := n.connect(true)
	want := bytes.Clone(n.memory)
	p.send("span 1000000\nspan 1000000\n")
	n.until("the socket to be full", func() bool { return p.conn.watched == unix.EPOLLOUT })
	var sent uint64
	n.do(func() {
		p.session.gone = func() {
			sent, _ = p.conn.Progress()
			clear(n.memory)
		}
		n.pool.Drop()
	})
	got, err := io.ReadAll(p)
	if err != nil || uint64(len(got)) != sent || !bytes.Equal(got, want[:sent]) {
		t.Errorf("received %d bytes, %v, want the %d that were sent before Closed, unchanged", len(got), err, sent)
	}
}

func TestHandlersAreUsedAgain(t *testing.T) {
	n := start(t, 1<<20)
	const atOnce = 20
	for range 5 {
		var peers []*peer
		for range atOnce {
			peers = append(peers, n.connect(false))
		}
		for _, p := range peers {
			p.send("a\n")
		}
		for _, p := range peers {
			p.expect("a\n")
			p.Close()
		}
		n.untilGone()
	}
	if len(n.sessions) != atOnce {
		t.Errorf("%d handlers for at most %d connections at once", len(n.sessions), atOnce)
	}
}

// A descriptor that cannot be watched is closed; its session never hears of it.
func TestOpenFails(t *testing.T) {
	loops, err := listener.NewGroup(1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { loops.Start(); loops.Stop() }()
	gone := 0
	n := &node{t: t}
	pool := NewPool(loops.Loops()[0], Options{
		NewSession: func(c *Conn) Session { return &lines{node: n, conn: c} },
		Closed:     func(*listener.Loop, int) { gone++ },
	})
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fd, err := unix.Dup(int(file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if err := pool.Open(fd); err == nil {
		t.Error("Open of something that cannot be watched reports success")
	}
	if pool.Len() != 0 || gone != 1 {
		t.Errorf("%d open, Options.Closed called %d times, want 0, once", pool.Len(), gone)
	}
	if s := pool.free[0].session.(*lines); s.opened != 0 || s.closed != 0 {
		t.Errorf("session opened %d and closed %d times, want never", s.opened, s.closed)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
		t.Errorf("the descriptor is still open (%v)", err)
	}
}

func TestPeerAndTraffic(t *testing.T) {
	n := start(t, 1<<20)
	p := n.connect(false)
	p.send("hello\nspan 10000\n")
	p.expect("hello\n" + string(n.memory[:10000]))
	n.do(func() {
		if got, want := p.conn.Peer(), p.LocalAddr().String(); got != want {
			t.Errorf("peer %s, want %s", got, want)
		}
	})
	if received, sent := n.pool.Traffic(); received != 17 || sent != 10006 {
		t.Errorf("traffic %d, %d, want 17 bytes received, 10006 sent", received, sent)
	}
}
