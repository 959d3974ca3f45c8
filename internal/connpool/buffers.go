package connpool

import "math/bits"

// buffers hands out byte slices whose capacity is a power of two, and keeps some that
// were given back. It belongs to one loop.
type buffers struct {
	free     [maxClass + 1][][]byte // by log2 of the capacity
	retained int                    // bytes in free
}

const (
	minClass = 12 // 4 KiB
	maxClass = 20 // 1 MiB; larger ones are left to the garbage collector
	// maxRetained bounds the memory kept in free buffers.
	maxRetained = 4 << 20
)

// get returns an empty buffer of at least that capacity.
func (b *buffers) get(capacity int) []byte {
	class := max(minClass, bits.Len(uint(capacity-1)))
	if class <= maxClass {
		if n := len(b.free[class]); n > 0 {
			buf := b.free[class][n-1]
			b.free[class] = b.free[class][:n-1]
			b.retained -= cap(buf)
			return buf
		}
	}
	return make([]byte, 0, 1<<class)
}

// put gives a buffer back that came from get; nil is none.
func (b *buffers) put(buf []byte) {
	size := cap(buf)
	if size < 1<<minClass || size > 1<<maxClass || b.retained+size > maxRetained {
		return
	}
	class := bits.Len(uint(size)) - 1
	b.free[class] = append(b.free[class], buf[:0])
	b.retained += size
}
