package dformat

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// buffer is memory for a run.
type buffer struct {
	bytes  []byte
	mapped bool
}

// grow makes the capacity at least that many bytes and empties the buffer. A large one, which
// only a large record needs, is memory outside of the Go heap because a lack of that is an
// error and not the end of the process.
func (b *buffer) grow(size uint64) (err error) {
	if size <= uint64(cap(b.bytes)) {
		b.bytes = b.bytes[:0]
		return nil
	}
	b.release()
	if size <= RunSize {
		b.bytes = make([]byte, 0, size)
		return nil
	}
	memory, err := []byte(nil), error(unix.ENOMEM)
	if size <= math.MaxInt {
		memory, err = unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	}
	if err != nil {
		return fmt.Errorf("memory for a record of %d bytes: %w", size, err)
	}
	b.bytes, b.mapped = memory[:0], true
	return nil
}

func (b *buffer) release() {
	if b.mapped {
		unix.Munmap(b.bytes[:cap(b.bytes)])
	}
	*b = buffer{}
}
