package neo

import (
	"encoding/binary"
	"fmt"
)

const (
	idSize    = 8 // request id, in front of the payload of each request frame
	countSize = 8 // length of an array, in front of its bytes
)

// FramePrefixSize is the size in bytes of what precedes the payload of a request frame:
// the header and the request id.
const FramePrefixSize = HeaderSize + idSize

// MinFrameBody is the length of the shortest body of a request frame: the request id.
const MinFrameBody = idSize

// Next splits the first request frame off buf, the bytes received and not consumed yet, of
// which the body may have [MinFrameBody] to maxBody bytes.
//
// If size > len(buf), the frame is not complete: nothing else is returned, and at least
// size bytes are needed. size is what a peer announced, so a caller should not provide
// memory for it ahead of the data. Otherwise the frame takes the first size bytes, and
// payload, which may be empty, is part of them.
//
// Header and length are checked as soon as the header is there. Any error means that the
// connection is to be closed: [ErrParity], [ErrType] (also for an authentication frame),
// [ErrLength], and [ErrRequestID] for id 0, which no client uses (neo protocol spec §15). Frames split off
// before an error remain valid (neo protocol spec §6.2).
func Next(buf []byte, maxBody uint64) (id uint64, payload []byte, size int, err error) {
	if len(buf) < HeaderSize {
		return 0, nil, HeaderSize, nil
	}
	h, err := ParseHeader(buf)
	if err != nil {
		return 0, nil, 0, err
	}
	if err := h.allow(TypeRequest, MinFrameBody, maxBody); err != nil {
		return 0, nil, 0, err
	}
	if size = h.size(); size > len(buf) {
		return 0, nil, size, nil
	}
	if id = binary.LittleEndian.Uint64(buf[HeaderSize:]); id == 0 {
		return 0, nil, 0, fmt.Errorf("%w 0, allowed are all others", ErrRequestID)
	}
	return id, buf[FramePrefixSize:size:size], size, nil
}

// AppendFramePrefix appends what precedes the payload of a request frame. The caller has
// to let payload bytes follow.
func AppendFramePrefix(dst []byte, id uint64, payload int) []byte {
	dst = AppendHeader(dst, Header{Type: TypeRequest, Body: idSize + uint64(payload)})
	return binary.LittleEndian.AppendUint64(dst, id)
}

// appendByteFrame appends a request frame with one byte of payload, which is what most
// messages of the protocol are.
func appendByteFrame(dst []byte, id uint64, payload byte) []byte {
	return append(AppendFramePrefix(dst, id, 1), payload)
}

// parseByte decodes a payload of one byte. what names the message in the error.
func parseByte(payload []byte, what string) (byte, error) {
	if len(payload) != 1 {
		return 0, fmt.Errorf("%w: %s has %d bytes, must have 1", ErrMalformed, what, len(payload))
	}
	return payload[0], nil
}
