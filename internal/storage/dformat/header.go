package dformat

import "encoding/binary"

const (
	magic      = "QDSKOF01"
	magicSize  = int64(len(magic))
	headerSize = 32

	nextOffset = 8
	// lengthOffset is where a record of the overflow looks as in a ring: length, payload.
	lengthOffset = 24
)

// header is a record header of the overflow (storage spec §3.3).
type header struct {
	channel uint32 // id of the storage, 0 in a dummy record
	next    int64  // distance to the following record of the storage, 0 in the newest
	length  uint64 // of the payload
}

// size is the number of bytes of the whole record. The length must have been checked.
func (h header) size() int64 { return headerSize + int64(h.length) }

// parity is the XOR of all bytes of the fields (storage spec §3.4).
func (h header) parity() byte {
	x := uint64(h.channel) ^ uint64(h.next) ^ h.length
	x ^= x >> 32
	x ^= x >> 16
	x ^= x >> 8
	return byte(x)
}

// put stores the header in the first 32 bytes of b.
func (h header) put(b []byte) {
	_ = b[headerSize-1]
	binary.LittleEndian.PutUint64(b[0:], uint64(h.channel))
	binary.LittleEndian.PutUint64(b[nextOffset:], uint64(h.next))
	binary.LittleEndian.PutUint64(b[16:], uint64(h.parity()))
	binary.LittleEndian.PutUint64(b[lengthOffset:], h.length)
}

// parseHeader reads a header from the first 32 bytes of b. From there on the file has left
// bytes. ok is false if no record can begin with it.
func parseHeader(b []byte, left int64) (h header, ok bool) {
	_ = b[headerSize-1]
	h = header{
		channel: binary.LittleEndian.Uint32(b[0:]),
		next:    int64(binary.LittleEndian.Uint64(b[nextOffset:])),
		length:  binary.LittleEndian.Uint64(b[lengthOffset:]),
	}
	if h.parity() != b[16] || h.length > uint64(left-headerSize) {
		return h, false
	}
	return h, h.next == 0 || h.next >= h.size()
}
