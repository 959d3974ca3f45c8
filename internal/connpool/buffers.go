package connpool

import (
	"math/bits"
	"unsafe"

	"golang.org/x/sys/unix"
)

// buffers hands out byte slices whose capacity is a power of two, and keeps some that
// were given back. It belongs to one loop.
//
// All but the smallest are mapped: the collector has nothing to do with them, they grow
// without being copied, and what is not kept is given back to the system at once.
type buffers struct {
	free     [maxClass + 1][][]byte // by log2 of the capacity
	retained int                    // bytes in free
}

const (
	minClass  = 12 // 4 KiB
	mapClass  = 14 // 16 KiB; from here on they are mapped
	maxClass  = 20 // 1 MiB; larger ones are not kept
	maxBuffer = 1 << 46
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
	if class >= mapClass {
		p, err := unix.MmapPtr(-1, 0, nil, 1<<class, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err == nil {
			return unsafe.Slice((*byte)(p), 1<<class)[:0]
		}
		// The size is not that of a class: put leaves it to the collector.
		return make([]byte, 0, 1<<class+1)
	}
	return make([]byte, 0, 1<<class)
}

// grow returns a buffer of twice the capacity with the content of a full one, which came from
// get and is given back.
func (b *buffers) grow(buf []byte) []byte {
	if cap(buf) > 1<<maxClass && mapped(buf) {
		p, err := unix.MremapPtr(unsafe.Pointer(&buf[0]), uintptr(cap(buf)), nil, uintptr(2*cap(buf)), unix.MREMAP_MAYMOVE)
		if err == nil {
			return unsafe.Slice((*byte)(p), 2*cap(buf))[:len(buf)]
		}
	}
	grown := append(b.get(2*len(buf)), buf...)
	b.put(buf)
	return grown
}

// put gives a buffer back that came from get; nil is none.
func (b *buffers) put(buf []byte) {
	size := cap(buf)
	if size < 1<<minClass || size&(size-1) != 0 {
		return
	}
	if size > 1<<maxClass || b.retained+size > maxRetained {
		if mapped(buf) {
			unix.MunmapPtr(unsafe.Pointer(&buf[:1][0]), uintptr(size))
		}
		return
	}
	class := bits.Len(uint(size)) - 1
	b.free[class] = append(b.free[class], buf[:0])
	b.retained += size
}

// mapped tells whether a buffer from get is mapped.
func mapped(buf []byte) bool { return cap(buf) >= 1<<mapClass && cap(buf)&(cap(buf)-1) == 0 }
