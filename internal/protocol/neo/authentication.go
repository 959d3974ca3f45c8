package neo

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
)

// Sizes of authentication in bytes (neo protocol spec §3).
const (
	KeySize  = 128 // a client's secret
	CodeSize = 64  // HMAC-SHA-512
	MaxName  = 100 // client name

	timestampSize = 8
	nonceSize     = 4
	verdictSize   = 1

	maxAuthenticationBody = 999 // longest body of an authentication frame (neo protocol spec §6.2)
	minCredentials        = countSize + CodeSize
)

// Sizes in bytes of the frames a node sends during the handshake.
const (
	NonceFrameSize   = HeaderSize + nonceSize
	VerdictFrameSize = HeaderSize + verdictSize
)

// Verdict values. Anything else is malformed.
const (
	rejected = 0
	accepted = 1
)

// Key is a client's secret.
type Key = [KeySize]byte

// Nonce is the node's part of what the authentication code covers.
type Nonce [nonceSize]byte

// AuthenticationCode returns the HMAC of the timestamp, in Unix seconds, and the nonce,
// each as transmitted (neo protocol spec §3.2).
func AuthenticationCode(key *Key, timestamp uint64, nonce Nonce) [CodeSize]byte {
	var data [timestampSize + nonceSize]byte
	binary.LittleEndian.PutUint64(data[:], timestamp)
	copy(data[timestampSize:], nonce[:])
	mac := hmac.New(sha512.New, key[:])
	mac.Write(data[:]) // never fails
	return [CodeSize]byte(mac.Sum(nil))
}

// AppendTimestamp appends a client's first frame: its time in Unix seconds. A D node
// demands that the client has received the node's version byte before it sends this.
func AppendTimestamp(dst []byte, timestamp uint64) []byte {
	dst = AppendHeader(dst, Header{Type: TypeAuthentication, Body: timestampSize})
	return binary.LittleEndian.AppendUint64(dst, timestamp)
}

// AppendCredentials appends a client's second frame: its name and what
// [AuthenticationCode] returned. A node rejects a name longer than [MaxName].
func AppendCredentials(dst []byte, name string, code [CodeSize]byte) []byte {
	size := countSize + len(name) + CodeSize
	dst = AppendHeader(dst, Header{Type: TypeAuthentication, Body: uint64(size)})
	return append(appendArray(dst, name), code[:]...)
}

// ParseNonce decodes a node's first frame, [NonceFrameSize] bytes. Errors: those of
// [ParseHeader], [ErrType], [ErrLength].
func ParseNonce(frame []byte) (Nonce, error) {
	body, err := parseAuthentication(frame, nonceSize)
	if err != nil {
		return Nonce{}, err
	}
	return Nonce(body), nil
}

// ParseVerdict decodes a node's second frame, [VerdictFrameSize] bytes. It reports whether
// the node has accepted the client; if so, request frames follow, else the node closes the
// connection. Errors: those of [ParseNonce], and [ErrMalformed] for another value.
func ParseVerdict(frame []byte) (bool, error) {
	body, err := parseAuthentication(frame, verdictSize)
	if err != nil {
		return false, err
	}
	if body[0] != accepted && body[0] != rejected {
		return false, fmt.Errorf("%w: authentication verdict is %d, allowed are %d and %d",
			ErrMalformed, body[0], rejected, accepted)
	}
	return body[0] == accepted, nil
}

// parseAuthentication decodes frame as exactly one authentication frame with a body of
// size bytes.
func parseAuthentication(frame []byte, size uint64) ([]byte, error) {
	body, rest, err := nextAuthentication(frame, size, size)
	if err != nil {
		return nil, err
	}
	if body == nil || len(rest) != 0 {
		return nil, fmt.Errorf("%w: an authentication frame of %d bytes, must have %d", ErrLength, len(frame), HeaderSize+size)
	}
	return body, nil
}

// nextAuthentication splits the first authentication frame off buf. body is nil if the
// frame is not complete. Type and length are checked as soon as the header is there, so
// that nobody who is not authenticated makes the node wait for, or hold, more (Q4). min
// must be at least 1.
func nextAuthentication(buf []byte, min, max uint64) (body, rest []byte, err error) {
	if len(buf) < HeaderSize {
		return nil, buf, nil
	}
	h, err := ParseHeader(buf)
	if err != nil {
		return nil, nil, err
	}
	if err := h.allow(TypeAuthentication, min, max); err != nil {
		return nil, nil, err
	}
	size := h.size()
	if size > len(buf) {
		return nil, buf, nil
	}
	return buf[HeaderSize:size], buf[size:], nil
}
