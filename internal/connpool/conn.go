package connpool

import (
	"math"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/listener"
)

// Session is the protocol side of a connection: it turns input into output. All its
// methods are called on the loop of the connection.
type Session interface {
	// Opened tells that the session is for a new connection from now on.
	Opened()
	// Receive executes the complete requests at the start of in, appends the replies
	// with Buffer and Appended, and returns how many bytes it used up. It returns early
	// once the output is full, the input paused or the connection closed. in is valid
	// during the call only.
	Receive(in []byte) int
	// Sent tells that bytes were handed to the kernel: see Conn.Progress.
	Sent()
	// EndOfInput tells, while the input is paused, that the peer will send no more.
	// The session resumes the input: what arrived before is still received.
	EndOfInput()
	// Closed tells that the connection is gone; Conn.Progress still says how far the
	// output got. Later the session serves another connection.
	Closed()
}

// Conn is the handler of one connection. The methods are for its session, on its loop.
type Conn struct {
	pool    *Pool
	session Session
	fd      int    // -1 once the connection is gone
	index   int    // in pool.open
	id      uint64 // see Info
	opened  time.Time
	watched listener.Events // what the loop watches the socket for

	in      []byte    // received and not used up, in a pooled buffer; nil = none
	began   time.Time // when the unfinished request in it was begun
	active  time.Time // when the peer last sent something
	held    int       // bytes of input that the session keeps
	charged int       // bytes for which Memory accounts
	swallow uint64    // bytes to drop before the connection is closed

	received uint64 // bytes
	out      output
	cut      bool // see DropOutput

	turn    int  // work left of it
	waiting bool // for the next turn
	greedy  bool // see turn.go

	stalled  bool // in line for memory
	favoured bool // goes on without

	paused   bool // the session takes no input
	withheld bool // nor does it, and nothing is sent: see withhold.go
	blocked  bool // nor does it until something is done elsewhere: see block.go
	hungUp   bool // the connection broke meanwhile
	ended    bool // the peer will send no more
	closing  bool // what is to be sent still is, then the connection ends
	finSent  bool
	timer    *listener.Timer // bounds closing
}

const (
	// pausedInput is how many bytes a peer may send ahead while its input is paused.
	pausedInput = 64 << 10
	// copyLimit is the most that is copied to a buffer rather than sent from its place.
	copyLimit = 4 << 10
	// minSend is how many bytes are sent even when a turn is over.
	minSend = 32 << 10
	// smallInput is the most unused input that is moved to the shared buffer for the
	// next read; behind more than that the next read goes in place.
	smallInput = 16 << 10
	// closeTimeout is how long the peer may take to accept the last output.
	closeTimeout = 30 * time.Second
	// lingerTimeout is how long we wait for the peer to close as well: if we closed
	// first and more input came, the kernel would reset the connection, and the peer
	// could lose the last replies.
	lingerTimeout = 2 * time.Second
)

// Loop returns the loop of the connection.
func (c *Conn) Loop() *listener.Loop { return c.pool.loop }

// Buffer returns a slice to append output to, with room for at least that many bytes.
// Hand the result to Appended before anything else is done with the connection.
func (c *Conn) Buffer(room int) []byte { return c.out.buffer(room, &c.pool.buffers) }

// Appended takes over a slice from Buffer with output appended to it.
func (c *Conn) Appended(b []byte) {
	if !c.cut {
		c.out.appended(b)
	}
}

// Write appends memory that does not change until it is sent: a little is copied, much
// is sent from where it is.
func (c *Conn) Write(b []byte) {
	if len(b) <= copyLimit {
		c.Appended(append(c.Buffer(len(b)), b...))
	} else if !c.cut {
		c.out.span(b)
	}
}

// OutputEnd returns the number of bytes appended since the connection was opened, which
// no progress reaches once the output is cut.
func (c *Conn) OutputEnd() uint64 {
	if c.cut {
		return math.MaxUint64
	}
	return c.out.sent + uint64(c.out.unsent)
}

// Progress returns the number of bytes handed to the kernel since the connection was
// opened, and the number still to be sent.
func (c *Conn) Progress() (sent uint64, unsent int) { return c.out.sent, c.out.unsent }

// Acknowledged returns the number of bytes of the output that the system of the peer has
// acknowledged: unlike those handed to the kernel, they have arrived. If that can't be found
// out it is 0.
func (c *Conn) Acknowledged() uint64 {
	inFlight, err := unix.IoctlGetInt(c.fd, unix.SIOCOUTQ)
	if err != nil {
		return 0
	}
	if c.finSent && inFlight > 0 {
		inFlight-- // the FIN counts
	}
	return c.out.sent - min(c.out.sent, uint64(inFlight))
}

// OutputFull reports that so much output waits that no request should be executed.
func (c *Conn) OutputFull() bool {
	return c.out.unsent >= c.pool.options.OutputBuffer ||
		c.out.owned > smallOutput && c.pool.memory.outputScarce()
}

// Closing reports that the connection takes no more requests.
func (c *Conn) Closing() bool { return c.closing || c.fd < 0 }

// Pause stops handing input to the session. A little more is still read, to notice its
// end.
func (c *Conn) Pause() { c.paused = true }

// Resume ends Pause.
func (c *Conn) Resume() { c.paused = false }

// Swallow drops the next bytes of input, counted from those that the current call of
// Receive does not use up, and closes the connection after them.
func (c *Conn) Swallow(bytes uint64) { c.swallow = bytes }

// DropOutput forgets what has been appended and not been sent. If that is anything, the
// output is cut: what is appended later would not fit to what the peer has got, and is
// not sent either.
func (c *Conn) DropOutput() {
	c.cut = c.cut || c.out.unsent > 0
	c.out.drop(&c.pool.buffers)
}

// Peer returns the address of the peer, for messages.
func (c *Conn) Peer() string {
	address, err := unix.Getpeername(c.fd)
	if in4, ok := address.(*unix.SockaddrInet4); ok && err == nil {
		return netip.AddrPortFrom(netip.AddrFrom4(in4.Addr), uint16(in4.Port)).String()
	}
	return "unknown"
}

// Close ends the connection in order: what has been appended is sent, then the peer sees
// the end of the stream. Input is dropped from now on.
func (c *Conn) Close() {
	if c.Closing() {
		return
	}
	c.closing = true
	c.timer = c.Loop().After(closeTimeout, listener.TaskFunc(c.drop))
}

// Flush sends as much as the socket takes, without telling Session.Sent. It reports
// false if the connection has turned out to be broken; then it is gone.
func (c *Conn) Flush() bool {
	if c.fd < 0 || c.withheld {
		return c.fd >= 0
	}
	n, err := c.out.send(c.fd, max(c.turn*Unit, minSend), &c.pool.buffers)
	c.pool.sent.Add(uint64(n))
	c.Work(n / Unit)
	if err != nil {
		c.drop()
		return false
	}
	return true
}

// Continue goes on after something has changed outside of the session's callbacks: it
// hands over input that waited, sends output, and watches the socket for what is of
// interest now.
func (c *Conn) Continue() {
	if c.fd < 0 {
		return
	}
	c.StartTurn()
	c.receiveWaiting()
	c.settle()
}

// Ready implements listener.Handler.
func (c *Conn) Ready(events listener.Events) {
	c.StartTurn()
	if events&unix.EPOLLOUT != 0 {
		c.Continue()
	}
	const input = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	if c.fd < 0 || events&input == 0 {
		return
	}
	switch {
	case c.waiting:
		// Its turn comes.
	case c.blocked && !c.closing && events&(unix.EPOLLHUP|unix.EPOLLERR) != 0:
		c.hangUp()
	case c.watched&unix.EPOLLIN != 0 && c.greedy && !c.alone():
		c.later()
	case c.watched&unix.EPOLLIN != 0:
		// Even after a reset there may be requests that arrived before it.
		c.read()
	case events&unix.EPOLLERR != 0:
		c.drop()
	case events&(unix.EPOLLRDHUP|unix.EPOLLHUP) == 0:
		// There is input, but Continue has just found that it must wait.
	case c.watched&unix.EPOLLRDHUP != 0:
		c.endPause() // with input unread, which is received next
	case events&unix.EPOLLHUP != 0:
		c.drop()
	}
	c.settle()
}

// read receives what one system call gives, and the turn allows.
func (c *Conn) read() {
	if c.closing || c.swallow > 0 {
		c.discard()
		return
	}
	most := max(minTurn, c.turn/2) * Unit // the other half is for what it asks for
	if c.pool.memory.scarce(smallRead) {
		if c.stall(smallRead) {
			return
		}
		if !c.favoured {
			most = smallRead
		}
	}
	if len(c.in) > smallInput && len(c.in) == cap(c.in) && c.stall(cap(c.in)) {
		return
	}
	in := c.inputBuffer()
	room := in[len(in):min(cap(in), len(in)+most)]
	n, errno := read(c.fd, room)
	c.greedy = n == len(room)
	if !c.greedy && n <= smallRead {
		c.Loop().WantsLittle(c)
	}
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
		c.keep(in, in)
	case errno != 0:
		c.keep(in, nil)
		c.drop()
	case n == 0:
		c.keep(in, in)
		c.ended = true
	default:
		c.count(n)
		c.active = c.Loop().Now()
		c.Work(n / Unit)
		in = in[:len(in)+n]
		c.keep(in, c.receive(in))
	}
	if c.greedy && !c.alone() && c.fd >= 0 {
		c.later()
	}
}

// discard drops input that nobody wants: it is not even copied.
func (c *Conn) discard() {
	most := uint64(max(minTurn, c.turn) * Unit)
	if c.swallow > 0 {
		most = min(most, c.swallow)
	}
	n, errno := skip(c.fd, int(most))
	switch {
	case errno == unix.EAGAIN || errno == unix.EINTR:
	case errno != 0:
		c.drop()
	case n == 0:
		c.ended = true
	default:
		c.count(n)
		if c.swallow > 0 {
			c.swallowed(uint64(n))
		}
	}
}

// count counts bytes that were received.
func (c *Conn) count(n int) {
	c.received += uint64(n)
	c.pool.received.Add(uint64(n))
}

// swallowed counts bytes that were to be dropped, and closes the connection after the last.
func (c *Conn) swallowed(n uint64) {
	if c.swallow -= n; c.swallow == 0 {
		c.Close()
	}
}

// inputBuffer returns the buffer for the next read, which starts with the unused input.
// Most of the time that is the shared buffer of the loop, so that a connection which
// waits for a request holds no buffer. A buffer of its own doubles as it fills.
func (c *Conn) inputBuffer() []byte {
	in := c.in
	c.in = nil
	if len(in) <= smallInput {
		shared := append(c.pool.shared[:0], in...)
		c.pool.buffers.put(in)
		return shared
	}
	if len(in) == cap(in) {
		return c.pool.buffers.grow(in)
	}
	return in
}

// keep saves the unused rest of an input buffer for later.
func (c *Conn) keep(in, rest []byte) {
	shared := cap(in) > 0 && &in[:1][0] == &c.pool.shared[:1][0]
	if len(rest) < len(in) || c.charged == 0 {
		c.began = c.Loop().Now()
	}
	switch {
	case len(rest) == 0 || c.fd < 0:
		if !shared {
			c.pool.buffers.put(in)
		}
	case shared || len(rest) <= cap(in)/4:
		room := 2 * len(rest)
		if c.pool.memory.scarce(room) {
			room = len(rest)
		}
		c.in = append(c.pool.buffers.get(room), rest...)
		if !shared {
			c.pool.buffers.put(in)
		}
	case len(rest) == len(in):
		c.in = in
	default:
		c.in = in[:copy(in, rest)]
	}
	c.charge()
}

// receiveWaiting hands over input that waited.
func (c *Conn) receiveWaiting() {
	in := c.in
	c.in = nil
	c.keep(in, c.receive(in))
}

// receive hands input to the session and sends the replies. It returns what is left of
// the input: an incomplete request, or requests that have to wait until the session
// resumes the input or the socket takes output, which is then still full.
func (c *Conn) receive(in []byte) (rest []byte) {
	if !c.flush() {
		return nil
	}
	for full := true; full && len(in) > 0 && !c.inputBlocked(); {
		in = in[c.session.Receive(in):]
		full = c.OutputFull()
		if !c.flush() {
			return nil
		}
	}
	if c.swallow > 0 && len(in) > 0 {
		n := min(c.swallow, uint64(len(in)))
		in = in[n:]
		c.swallowed(n)
	}
	if c.closing {
		return nil
	}
	if c.turn <= 0 && len(in) > 0 && !c.inputBlocked() {
		c.greedy = true
		c.later()
	}
	return in
}

func (c *Conn) inputBlocked() bool {
	return c.paused || c.withheld || c.blocked || c.waiting || c.closing || c.swallow > 0 || c.OutputFull()
}

// flush sends and tells the session.
func (c *Conn) flush() bool {
	before := c.out.sent
	if !c.Flush() {
		return false
	}
	if c.out.sent != before {
		c.session.Sent()
	}
	return c.fd >= 0
}

// endPause ends a pause, if there is one, because the peer has closed its side. It
// reports whether there was one.
func (c *Conn) endPause() bool {
	if !c.paused || c.blocked || c.Closing() {
		return false
	}
	c.session.EndOfInput()
	c.receiveWaiting()
	return true
}

// settle ends what is over and watches for the rest.
func (c *Conn) settle() {
	for c.ended && c.endPause() {
		// A request that waited may have paused the input again.
	}
	if c.fd < 0 {
		return
	}
	if c.ended && !c.waiting && !c.withheld && !c.blocked && (c.swallow > 0 || !c.OutputFull()) {
		c.Close() // the rest of the input, if any, is no whole request
	}
	if c.closing && c.out.unsent == 0 && !c.withheld {
		if c.ended {
			c.drop()
			return
		}
		c.sendFIN()
	}
	c.watch()
}

func (c *Conn) sendFIN() {
	if c.finSent {
		return
	}
	c.finSent = true
	unix.Shutdown(c.fd, unix.SHUT_WR)
	c.Loop().StopTimer(c.timer)
	c.timer = c.Loop().After(lingerTimeout, listener.TaskFunc(c.drop))
}

// inputWanted tells that it is time to read.
func (c *Conn) inputWanted() bool {
	switch {
	case c.ended, c.waiting:
		return false
	case c.closing, c.swallow > 0:
		return true
	case c.stalled, c.withheld, c.blocked:
		return false
	case c.paused:
		return len(c.in) < pausedInput
	}
	return !c.OutputFull()
}

// watch makes the loop watch the socket for what is of interest.
func (c *Conn) watch() {
	var events listener.Events
	switch {
	case c.inputWanted():
		events = unix.EPOLLIN
	case c.paused && !c.ended && !c.waiting && !c.stalled:
		events = unix.EPOLLRDHUP
	}
	if c.out.unsent > 0 && !c.withheld {
		events |= unix.EPOLLOUT
	}
	if events == c.watched {
		return
	}
	c.watched = events
	if c.hungUp {
		return
	}
	if err := c.Loop().Modify(c.fd, events); err != nil {
		c.drop()
	}
}

func (c *Conn) close() {
	c.pool.options.Closed(c.Loop(), c.fd)
	unix.Close(c.fd)
	c.fd = -1
}

// drop ends the connection at once.
func (c *Conn) drop() {
	if c.fd < 0 {
		return
	}
	c.session.Closed()
	c.Loop().StopTimer(c.timer)
	c.Loop().Unregister(c.fd)
	c.close()
	c.out.drop(&c.pool.buffers)
	c.pool.buffers.put(c.in)
	c.in, c.held = nil, 0
	c.withheld = false
	c.charge()
	if c.stalled {
		c.pool.memory.leave(c)
	}
	c.pool.release(c)
}
