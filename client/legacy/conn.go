package legacy

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/internal/core"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
)

// conn is one connection with its buffers. One goroutine uses it at a time.
type conn struct {
	net.Conn
	r      *bufio.Reader
	w      *bufio.Writer
	ctx    context.Context // what the connection is used for
	unbind func() bool     // ends the bond with ctx; false if that ended first
	slot   bool            // it has one of those of the node
	reused bool            // it was idle once, so the node may have closed it meanwhile
}

func newConn(nc net.Conn) *conn {
	return &conn{Conn: nc, r: bufio.NewReaderSize(nc, 16<<10), w: bufio.NewWriterSize(nc, 64<<10)}
}

// bind makes all I/O fail once ctx has ended.
func (c *conn) bind(ctx context.Context) {
	c.ctx = ctx
	c.unbind = context.AfterFunc(ctx, c.interrupt)
}

// interrupt makes all I/O fail.
func (c *conn) interrupt() { c.SetDeadline(time.Unix(1, 0)) }

// allow gives the I/O that follows so much time; 0 means any.
func (c *conn) allow(limit time.Duration) {
	var deadline time.Time
	if limit > 0 {
		deadline = time.Now().Add(limit)
	}
	c.SetDeadline(deadline)
	if c.ctx.Err() != nil { // and the interruption was perhaps undone
		c.interrupt()
	}
}

// close ends the bond with the context and closes the connection.
func (c *conn) close() {
	c.unbind()
	c.Close()
}

// prove finds out whether a node serves the new connection. One at its limit of
// connections closes it without a word (legacy protocol spec §1.3), and one that hangs is connected to by its
// kernel. Here that does no harm; of a Push it would leave the outcome uncertain.
func (c *conn) prove() error {
	status, _, err := c.exchange(request{head: wire.AppendCommand(nil, wire.GetNumConnections)})
	switch {
	case err != nil && c.r.Buffered() == 1:
		// A neo node answers anything with the version of its protocol.
		return fmt.Errorf("%w: this is the neo port, the client speaks legacy", ErrWrongPort)
	case err != nil:
		return err
	case status == statusOK:
		_, err := c.readNumConnections()
		return err
	case !status.known():
		return fmt.Errorf("the node answers with an %v", status)
	}
	return nil
}

// exchange sends a request and reads its status. sent tells, in case of an error, whether
// the request has left completely: if not, the node can't have executed it.
func (c *conn) exchange(req request) (status Status, sent bool, err error) {
	c.w.Write(req.head)
	c.w.Write(req.value)
	if err := c.w.Flush(); err != nil { // also reports what failed in Write
		return 0, false, err
	}
	status, err = c.readStatus()
	return status, true, err
}

func (c *conn) readStatus() (Status, error) {
	b, err := c.next(wire.CodeSize)
	if err != nil {
		return 0, err
	}
	return Status(binary.LittleEndian.Uint32(b)), nil
}

// readArray returns an array of at most [MaxValue] bytes, in memory of its own.
func (c *conn) readArray() ([]byte, error) {
	b, err := c.next(wire.LengthSize)
	if err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(b)
	if n > MaxValue {
		return nil, fmt.Errorf("%w: the node sent a record of %d bytes, accepted are %d", ErrValueTooBig, n, MaxValue)
	}
	value := make([]byte, n)
	_, err = io.ReadFull(c.r, value)
	return value, core.InWords(err)
}

// readNumConnections reads what follows a status of 200 (legacy protocol spec §6.4): an address, a port of 2
// bytes, and the number.
func (c *conn) readNumConnections() (uint64, error) {
	if _, err := c.readArray(); err != nil {
		return 0, err
	}
	b, err := c.next(2 + 8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b[2:]), nil
}

// next returns the next few bytes, until anything else is read.
func (c *conn) next(size int) ([]byte, error) {
	b, err := c.r.Peek(size)
	if err != nil {
		return nil, core.InWords(err)
	}
	c.r.Discard(size) // they are there
	return b, nil
}
