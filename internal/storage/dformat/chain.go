package dformat

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// chainReader reads the records of a chain into runs.
type chainReader struct {
	data  io.ReaderAt
	size  int64 // of the file
	index []entry
	chain chainOf
	block block
	out   buffer
	run   Run // what is in out
	yield func(Run, error) bool

	read    segment // what was read; last is the offset of the newest of it
	damage  string  // that follow has met
	damaged int64   // where
}

// all reads all records. It reports whether it came to the end: not if the receiver wants no
// more or the file can't be read, of which it has told the receiver.
func (r *chainReader) all() bool {
	defer r.out.release()
	if err := r.out.grow(min(RunSize, r.chain.bytes+ring.HeaderSize*r.chain.records)); err != nil {
		r.yield(Run{}, err)
		return false
	}
	more, err := true, error(nil)
	if !r.chain.broken {
		more, err = r.follow()
	}
	if more && err == nil && (r.chain.broken || r.damage != "") {
		more, err = r.collect()
	}
	if more && err == nil && r.run.Records > 0 {
		more = r.flush()
	}
	if more && err != nil {
		r.yield(Run{}, err)
	}
	return more && err == nil
}

// follow goes from link to link, up to damage.
func (r *chainReader) follow() (more bool, err error) {
	for at := r.chain.first; ; {
		b, err := r.block.at(at, headerSize)
		if err != nil {
			return true, err
		}
		h, ok := parseHeader(b, r.size-at)
		switch newest := at == r.chain.last; {
		case !ok:
			return r.broken(at, "there is no record")
		case h.channel != r.chain.id:
			return r.broken(at, fmt.Sprintf("there is a record of id %d, not %d", h.channel, r.chain.id))
		case !newest && (h.next == 0 || h.next > r.chain.last-at):
			return r.broken(at, fmt.Sprintf("the link %d doesn't lead to a newer record", h.next))
		}
		if more, err := r.add(at, h); !more || err != nil {
			return more, err
		}
		if at == r.chain.last {
			break
		}
		at += h.next
	}
	if r.read.records != r.chain.records || r.read.bytes != r.chain.bytes {
		return r.broken(r.chain.first, fmt.Sprintf("the index tells of %d records of %d bytes, but there are %d of %d",
			r.chain.records, r.chain.bytes, r.read.records, r.read.bytes))
	}
	return true, nil
}

func (r *chainReader) broken(at int64, what string) (more bool, err error) {
	r.damage, r.damaged = what, at
	return true, nil
}

// collect goes through all records of the file behind the last that was read.
func (r *chainReader) collect() (more bool, err error) {
	s := newSurvey(r.data, r.size, r.index)
	s.scanner.at = max(r.chain.first, r.read.last)
	for s.next() {
		at := s.scanner.offset
		if at > r.chain.last {
			break
		}
		if s.chain.id != r.chain.id || at == r.read.last {
			continue
		}
		if more, err := r.add(at, s.scanner.record); !more || err != nil {
			return more, err
		}
	}
	return true, s.scanner.err
}

// add appends a record to the run.
func (r *chainReader) add(at int64, h header) (more bool, err error) {
	size := ring.HeaderSize + h.length
	room := min(RunSize, cap(r.out.bytes)) - len(r.out.bytes)
	if size > uint64(max(0, room)) {
		if r.run.Records > 0 && !r.flush() {
			return false, nil
		}
		if err := r.out.grow(max(size, RunSize)); err != nil {
			return true, err
		}
	}
	n := len(r.out.bytes)
	to := r.out.bytes[n : n+int(size)]
	if h.size() <= largestBlock {
		b, err := r.block.at(at, int(h.size()))
		if err != nil {
			return true, err
		}
		copy(to, b[lengthOffset:])
	} else if err := readFull(r.data, to, at+lengthOffset); err != nil {
		return true, err
	}
	if binary.LittleEndian.Uint64(to) != h.length {
		return true, fmt.Errorf("the overflow file was changed at offset %d while it was being read", at)
	}
	r.out.bytes = r.out.bytes[:n+int(size)]
	r.run.Records++
	r.read.records++
	r.read.bytes += h.length
	r.read.last = at
	return true, nil
}

// flush hands the run out.
func (r *chainReader) flush() (more bool) {
	r.run.Bytes = r.out.bytes
	more = r.yield(r.run, nil)
	r.out.bytes, r.run = r.out.bytes[:0], Run{}
	return more
}

const (
	smallestBlock = 1 << 10
	largestBlock  = 256 << 10
)

// block is a piece of the data file, the larger, the more of the ones before was used.
type block struct {
	data   io.ReaderAt
	size   int64 // of the file
	bytes  []byte
	offset int64
	used   int64 // how many of its bytes were asked for
	asked  int64 // where what was asked for ends
	span   int64 // bytes to read at once
}

// at returns n bytes of the file, which it has, until the next call.
func (b *block) at(offset int64, n int) ([]byte, error) {
	if offset < b.offset || offset+int64(n) > b.offset+int64(len(b.bytes)) {
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
	case b.used >= int64(len(b.bytes))/2:
		b.span = min(2*b.span, largestBlock)
	case b.used < int64(len(b.bytes))/8:
		b.span = max(b.span/2, smallestBlock)
	}
	size := min(max(n, b.span), b.size-offset)
	if size > int64(cap(b.bytes)) {
		b.bytes = make([]byte, max(size, min(2*b.span, largestBlock)))
	}
	b.bytes = b.bytes[:size]
	b.offset, b.asked, b.used = offset, offset, 0
	err := readFull(b.data, b.bytes, offset)
	if err != nil {
		b.bytes = b.bytes[:0]
	}
	return err
}
