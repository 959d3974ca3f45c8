package dformat

import (
	"io"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

const (
	smallestBlock = 1 << 10
	largestBlock  = 256 << 10
)

// block is a piece of a file, the larger, the more of the ones before was used.
type block struct {
	file   io.ReaderAt
	size   int64 // of the file
	bytes  []byte
	offset int64
	used   int64 // how many of its bytes were asked for
	asked  int64 // where what was asked for ends
	span   int64 // bytes to read at once
}

func newBlock(file disk.File) (block, error) {
	size, err := file.Size()
	return block{file: file, size: size}, err
}

// has reports whether the block has n bytes of the file.
func (b *block) has(offset int64, n int) bool {
	return offset >= b.offset && offset+int64(n) <= b.offset+int64(len(b.bytes))
}

// at returns n bytes of the file, which it has, until the next call.
func (b *block) at(offset int64, n int) ([]byte, error) {
	if !b.has(offset, n) {
		if err := b.load(offset, int64(n)); err != nil {
			return nil, err
		}
	}
	if end := offset + int64(n); end > b.asked {
		b.used += end - max(b.asked, offset)
		b.asked = end
	}
	return b.bytes[offset-b.offset:][:n], nil
}

func (b *block) load(offset, n int64) error {
	switch {
	case b.span == 0:
		b.span = 4 << 10
	case b.used >= int64(len(b.bytes))/8:
		b.span = min(2*b.span, largestBlock)
	case b.used < int64(len(b.bytes))/32:
		b.span = max(b.span/2, smallestBlock)
	}
	size := min(max(n, b.span), b.size-offset)
	if size > int64(cap(b.bytes)) {
		b.bytes = make([]byte, max(size, min(2*b.span, largestBlock)))
	}
	b.bytes = b.bytes[:size]
	b.offset, b.asked, b.used = offset, offset, 0
	err := readFull(b.file, b.bytes, offset)
	if err != nil {
		b.bytes = b.bytes[:0]
	}
	return err
}

// readFull reads all of b, or fails.
func readFull(r io.ReaderAt, b []byte, offset int64) error {
	n, err := r.ReadAt(b, offset)
	switch {
	case n == len(b):
		return nil
	case err == nil || err == io.EOF:
		return io.ErrUnexpectedEOF // io.EOF would mean that all is well
	}
	return err
}
