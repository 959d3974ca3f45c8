package neoclient

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// Frame types (neo protocol spec §6.1).
const (
	Request        = 1
	Authentication = 2
)

// maxBody is longer than any body in a test.
const maxBody = 1 << 28

// Frame is a request frame.
type Frame struct {
	ID      uint64
	Payload []byte
}

// String is for messages of failed tests.
func (f Frame) String() string {
	if len(f.Payload) > 64 {
		return fmt.Sprintf("id %d, %d bytes: % x …", f.ID, len(f.Payload), f.Payload[:64])
	}
	return fmt.Sprintf("id %d, %d bytes: % x", f.ID, len(f.Payload), f.Payload)
}

// Header encodes a frame header, of whatever type and body length (neo protocol spec §6.1).
func Header(kind byte, length uint64) []byte {
	b := append([]byte{kind}, Number(length)...)
	parity := byte(0)
	for _, x := range b {
		parity ^= x
	}
	return append(b, parity)
}

// AuthenticationFrame encodes a frame of type 2.
func AuthenticationFrame(body []byte) []byte {
	return append(Header(Authentication, uint64(len(body))), body...)
}

// RequestFrame encodes a frame of type 1.
func RequestFrame(id uint64, payload []byte) []byte {
	b := Header(Request, uint64(8+len(payload)))
	b = append(b, Number(id)...)
	return append(b, payload...)
}

// Array encodes an array: its length and its bytes (neo protocol spec §0).
func Array[T string | []byte](x T) []byte {
	return append(Number(uint64(len(x))), x...)
}

// Number encodes a u64.
func Number(n uint64) []byte {
	b := make([]byte, 8)
	binary.LittleEndian.PutUint64(b, n)
	return b
}

// Send sends a request frame.
func (c *Client) Send(id uint64, payload []byte) error { return c.Write(RequestFrame(id, payload)) }

// NextID returns an id not returned before, counting up from 1.
func (c *Client) NextID() uint64 {
	c.lastID++
	return c.lastID
}

// Read returns the next request frame, of those that [Client.ReadFor] left if there are
// any. The error is [io.EOF] if the node has closed the connection behind a whole frame.
func (c *Client) Read() (Frame, error) {
	if len(c.parked) > 0 {
		f := c.parked[0]
		c.parked = c.parked[1:]
		return f, nil
	}
	return c.receive()
}

// ReadFor returns the payload of the next request frame of that id. Frames of other ids are
// left for later calls.
func (c *Client) ReadFor(id uint64) ([]byte, error) {
	for i, f := range c.parked {
		if f.ID == id {
			c.parked = append(c.parked[:i:i], c.parked[i+1:]...)
			return f.Payload, nil
		}
	}
	for {
		f, err := c.receive()
		if err != nil {
			return nil, fmt.Errorf("waiting for a frame of id %d: %w", id, err)
		}
		if f.ID == id {
			return f.Payload, nil
		}
		c.parked = append(c.parked, f)
	}
}

// Parked returns the frames that were read while waiting for others, in the order in which
// they came.
func (c *Client) Parked() []Frame { return c.parked }

// receive reads a request frame off the connection.
func (c *Client) receive() (Frame, error) {
	body, err := c.readFrame(Request)
	if err != nil {
		return Frame{}, err
	}
	if len(body) < 8 {
		return Frame{}, fmt.Errorf("request frame with a body of %d bytes, want at least 8", len(body))
	}
	return Frame{binary.LittleEndian.Uint64(body), body[8:]}, nil
}

// readFrame reads a frame, which must be of that type, and returns its body.
func (c *Client) readFrame(kind byte) ([]byte, error) {
	header, err := c.ReadBytes(10)
	if err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint64(header[1:9])
	if want := Header(kind, length); !bytes.Equal(header, want) {
		return nil, fmt.Errorf("frame header % x, want % x", header, want)
	}
	if length > maxBody {
		return nil, fmt.Errorf("frame header % x announces %d bytes, want at most %d", header, length, maxBody)
	}
	body, err := c.ReadBytes(int(length))
	if err == io.EOF {
		err = io.ErrUnexpectedEOF // the end of a connection is not here
	}
	return body, err
}
