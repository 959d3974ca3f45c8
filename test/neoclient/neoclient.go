// Package neoclient is a neo client for tests that talk to a built node. It is written
// from the neo protocol specification alone and shares no code with the node, so that no
// mistake of the node's own encoder and decoder can hide in both. Section numbers (§) refer
// to that specification.
//
// It offers every level, because tests need to break every rule: bytes ([Client.Write],
// [Client.ReadBytes]), frames ([RequestFrame], [Client.Send], [Client.Read]), and whole
// requests ([Client.Push], [Client.Pop], [Client.Consume]). It believes nothing: a frame or
// a message that is not exactly what the specification allows is an error.
//
// One goroutine may write while another reads; anything else at once is not allowed. Whole
// requests do both. No call takes longer than [Client.Timeout] for each read and write.
package neoclient

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Client is one connection to a node.
type Client struct {
	Timeout time.Duration // of each read and write, 2 minutes if not changed

	conn   net.Conn
	in     *bufio.Reader
	parked []Frame // read while waiting for another id
	lastID uint64  // by NextID
}

// New makes a client of a connection on which nothing was said yet.
func New(conn net.Conn) *Client {
	return &Client{Timeout: 2 * time.Minute, conn: conn, in: bufio.NewReader(conn)}
}

// Dial connects to the neo port of a node, such as "127.0.0.1:10001", and says nothing.
func Dial(address string) (*Client, error) {
	conn, err := net.DialTimeout("tcp4", address, 2*time.Minute)
	if err != nil {
		return nil, err
	}
	return New(conn), nil
}

// Connect connects and authenticates. A rejection is [ErrRejected].
func Connect(address string, login Login) (*Client, error) {
	c, err := Dial(address)
	if err != nil {
		return nil, err
	}
	if err := c.Authenticate(login); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close closes the connection.
func (c *Client) Close() error { return c.conn.Close() }

// Conn returns the connection, to reset it, to close one direction, or to leave it unread.
// What was read ahead is not in it any more.
func (c *Client) Conn() net.Conn { return c.conn }

// Write sends bytes as they are, in one write.
func (c *Client) Write(b []byte) error {
	c.conn.SetWriteDeadline(time.Now().Add(c.Timeout)) // if that fails, the write does
	_, err := c.conn.Write(b)
	return err
}

// ReadBytes reads exactly n bytes. The error is [io.EOF] only if the node has closed the
// connection before the first of them.
func (c *Client) ReadBytes(n int) ([]byte, error) {
	c.conn.SetReadDeadline(time.Now().Add(c.Timeout)) // if that fails, the read does
	b := make([]byte, n)
	if _, err := io.ReadFull(c.in, b); err != nil {
		return nil, err
	}
	return b, nil
}

// ExpectClose returns nil if the node closes the connection without sending anything more.
// A reset is an error, since it makes clients give up that would else try other nodes
// (neo protocol spec §14.3).
func (c *Client) ExpectClose() error {
	if len(c.parked) > 0 {
		return fmt.Errorf("got frame %v, want the connection closed", c.parked[0])
	}
	switch b, err := c.ReadBytes(1); {
	case err == nil:
		return fmt.Errorf("got byte %02x, want the connection closed", b)
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("got %w, want the connection closed", err)
	}
	return nil
}
