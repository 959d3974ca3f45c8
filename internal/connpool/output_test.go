package connpool

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// socketpair returns two connected sockets with little buffers; none of them blocks.
func socketpair(t testing.TB) (near, far int) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(pair[0])
		unix.Close(pair[1])
	})
	unix.SetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_SNDBUF, 8<<10)
	return pair[0], pair[1]
}

// drain reads what is there.
func drain(fd int, got []byte) []byte {
	for {
		var b [64 << 10]byte
		n, err := unix.Read(fd, b[:])
		if n <= 0 || err != nil {
			return got
		}
		got = append(got, b[:n]...)
	}
}

// Output of all kinds arrives in order and is counted exactly, whatever the socket takes
// at a time, and every buffer goes back to the pool.
func TestOutputAgainstModel(t *testing.T) {
	for seed := range uint64(5) {
		random := rand.New(rand.NewPCG(seed, 0))
		near, far := socketpair(t)
		o := output{memory: NewMemory(0, 0, 0)}
		var pool buffers
		var appended, got []byte
		memory := make([]byte, 200<<10)
		for i := range memory {
			memory[i] = byte(random.Uint32())
		}
		dropped := 0
		piece := func(most int) []byte {
			size := random.IntN(most)
			at := random.IntN(len(memory) - size)
			return memory[at : at+size]
		}
		for step := range 3000 {
			switch random.IntN(6) {
			case 0, 1:
				b := piece(1000)
				o.appended(append(o.buffer(len(b), &pool), b...))
				appended = append(appended, b...)
			case 2:
				o.appended(o.buffer(random.IntN(40<<10), &pool)) // nothing
			case 3:
				if b := piece(60 << 10); len(b) > 0 {
					o.span(b)
					appended = append(appended, b...)
				}
			case 4:
				before := o.sent
				n, err := o.send(near, 1<<30, &pool)
				if err != nil || o.sent != before+uint64(n) {
					t.Fatalf("seed %d step %d: sent %d, %v; counted %d, want %d", seed, step, n, err, o.sent, before+uint64(n))
				}
			case 5:
				got = drain(far, got)
				if random.IntN(200) == 0 {
					dropped++
					appended = appended[:o.sent]
					o.drop(&pool)
				}
			}
			if want := len(appended) - int(o.sent); o.unsent != want {
				t.Fatalf("seed %d step %d: unsent %d, want %d", seed, step, o.unsent, want)
			}
		}
		for o.unsent > 0 {
			if _, err := o.send(near, 1<<30, &pool); err != nil {
				t.Fatal(err)
			}
			got = drain(far, got)
		}
		got = drain(far, got)
		if !bytes.Equal(got, appended) {
			t.Fatalf("seed %d: received %d bytes, want the %d that were appended (%d drops)", seed, len(got), len(appended), dropped)
		}
		checkPool(t, &pool)
		checkEmpty(t, &o)
	}
}

// checkPool checks that the free buffers are different, empty, in their classes, and
// counted.
func checkPool(t *testing.T, pool *buffers) {
	t.Helper()
	seen := map[*byte]bool{}
	retained := 0
	for class, free := range pool.free {
		for _, b := range free {
			if len(b) != 0 || cap(b) != 1<<class {
				t.Errorf("class %d has a buffer with %d of %d bytes used", class, len(b), cap(b))
			}
			if first := &b[:1][0]; seen[first] {
				t.Errorf("class %d has a buffer twice", class)
			} else {
				seen[first] = true
			}
			retained += cap(b)
		}
	}
	if retained != pool.retained || retained > maxRetained {
		t.Errorf("%d bytes are free, counted %d, want at most %d", retained, pool.retained, maxRetained)
	}
}

func checkEmpty(t *testing.T, o *output) {
	t.Helper()
	if len(o.segments) != 0 || o.first != 0 || o.unsent != 0 {
		t.Errorf("%d segments, first %d, unsent %d, want nothing", len(o.segments), o.first, o.unsent)
	}
	for _, s := range o.segments[:cap(o.segments)] {
		if s.bytes != nil || s.owned != nil {
			t.Errorf("a segment that is gone still refers to %d bytes", cap(s.owned)+len(s.bytes))
		}
	}
}

func TestSentBuffersReturn(t *testing.T) {
	near, _ := socketpair(t)
	o := output{memory: NewMemory(0, 0, 0)}
	var pool buffers
	o.appended(append(o.buffer(5, &pool), "hello"...))
	if n, err := o.send(near, 1<<30, &pool); n != 5 || err != nil {
		t.Fatalf("sent %d, %v, want 5", n, err)
	}
	checkEmpty(t, &o)
	checkPool(t, &pool)
	if pool.retained != replyBuffer {
		t.Errorf("%d bytes are free, want the buffer of %d", pool.retained, replyBuffer)
	}
}

// Output that is never empty, because the peer reads a little slower than the node
// writes, needs no more memory than what is unsent.
func TestOutputThatNeverDrains(t *testing.T) {
	near, far := socketpair(t)
	o := output{memory: NewMemory(0, 0, 0)}
	var pool buffers
	record := make([]byte, 5000)
	var received []byte
	for range 5_000 {
		for o.unsent < 100*len(record) {
			o.span(record)
		}
		if _, err := o.send(near, 1<<30, &pool); err != nil {
			t.Fatal(err)
		}
		received = drain(far, received[:0])
		if o.unsent == 0 {
			t.Fatal("the output is empty")
		}
	}
	if got := cap(o.segments); got > 1000 {
		t.Errorf("room for %d segments, although at most 101 were needed", got)
	}
	o.drop(&pool)
	checkEmpty(t, &o)
}

func TestBuffers(t *testing.T) {
	for _, test := range []struct{ want, capacity int }{
		{1, 1 << minClass}, {1 << minClass, 1 << minClass}, {1<<minClass + 1, 1 << (minClass + 1)},
		{16 << 10, 16 << 10}, {1<<maxClass - 1, 1 << maxClass}, {1 << maxClass, 1 << maxClass}, {1<<maxClass + 1, 2 << maxClass},
	} {
		var pool buffers
		b := pool.get(test.want)
		if len(b) != 0 || cap(b) != test.capacity {
			t.Errorf("get(%d): got %d of %d bytes, want 0 of %d", test.want, len(b), cap(b), test.capacity)
		}
		pool.put(append(b, 'x'))
		if large := test.capacity > 1<<maxClass; (pool.retained == 0) != large {
			t.Errorf("after put of %d bytes: retained %d, large ones are to be left to the collector", cap(b), pool.retained)
		}
		again := pool.get(test.want)
		if len(again) != 0 || cap(again) != test.capacity || pool.retained != 0 {
			t.Errorf("second get(%d): got %d of %d bytes, %d retained, want 0 of %d, 0", test.want, len(again), cap(again), pool.retained, test.capacity)
		}
	}
	var pool buffers
	pool.put(nil)
	pool.put(make([]byte, 0, 100)) // too small for any class
	var taken [][]byte
	for range 10 {
		taken = append(taken, pool.get(1<<maxClass))
	}
	for _, b := range taken {
		pool.put(b)
	}
	checkPool(t, &pool)
	if pool.retained != maxRetained {
		t.Errorf("retained %d bytes of %d given back, want %d", pool.retained, 10<<maxClass, maxRetained)
	}
}

// A peer that does not read holds a bounded amount of output; nothing is read from it
// and no request executed meanwhile. When it reads, it gets every reply in order.
func TestBackPressure(t *testing.T) {
	const limit, size, requests = 64 << 10, 5000, 2000
	n := start(t, limit)
	p := n.connect(true)
	all := strings.Repeat(fmt.Sprintf("span %d\nmark\n", size), requests)
	sent := make(chan error, 1)
	go func() {
		_, err := p.Write([]byte(all))
		sent <- err
	}()
	n.until("the output to be full", func() bool { return p.conn.OutputFull() && p.conn.watched == unix.EPOLLOUT })
	n.quiet(p.conn)
	n.do(func() {
		if _, unsent := p.conn.Progress(); unsent < limit || unsent > limit+size {
			t.Errorf("unsent %d bytes, want %d and at most one reply more", unsent, limit)
		}
		if done := len(p.session.received); done >= 2*requests {
			t.Errorf("%d requests executed, want less than all", done)
		}
		if got, most := n.received(), uint64(sharedInput); got > most {
			t.Errorf("%d bytes read, want at most %d", got, most)
		}
	})
	reply := string(n.memory[:size]) + "mark\n"
	for range requests {
		p.expect(reply)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
	n.holdsNothing(p)
	n.do(func() {
		if got, _ := p.conn.Progress(); got != requests*uint64(len(reply)) {
			t.Errorf("progress %d bytes, want %d", got, requests*len(reply))
		}
		checkPool(t, &n.pool.buffers)
	})
}

// A peer that half-closes after complete requests gets all replies, also those that had
// to wait for room in the output.
func TestHalfCloseWithFullOutput(t *testing.T) {
	n := start(t, 8<<10)
	p := n.connect(true)
	const requests = 100
	p.send(strings.Repeat("span 5000\n", requests))
	p.CloseWrite()
	n.until("the output to be full", func() bool { return p.conn.OutputFull() })
	p.expect(strings.Repeat(string(n.memory[:5000]), requests))
	p.expectEnd()
}

// So does one that half-closes inside what is swallowed.
func TestHalfCloseInsideSwallow(t *testing.T) {
	for _, requests := range []int{1, 100} {
		n := start(t, 8<<10)
		p := n.connect(true)
		p.send(strings.Repeat("span 5000\n", requests) + "swallow 1000\nxx")
		p.CloseWrite()
		n.until("the first requests", func() bool { return len(p.session.received) > 0 })
		p.expect(strings.Repeat(string(n.memory[:5000]), requests))
		p.expectEnd()
	}
}

// untilBoth waits, on the loop, until the socket is readable and writable at once.
func (n *node) untilBoth(p *peer) {
	n.t.Helper()
	poll := []unix.PollFd{{Fd: int32(p.conn.fd), Events: unix.POLLIN | unix.POLLOUT}}
	for poll[0].Revents != unix.POLLIN|unix.POLLOUT {
		if _, err := unix.Poll(poll, 1000); err != nil && err != unix.EINTR {
			n.t.Error(err)
			return
		}
	}
}

// When a socket is readable and writable at once, and the session fills the output as
// soon as it is told that something was sent, the input waits. It is no reason to end
// the connection.
func TestReadableWhileTheOutputFills(t *testing.T) {
	const limit = 16 << 10
	n := start(t, limit)
	p := n.connect(true)
	// Leave a little output that the socket does not take.
	n.do(func() {
		for p.conn.out.unsent == 0 {
			p.conn.Write(n.memory[:5000])
			p.conn.Flush()
		}
		p.conn.Continue()
		if p.conn.watched != unix.EPOLLIN|unix.EPOLLOUT {
			t.Errorf("watches %#x, want input and output", p.conn.watched)
		}
	})
	n.do(func() {
		p.session.sent = func() {
			p.session.sent = nil
			p.conn.Write(n.memory[:1<<20])
		}
		before, _ := p.conn.Progress()
		unsent := p.conn.OutputEnd() - before
		p.send("late\n")
		p.expectBytes(n, before) // which makes room
		n.untilBoth(p)
		if unsent == 0 {
			t.Error("nothing unsent")
		}
	})
	n.until("the output to fill", func() bool { return p.conn.OutputFull() || n.pool.Len() == 0 })
	n.do(func() {
		if n.pool.Len() != 1 {
			t.Error("the connection was dropped")
		}
	})
	p.skipUntil("late\n")
}

// Nor is it the end of the input if the session pauses just then.
func TestReadableWhileTheSessionPauses(t *testing.T) {
	n := start(t, 1<<20)
	p := n.connect(true)
	n.do(func() {
		for p.conn.out.unsent == 0 {
			p.conn.Write(n.memory[:5000])
			p.conn.Flush()
		}
		p.conn.Continue()
	})
	p.send(line(100_000)[:90_000])
	n.until("a part of a request", func() bool { return len(p.conn.in) == 90_000 })
	n.do(func() {
		p.session.sent = p.conn.Pause
		before, _ := p.conn.Progress()
		p.send("x")
		p.expectBytes(n, before)
		n.untilBoth(p)
	})
	n.until("the pause", func() bool { return p.conn.watched == unix.EPOLLRDHUP || p.session.ends > 0 })
	n.do(func() {
		if p.session.ends > 0 {
			t.Error("EndOfInput called, want the input to wait")
		}
	})
}

// expectBytes reads that many bytes.
func (p *peer) expectBytes(n *node, count uint64) {
	got := make([]byte, count)
	for read := 0; read < len(got); {
		k, err := p.Read(got[read:])
		if err != nil {
			n.t.Errorf("after %d of %d bytes: %v", read, count, err)
			return
		}
		read += k
	}
}

// skipUntil reads until something ends with that text.
func (p *peer) skipUntil(text string) {
	p.node.t.Helper()
	var got []byte
	for b := make([]byte, 64<<10); !bytes.HasSuffix(got, []byte(text)); {
		n, err := p.Read(b)
		if err != nil {
			p.node.t.Fatalf("after %d bytes: %v, want %q", len(got), err, text)
		}
		got = append(got, b[:n]...)
	}
}

// Requests that wait because the output is full are executed when there is room, also if
// the peer reads everything at the very moment in which the node finds its socket full.
func TestOutputDrainsWhileItIsFull(t *testing.T) {
	n := start(t, 4<<10)
	var far int
	var got []byte
	var requests strings.Builder
	total := 0
	for size := 1000; size <= 50_000; size += 1000 { // one of them is a little too much for the socket
		fmt.Fprintf(&requests, "span %d\n", size)
		total += size
	}
	n.do(func() {
		n.open(&far)
		s := n.pool.open[0].session.(*lines)
		s.sent = func() { got = drain(far, got) }
		if _, err := unix.Write(far, []byte(requests.String())); err != nil {
			t.Error(err)
		}
	})
	n.until("all replies", func() bool {
		got = drain(far, got)
		return len(got) == total
	})
}

// After output was dropped nothing is sent any more: it would be taken for what was
// dropped. Input is still received.
func TestDropOutput(t *testing.T) {
	n := start(t, 1<<20)
	p := n.connect(true)
	var sent uint64
	n.do(func() {
		p.conn.DropOutput() // nothing, which changes nothing
		p.conn.Write(n.memory[:1<<20])
		p.conn.Flush()
		p.conn.DropOutput()
		p.conn.Write(n.memory[:10_000])
		p.conn.Write(n.memory[:10])
		p.conn.Continue()
		var unsent int
		sent, unsent = p.conn.Progress()
		if unsent != 0 || p.conn.OutputEnd() <= sent+10_010 {
			t.Errorf("unsent %d, end %d of %d sent, want nothing to send and an end that is not reached", unsent, p.conn.OutputEnd(), sent)
		}
	})
	p.send("a\n")
	n.until("the request", func() bool { return len(p.session.received) == 1 })
	p.CloseWrite()
	p.expect(string(n.memory[:sent]))
	p.expectEnd()
	next := n.connect(false)
	if next.conn != p.conn {
		t.Fatal("the handler is not used again")
	}
	next.send("a\n")
	next.expect("a\n")
}

// Much that is to be sent leaves in several goes, so that others have their turn in between.
func TestMuchIsSentInParts(t *testing.T) {
	var pool buffers
	o := output{memory: NewMemory(0, 0, 0)}
	near, far := socketpair(t)
	o.span(make([]byte, 10_000))
	for _, want := range []int{4000, 4000, 2000, 0} {
		if n, err := o.send(near, 4000, &pool); n != want || err != nil {
			t.Fatalf("sent %d bytes, error %v, want %d", n, err, want)
		}
	}
	if n, err := unix.Read(far, make([]byte, 20_000)); n != 10_000 || err != nil {
		t.Errorf("received %d bytes, error %v, want 10000", n, err)
	}
}
