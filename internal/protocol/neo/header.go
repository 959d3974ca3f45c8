package neo

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Type is the type of a frame (neo protocol spec §6.1).
type Type uint8

// Frame types. All others are invalid.
const (
	TypeRequest        Type = 1
	TypeAuthentication Type = 2
)

// HeaderSize is the size of a frame header in bytes.
const HeaderSize = 10

// maxBody is the largest body whose frame can be in memory, so that sizes never overflow
// even where the configured limit is no limit.
const maxBody = math.MaxInt - HeaderSize

// Header is the header of a frame.
type Header struct {
	Type Type
	Body uint64 // body length in bytes, without the header
}

// ParseHeader decodes the first [HeaderSize] bytes of b and checks parity and type, in
// this order (neo protocol spec §6.2). Which type and lengths are allowed depends on the phase of the
// connection and is left to [Next] and [Handshake]. Errors: [ErrParity], [ErrType], and
// [ErrLength] if b is shorter than a header.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, fmt.Errorf("%w: %d bytes are no frame header, which has %d", ErrLength, len(b), HeaderSize)
	}
	h := Header{Type: Type(b[0]), Body: binary.LittleEndian.Uint64(b[1:])}
	if parity := byte(h.Type) ^ xor(h.Body); b[HeaderSize-1] != parity {
		return Header{}, fmt.Errorf("%w %02x of % x, must be %02x", ErrParity, b[HeaderSize-1], b[:HeaderSize-1], parity)
	}
	if h.Type != TypeRequest && h.Type != TypeAuthentication {
		return Header{}, fmt.Errorf("%w %d, allowed are %d and %d", ErrType, h.Type, TypeRequest, TypeAuthentication)
	}
	return h, nil
}

// AppendHeader appends the encoded header to dst.
func AppendHeader(dst []byte, h Header) []byte {
	dst = append(dst, byte(h.Type))
	dst = binary.LittleEndian.AppendUint64(dst, h.Body)
	return append(dst, byte(h.Type)^xor(h.Body))
}

// allow checks type and length of a frame against what the phase of the connection allows.
// If it returns nil, the size of the frame fits an int.
func (h Header) allow(t Type, min, max uint64) error {
	if h.Type != t {
		return fmt.Errorf("%w %d, expected is %d", ErrType, h.Type, t)
	}
	if h.Body < min || h.Body > max || h.Body > maxBody {
		return fmt.Errorf("%w %d of a frame of type %d, allowed are %d to %d", ErrLength, h.Body, t, min, max)
	}
	return nil
}

// size returns the size of the whole frame in bytes. The header must be an allowed one.
func (h Header) size() int { return HeaderSize + int(h.Body) }

// xor folds the bytes of x into one.
func xor(x uint64) byte {
	x ^= x >> 32
	x ^= x >> 16
	x ^= x >> 8
	return byte(x)
}
