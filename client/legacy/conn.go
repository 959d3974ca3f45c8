package legacy

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// conn is one connection with its buffers. One goroutine uses it at a time.
type conn struct {
	net.Conn
	r      *bufio.Reader
	w      *bufio.Writer
	unbind func() bool // ends the bond with a context; false if that ended first
	reused bool        // it was idle once, so the node may have closed it meanwhile
}

func newConn(nc net.Conn) *conn {
	return &conn{Conn: nc, r: bufio.NewReaderSize(nc, 16<<10), w: bufio.NewWriterSize(nc, 64<<10)}
}

// bind makes all I/O fail once ctx has ended.
func (c *conn) bind(ctx context.Context) {
	c.unbind = context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
}

func (c *conn) close() {
	c.unbind()
	c.Close()
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
	var b [4]byte
	if err := c.readFull(b[:]); err != nil {
		return 0, err
	}
	return Status(binary.LittleEndian.Uint32(b[:])), nil
}

// readArray returns an array of at most [MaxValue] bytes, in memory of its own.
func (c *conn) readArray() ([]byte, error) {
	var b [8]byte
	if err := c.readFull(b[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(b[:])
	if n > MaxValue {
		return nil, fmt.Errorf("%w: the node sent a record of %d bytes, accepted are %d", ErrValueTooBig, n, MaxValue)
	}
	value := make([]byte, n)
	return value, c.readFull(value)
}

func (c *conn) readFull(b []byte) error {
	_, err := io.ReadFull(c.r, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errNodeClosed
	}
	return err
}
