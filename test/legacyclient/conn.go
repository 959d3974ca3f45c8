package legacyclient

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Patience is how long a Conn waits for bytes that have to come, or for the node to
// take bytes, before the call fails.
const Patience = 2 * time.Minute

// MaxArray is the longest array that Conn accepts from the node, legacy protocol spec §11.1 rule 8.
const MaxArray = 10 << 20

// Conn is a connection to the legacy port. One goroutine may send while another one
// receives; otherwise it belongs to one goroutine.
type Conn struct {
	*net.TCPConn
	in *bufio.Reader
}

// Option is applied to the socket before it is connected.
type Option func(fd int) error

// ReceiveBuffer sets SO_RCVBUF: how much the kernel takes in for a client that doesn't
// read. The kernel doubles the number.
func ReceiveBuffer(bytes int) Option {
	return func(fd int) error {
		return syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, bytes)
	}
}

// Dial connects to a node.
func Dial(address string, options ...Option) (*Conn, error) {
	dialer := net.Dialer{Timeout: Patience, Control: func(_, _ string, raw syscall.RawConn) error {
		var err error
		controlErr := raw.Control(func(fd uintptr) {
			for _, option := range options {
				err = errors.Join(err, option(int(fd)))
			}
		})
		return errors.Join(controlErr, err)
	}}
	conn, err := dialer.Dial("tcp4", address)
	if err != nil {
		return nil, err
	}
	return &Conn{TCPConn: conn.(*net.TCPConn), in: bufio.NewReader(conn)}, nil
}

// Reset closes the connection so that the node gets a reset.
func (c *Conn) Reset() error {
	if err := c.SetLinger(0); err != nil {
		return err
	}
	return c.Close()
}

// Send sends bytes.
func (c *Conn) Send(b []byte) error {
	c.SetWriteDeadline(time.Now().Add(Patience))
	_, err := c.Write(b)
	return err
}

// Receive reads exactly len(b) bytes.
func (c *Conn) Receive(b []byte) error {
	_, err := c.ReceiveSome(b)
	return err
}

// ReceiveSome reads len(b) bytes or, with an error, as many as come.
func (c *Conn) ReceiveSome(b []byte) (int, error) {
	c.SetReadDeadline(time.Now().Add(Patience))
	return io.ReadFull(c.in, b)
}

// Status reads a status code.
func (c *Conn) Status() (Status, error) {
	var b [4]byte
	if err := c.Receive(b[:]); err != nil {
		return 0, fmt.Errorf("reading a status: %w", err)
	}
	return Status(binary.LittleEndian.Uint32(b[:])), nil
}

// Array reads an array: a record, a popped value, or the end of a Consume, which is a
// zero-length one.
func (c *Conn) Array() (string, error) {
	var b [8]byte
	if err := c.Receive(b[:]); err != nil {
		return "", fmt.Errorf("reading the length of an array: %w", err)
	}
	length := binary.LittleEndian.Uint64(b[:])
	if length > MaxArray {
		return "", fmt.Errorf("array of %d bytes: want at most %d", length, MaxArray)
	}
	data := make([]byte, length)
	if err := c.Receive(data); err != nil {
		return "", fmt.Errorf("reading an array of %d bytes: %w", length, err)
	}
	return string(data), nil
}

// Do sends a request and reads its status.
func (c *Conn) Do(request []byte) (Status, error) {
	if err := c.Send(request); err != nil {
		return 0, err
	}
	return c.Status()
}

// Unread returns how many bytes have arrived and not been received.
func (c *Conn) Unread() (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var waiting int
	controlErr := raw.Control(func(fd uintptr) { waiting, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	return c.in.Buffered() + waiting, errors.Join(controlErr, err)
}

// Silence verifies that nothing arrives for a while and that the node keeps the
// connection open.
func (c *Conn) Silence(while time.Duration) error {
	c.SetReadDeadline(time.Now().Add(while))
	_, err := c.in.Peek(1)
	switch {
	case err == nil:
		return fmt.Errorf("got % x, want nothing", c.buffered())
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	default:
		return fmt.Errorf("want an open connection: %w", err)
	}
}

// EOF verifies that the node closes the connection in order, without any more bytes.
func (c *Conn) EOF() error {
	reset, err := c.End()
	if reset {
		return errors.New("got a reset, want the end of the stream")
	}
	return err
}

// End verifies that the node closes the connection, without any more bytes, and tells
// whether it did so by a reset.
func (c *Conn) End() (reset bool, err error) {
	c.SetReadDeadline(time.Now().Add(Patience))
	_, err = c.in.Peek(1)
	switch {
	case err == nil:
		return false, fmt.Errorf("got % x, want the end of the stream", c.buffered())
	case err == io.EOF:
		return false, nil
	case errors.Is(err, syscall.ECONNRESET):
		return true, nil
	default:
		return false, fmt.Errorf("want the end of the stream: %w", err)
	}
}

// buffered returns what has been read from the socket and not been received, for messages.
func (c *Conn) buffered() []byte {
	got, _ := c.in.Peek(c.in.Buffered())
	return got
}
