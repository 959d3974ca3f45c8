package main

import (
	"fmt"
	"io"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// Buffer sizes of the ceiling, measured best.
const (
	ceilingInput  = 128 << 10
	ceilingOutput = 64 << 10
)

// ceiling is the stand-in: one epoll loop that answers the requests of the workloads and
// keeps nothing but the number of records. All channels are one; a record is a number
// that went up and comes down again when a prebuilt record has been sent to a Consume or
// a Pop. The checks of the workloads therefore hold for it as for a node.
type ceiling struct {
	epoll       int
	legacy, neo int // listening sockets
	size        int // of every record, in bytes

	conns    []*ceilingConn // by descriptor
	consumer *ceilingConn   // the one that runs a Consume, or nil
	stored   int64          // records pushed or produced and not yet given to a client

	input   []byte // what one read brought, behind the rest of the read before
	replies []byte // to the input

	records []byte         // prebuilt, as many as fit ceilingOutput
	batch   []byte         // of the neo Consume: room for the prefix, then prebuilt records
	answers ceilingAnswers // to neo requests, prebuilt
}

// ceilingConn is one accepted connection.
type ceilingConn struct {
	fd     int
	rest   []byte // the beginning of a request of which the end has not come yet
	unsent []byte // what the socket did not take
	events uint32 // registered

	// Of the legacy protocol.
	stream   *walker // of the records of a Produce; nil outside
	owed     int64   // bytes of the stream of records to a consumer not written yet
	position int     // in ceiling.records, where that stream goes on

	// Of the neo protocol.
	neo       bool
	handshake *neo.Handshake // until the client is accepted
	consume   uint64         // id of the Consume
	inFlight  bool           // its batch is not answered yet
	worked    uint64         // batches of a Work so far
}

// runCeiling serves on free ports, which it announces the way a node does, for ever.
func runCeiling(size int, announce io.Writer) error {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return fmt.Errorf("ceiling: epoll_create1: %w", err)
	}
	c := &ceiling{
		epoll:   epoll,
		size:    size,
		input:   make([]byte, ceilingInput),
		records: appendRecords(nil, size, recordsIn(ceilingOutput, size)),
		batch:   newBatch(size),
		answers: newAnswers(size),
	}
	if c.legacy, err = c.listen(announce, announceLegacy); err != nil {
		return err
	}
	if c.neo, err = c.listen(announce, announceNeo); err != nil {
		return err
	}
	return c.loop()
}

func (c *ceiling) listen(announce io.Writer, announcement string) (listener int, err error) {
	listener, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return 0, fmt.Errorf("ceiling: socket: %w", err)
	}
	if err := unix.Bind(listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, fmt.Errorf("ceiling: bind: %w", err)
	}
	if err := unix.Listen(listener, 2048); err != nil {
		return 0, fmt.Errorf("ceiling: listen: %w", err)
	}
	bound, err := unix.Getsockname(listener)
	if err != nil {
		return 0, fmt.Errorf("ceiling: getsockname: %w", err)
	}
	if err := c.register(unix.EPOLL_CTL_ADD, listener, unix.EPOLLIN); err != nil {
		return 0, err
	}
	fmt.Fprintf(announce, "%s127.0.0.1:%d\n", announcement, bound.(*unix.SockaddrInet4).Port)
	return listener, nil
}

func (c *ceiling) register(op, fd int, events uint32) error {
	if err := unix.EpollCtl(c.epoll, op, fd, &unix.EpollEvent{Fd: int32(fd), Events: events}); err != nil {
		return fmt.Errorf("ceiling: epoll_ctl: %w", err)
	}
	return nil
}

func (c *ceiling) loop() error {
	events := make([]unix.EpollEvent, 256)
	for {
		n, err := unix.EpollWait(c.epoll, events, -1)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("ceiling: epoll_wait: %w", err)
		}
		for _, event := range events[:max(n, 0)] {
			fd := int(event.Fd)
			if fd == c.legacy || fd == c.neo {
				c.accept(fd)
			} else if conn := c.conns[fd]; conn != nil && !c.serve(conn, event.Events) {
				c.drop(conn)
			}
		}
		if c.consumer != nil && !c.deliver(c.consumer) {
			c.drop(c.consumer)
		}
	}
}

// accept takes the connections that wait, until there is none or no descriptor for it.
func (c *ceiling) accept(listener int) {
	for {
		fd, _, err := unix.Accept4(listener, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
		if err != nil {
			return
		}
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		conn := &ceilingConn{fd: fd, events: unix.EPOLLIN | unix.EPOLLRDHUP}
		if c.register(unix.EPOLL_CTL_ADD, fd, conn.events) != nil {
			unix.Close(fd)
			continue
		}
		if listener == c.neo {
			conn.neo, conn.handshake = true, &neo.Handshake{Keys: anybody{}}
		}
		for len(c.conns) <= fd {
			c.conns = append(c.conns, nil)
		}
		c.conns[fd] = conn
	}
}

func (c *ceiling) drop(conn *ceilingConn) {
	if c.consumer == conn {
		c.consumer = nil
	}
	c.conns[conn.fd] = nil
	unix.Close(conn.fd)
}

// serve handles the events of a connection. It returns false if the connection has ended
// or is to be ended.
func (c *ceiling) serve(conn *ceilingConn, events uint32) bool {
	if events&unix.EPOLLOUT != 0 && !c.send(conn, nil) {
		return false
	}
	if events&^unix.EPOLLOUT == 0 || len(conn.unsent) > 0 {
		return events&(unix.EPOLLERR|unix.EPOLLHUP) == 0
	}
	return c.receive(conn)
}

// receive reads once, handles what came and writes the replies with one write.
func (c *ceiling) receive(conn *ceilingConn) bool {
	kept := copy(c.input, conn.rest)
	n, err := unix.Read(conn.fd, c.input[kept:])
	if err == unix.EAGAIN || err == unix.EINTR {
		return true
	}
	if err != nil || n == 0 {
		return false
	}
	handle := c.handleLegacy
	if conn.neo {
		handle = c.handleNeo
	}
	c.replies = c.replies[:0]
	handled, ok := handle(conn, c.input[:kept+n])
	if !ok {
		return false
	}
	conn.rest = append(conn.rest[:0], c.input[handled:kept+n]...)
	if len(c.replies) == 0 {
		return true
	}
	ok = c.send(conn, c.replies)
	if len(conn.unsent) > 0 {
		c.replies = nil // the connection still needs it
	}
	return ok
}

// send writes what is unsent and then b, as far as the socket takes it. The rest of b
// must not change until it is sent.
func (c *ceiling) send(conn *ceilingConn, b []byte) bool {
	if len(conn.unsent) > 0 {
		b = slices.Concat(conn.unsent, b)
	}
	n, err := unix.Write(conn.fd, b)
	if err != nil && err != unix.EAGAIN && err != unix.EINTR {
		return false
	}
	conn.unsent = b[max(n, 0):]
	return c.watch(conn)
}

// watch registers a connection for what it waits for: a client that does not take its
// replies is not listened to either.
func (c *ceiling) watch(conn *ceilingConn) bool {
	events := uint32(unix.EPOLLIN | unix.EPOLLRDHUP)
	switch {
	case len(conn.unsent) > 0:
		events = unix.EPOLLOUT
	case conn.owed > 0:
		events |= unix.EPOLLOUT
	}
	if events == conn.events {
		return true
	}
	conn.events = events
	return c.register(unix.EPOLL_CTL_MOD, conn.fd, events) == nil
}

// deliver gives the consumer the stored records.
func (c *ceiling) deliver(conn *ceilingConn) bool {
	if conn.neo {
		return c.deliverNeo(conn)
	}
	return c.deliverLegacy(conn)
}

// recordsIn returns how many records of size bytes fit a buffer, at least one.
func recordsIn(buffer, size int) int { return max(1, buffer/(lengthLen+size)) }
