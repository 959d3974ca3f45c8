package overflow

import "encoding/binary"

const (
	magic      = "QDSKOF01"
	magicSize  = int64(len(magic))
	headerSize = 32

	// The link of a header, next and parity, is stored in one piece when the following
	// record is appended.
	linkOffset = 8
	linkSize   = 9

	// lengthOffset is where a record looks as in a ring: length, payload.
	lengthOffset = 24
)

// header is a record header (storage spec §3.3).
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
	binary.LittleEndian.PutUint64(b[8:], uint64(h.next))
	binary.LittleEndian.PutUint64(b[16:], uint64(h.parity()))
	binary.LittleEndian.PutUint64(b[lengthOffset:], h.length)
}

// putLink stores the link of the header in the first 9 bytes of b. The parity comes last:
// being killed in between leaves a header that parseNewest accepts.
func (h header) putLink(b []byte) {
	_ = b[linkSize-1]
	binary.LittleEndian.PutUint64(b, uint64(h.next))
	b[linkSize-1] = h.parity()
}

// parseHeader reads a header from the first 32 bytes of b. ok is false if the parity is
// wrong.
func parseHeader(b []byte) (h header, ok bool) {
	h = header{
		channel: binary.LittleEndian.Uint32(b[0:]),
		next:    int64(binary.LittleEndian.Uint64(b[8:])),
		length:  binary.LittleEndian.Uint64(b[lengthOffset:]),
	}
	return h, h.parity() == b[16]
}

// parseNewest reads the header of a record that is known to be the newest of its storage:
// its link counts for nothing, and may be half-written. intact is false if the link must
// be stored anew to make it a header without successor.
func parseNewest(b []byte) (h header, ok, intact bool) {
	h, ok = parseHeader(b)
	if ok && h.next == 0 {
		return h, true, true
	}
	unlinked := header{channel: h.channel, length: h.length}
	return h, ok || unlinked.parity() == b[16], false
}
