package connpool

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Requests may be cut at any byte (legacy protocol spec §3.3).
func TestInputSplitAtEveryByte(t *testing.T) {
	n := start(t, 1<<20)
	const requests = "a\nbcd\n\nefghij\n"
	for cut := range len(requests) + 1 {
		p := n.connect(false)
		before := n.received()
		p.send(requests[:cut])
		n.until("the first piece", func() bool { return n.received() == before+uint64(cut) })
		p.send(requests[cut:])
		p.expect(requests)
		p.CloseWrite()
		p.expectEnd()
	}
}

func (n *node) received() uint64 {
	received, _ := n.pool.Traffic()
	return received
}

func TestInputByteByByte(t *testing.T) {
	n := start(t, 1<<20)
	p := n.connect(false)
	for _, b := range "one\ntwo\n" {
		before := n.received()
		p.send(string(b))
		n.until("the byte", func() bool { return n.received() == before+1 })
	}
	p.expect("one\ntwo\n")
}

// A request of any size is collected; the sizes are around those of the buffers.
func TestLargeRequests(t *testing.T) {
	n := start(t, 1<<20)
	p := n.connect(false)
	for _, size := range []int{4095, 4096, 4097, smallInput - 1, smallInput, smallInput + 1, 64 << 10, sharedInput - 1, sharedInput, sharedInput + 1, 1 << 20, 3 << 20} {
		request := line(size)
		p.send("before\n" + request + "after\n")
		want := long(request)
		if size <= 4<<10 {
			want = request
		}
		p.expect("before\n" + want + "after\n")
		n.holdsNothing(p)
	}
}

// holdsNothing checks that a connection with nothing to do has no buffer.
func (n *node) holdsNothing(p *peer) {
	n.t.Helper()
	n.until("an idle connection", func() bool { return p.conn.out.unsent == 0 })
	n.do(func() {
		if p.conn.in != nil {
			n.t.Errorf("idle, but holds an input buffer of %d bytes", cap(p.conn.in))
		}
		segments := p.conn.out.segments
		for _, s := range segments[:cap(segments)] {
			if s.owned != nil || s.bytes != nil {
				n.t.Errorf("idle, but holds output of %d bytes in a buffer of %d", len(s.bytes), cap(s.owned))
			}
		}
	})
}

// An input buffer grows with what has arrived and not with what is announced, and goes
// back to the pool.
func TestInputBufferGrowsAndReturns(t *testing.T) {
	n := start(t, 1<<20)
	p := n.connect(false)
	request := line(700 << 10)
	for sent := 0; sent < len(request)-1; {
		piece := min(50<<10, len(request)-1-sent)
		p.send(request[sent : sent+piece])
		sent += piece
		n.until("a piece", func() bool { return n.received() == uint64(sent) })
		n.do(func() {
			if got := cap(p.conn.in); got < sent || got > 4*sent {
				t.Errorf("after %d bytes: a buffer of %d, want at most four times as much as arrived", sent, got)
			}
		})
	}
	p.send("\n")
	p.expect(long(request))
	n.holdsNothing(p)
	n.do(func() {
		if free := len(n.pool.buffers.free[20]); free != 1 {
			t.Errorf("%d free buffers of 1 MiB, want the one that was used", free)
		}
	})
}

// A buffer that is larger than what is left in it by far is changed for a smaller one, and
// the small ones for incomplete requests are used again and again.
func TestInputBuffersShrinkAndReturn(t *testing.T) {
	n := start(t, 1<<20)
	p := n.connect(false)
	request := line(700 << 10)
	p.send(request + "begin")
	p.expect(long(request))
	total := uint64(len(request) + len("begin"))
	n.until("all of it", func() bool { return n.received() == total })
	n.do(func() {
		if got := cap(p.conn.in); got != 1<<minClass {
			t.Errorf("a buffer of %d for 5 bytes, want %d", got, 1<<minClass)
		}
	})
	for range 10 {
		p.send("ning\nbegin")
		total += 10
		n.until("the next piece", func() bool { return n.received() == total })
	}
	p.send("\n")
	p.expect(strings.Repeat("beginning\n", 10) + "begin\n")
	n.holdsNothing(p)
	n.do(func() {
		if got := len(n.pool.buffers.free[minClass]); got != 1 {
			t.Errorf("%d small buffers, want the same one every time", got)
		}
		checkPool(t, &n.pool.buffers)
	})
}

// The same when one read fills most of the buffer that is shared.
func TestConnectionsDoNotMixLargeReads(t *testing.T) {
	n := start(t, 1<<20)
	const size = 200 << 10
	var far [4]int
	request := func(i int) string { return strings.Repeat(string(rune('a'+i)), size) }
	n.do(func() {
		for i := range far {
			fd := n.open(&far[i])
			if _, err := unix.Write(far[i], []byte(request(i))); err != nil {
				t.Error(err)
			}
			n.pool.open[i].Ready(unix.EPOLLIN)
			if got := len(n.pool.open[i].in); got != size {
				t.Errorf("descriptor %d: %d bytes in one read, want %d", fd, got, size)
			}
		}
		for i := range far {
			if _, err := unix.Write(far[i], []byte("\n")); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range far {
		want := long(request(i) + "\n")
		var got []byte
		n.until("a reply", func() bool { got = drain(far[i], got); return len(got) >= len(want) })
		if string(got) != want {
			t.Errorf("connection %d: received %q, want %q", i, got, want)
		}
	}
}

// open opens a connection (on the loop) whose other end the test has as a descriptor that
// does not block.
func (n *node) open(far *int) (fd int) {
	near, other := socketpair(n.t)
	unix.SetsockoptInt(other, unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<20)
	fd, err := unix.Dup(near) // closed by the pool
	if err == nil {
		err = n.pool.Open(fd)
	}
	if err != nil {
		n.t.Error(err)
		return -1
	}
	n.opened++
	*far = other
	return fd
}

// All connections of a loop read to the same buffer, and buffers go from hand to hand:
// what one has not used up must not change under the hands of another.
func TestConnectionsDoNotMixTheirInput(t *testing.T) {
	n := start(t, 1<<20)
	random := rand.New(rand.NewPCG(1, 2))
	sizes := []int{1, 2, 100, 4 << 10, smallInput, 40 << 10, 300 << 10}
	type talk struct {
		*peer
		rest, want string
	}
	var talks []*talk
	for range 8 {
		k := &talk{peer: n.connect(false)}
		for range 10 {
			request := fmt.Sprintf("%d %s", random.Uint32(), line(1+random.IntN(sizes[random.IntN(len(sizes))])))
			k.rest += request
			if len(request) > 4<<10 {
				request = long(request)
			}
			k.want += request
		}
		talks = append(talks, k)
	}
	for left := len(talks); left > 0; {
		k := talks[random.IntN(len(talks))]
		if k.rest == "" {
			continue
		}
		piece := min(len(k.rest), 1+random.IntN(sizes[random.IntN(len(sizes))]))
		before := n.received()
		k.send(k.rest[:piece])
		n.until("a piece", func() bool { return n.received() == before+uint64(piece) })
		if k.rest = k.rest[piece:]; k.rest == "" {
			left--
		}
	}
	for _, k := range talks {
		k.expect(k.want)
		n.holdsNothing(k.peer)
	}
}

// While the input is paused requests wait, also those that come later.
func TestPause(t *testing.T) {
	n := start(t, 1<<20)
	p := n.connect(false)
	p.send("a\npause\nb\n")
	p.expect("a\npause\n")
	p.send("c")
	n.until("what is sent ahead", func() bool { return n.received() == 11 })
	p.send("\nd\n")
	n.until("what is sent ahead", func() bool { return n.received() == 14 })
	n.quiet(p.conn)
	n.do(func() {
		if got := strings.Join(p.session.received, ""); got != "a\npause\n" {
			t.Errorf("executed %q while paused, want only what came before", got)
		}
	})
	n.resume(p)
	p.expect("b\nc\nd\n")
	n.holdsNothing(p)
}

func (n *node) resume(p *peer) {
	n.do(func() {
		p.conn.Resume()
		p.conn.Continue()
	})
}

// A peer may send only so much ahead; the rest waits in its socket.
func TestPausedInputIsBounded(t *testing.T) {
	n := start(t, 1<<20)
	p := n.connect(false)
	p.send("pause\n")
	p.expect("pause\n")
	const requests = 1000
	request := line(4000)
	sent := make(chan error)
	go func() {
		_, err := p.Write([]byte(strings.Repeat(request, requests)))
		sent <- err
	}()
	n.until("enough sent ahead", func() bool { return p.conn.watched == unix.EPOLLRDHUP })
	n.quiet(p.conn)
	n.do(func() {
		if got := len(p.conn.in); got < pausedInput || got > pausedInput+sharedInput {
			t.Errorf("holds %d bytes sent ahead, want %d and at most one read more", got, pausedInput)
		}
	})
	n.resume(p)
	p.expect(strings.Repeat(request, requests))
	if err := <-sent; err != nil {
		t.Error(err)
	}
	n.holdsNothing(p)
}

// A half-close during a pause tells the session, which goes on with what came before it.
func TestEndOfInputWhilePaused(t *testing.T) {
	for _, test := range []struct {
		rule  string
		ahead string
		ends  int
		want  string
	}{
		{"nothing behind the pause", "", 1, ""},
		{"complete requests behind it are executed", "a\nb\n", 1, "a\nb\n"},
		{"an incomplete request has no effect", "a\nb", 1, "a\n"},
		{"another pause behind it ends as well", "a\npause\nb\n", 2, "a\npause\nb\n"},
		{"many pauses", strings.Repeat("pause\n", 30), 31, strings.Repeat("pause\n", 30)},
		{"more than is read ahead", strings.Repeat(line(4000), 30), 1, strings.Repeat(line(4000), 30)},
		{"more than is read ahead, and pauses", strings.Repeat("pause\n"+line(4000), 30), 31, strings.Repeat("pause\n"+line(4000), 30)},
	} {
		t.Run(test.rule, func(t *testing.T) {
			n := start(t, 1<<20)
			p := n.connect(false)
			p.send("pause\n")
			p.expect("pause\n")
			go func() {
				p.Write([]byte(test.ahead))
				p.CloseWrite()
			}()
			p.expect(test.want)
			p.expectEnd()
			n.until("the connection to be gone", func() bool { return n.pool.Len() == 0 })
			n.do(func() {
				if p.session.ends < 1 || p.session.ends > test.ends {
					t.Errorf("EndOfInput called %d times, want once a pause: at most %d", p.session.ends, test.ends)
				}
			})
		})
	}
}

// What waited behind a pause is executed although the peer sends no more, also when its
// replies have to wait for room in the output.
func TestEndOfInputWithFullOutput(t *testing.T) {
	n := start(t, 8<<10)
	p := n.connect(true)
	const requests = 100
	p.send("pause\n" + strings.Repeat("span 5000\n", requests))
	p.CloseWrite()
	n.until("the output to be full", func() bool { return p.conn.ended && p.conn.OutputFull() })
	n.quiet(p.conn)
	p.expect("pause\n" + strings.Repeat(string(n.memory[:5000]), requests))
	p.expectEnd()
}

// Without a pause the session is not told: what it has is executed, then it is closed.
func TestHalfClose(t *testing.T) {
	for _, test := range []struct{ rule, requests, want string }{
		{"between requests", "a\nb\n", "a\nb\n"},
		{"inside a request", "a\nb", "a\n"},
		{"before the first request", "", ""},
	} {
		t.Run(test.rule, func(t *testing.T) {
			n := start(t, 1<<20)
			p := n.connect(false)
			p.send(test.requests)
			p.CloseWrite()
			p.expect(test.want)
			p.expectEnd()
			n.until("the connection to be gone", func() bool { return n.pool.Len() == 0 })
			n.do(func() {
				if p.session.ends != 0 {
					t.Errorf("EndOfInput called %d times, want 0", p.session.ends)
				}
			})
		})
	}
}

// Swallow drops exactly that many bytes, however they are cut, then the peer sees an
// orderly end.
func TestSwallow(t *testing.T) {
	const size = 100
	for _, test := range []struct {
		rule   string
		pieces []string
	}{
		{"nothing of it with the request", []string{"swallow 100\n", strings.Repeat("\n", size-1), "\n"}},
		{"a part with the request", []string{"swallow 100\n" + strings.Repeat("x", 40), strings.Repeat("x", 59), "x"}},
		{"all but one with the request", []string{"swallow 100\n" + strings.Repeat("x", 99), "x"}},
		{"all with the request", []string{"swallow 100\n" + strings.Repeat("x", 100)}},
		{"more with the request", []string{"swallow 100\n" + strings.Repeat("x", 100) + "y\n"}},
		{"more with the last piece", []string{"swallow 100\n", strings.Repeat("x", 99), "xy\n"}},
	} {
		t.Run(test.rule, func(t *testing.T) {
			n := start(t, 1<<20)
			p := n.connect(false)
			p.send("a\n")
			p.expect("a\n")
			total := uint64(2)
			for i, piece := range test.pieces {
				p.send(piece)
				total += uint64(len(piece))
				n.until("a piece", func() bool { return n.received() == total })
				if last := i == len(test.pieces)-1; !last {
					n.do(func() {
						if p.conn.Closing() || p.conn.in != nil {
							t.Errorf("after piece %d: closing %v, %d bytes kept, want it open and nothing kept", i, p.conn.Closing(), len(p.conn.in))
						}
					})
					n.quiet(p.conn)
				}
			}
			p.expectEnd()
			n.do(func() {
				if got := strings.Join(p.session.received, ""); got != "a\nswallow 100\n" {
					t.Errorf("executed %q, want nothing behind the swallow", got)
				}
			})
		})
	}
}

// What is to be swallowed without end costs no memory.
func TestSwallowKeepsNothing(t *testing.T) {
	n := start(t, 1<<20)
	p := n.connect(false)
	p.send("swallow 1000000000000\n")
	chunk := strings.Repeat("\n", 1<<20)
	for range 20 {
		p.send(chunk)
	}
	n.until("20 MiB", func() bool { return n.received() == 22+20<<20 })
	n.holdsNothing(p)
	p.CloseWrite()
	p.expectEnd()
}
