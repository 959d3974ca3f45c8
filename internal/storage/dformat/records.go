package dformat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// RunSize is the most bytes of a run of more than one record.
const RunSize = 1 << 20

// Run is consecutive records as they lie in a ring: the length, 8 bytes, then the payload.
type Run struct {
	Bytes   []byte
	Records int
}

// Count is a number of records and the bytes of their payloads.
type Count struct {
	Records uint64 `json:"records"`
	Bytes   uint64 `json:"bytes"`
}

// Add adds others.
func (c *Count) Add(other Count) {
	c.Records += other.Records
	c.Bytes += other.Bytes
}

func (c Count) less(other Count) Count {
	return Count{c.Records - other.Records, c.Bytes - other.Bytes}
}

func (c Count) String() string {
	if c.Records == 1 {
		return fmt.Sprintf("1 record of %d bytes", c.Bytes)
	}
	return fmt.Sprintf("%d records of %d bytes", c.Records, c.Bytes)
}

// Part is the records of a queue in one file.
type Part struct {
	Records uint64
	Bytes   uint64 // with 8 for each record, as in a ring

	dir  disk.Dir
	file string
	trail
}

// Count counts the records.
func (p *Part) Count() Count { return Count{p.Records, p.Bytes - ring.HeaderSize*p.Records} }

// trail is where records lie that are read one after another.
type trail struct {
	front int64 // bytes of each record in front of its length: a header with a link, or nothing
	first int64 // offset of the first one
	// jumps is where the next one lies behind those that do not tell. There is one for each place
	// at which a chain is damaged.
	jumps map[int64]int64
}

// Runs reads the records, oldest first. A run stays valid until the next one and has at most
// [RunSize] bytes, unless its only record is larger. An error, which comes once and last, says
// that the file cannot be read or has been changed since it was looked at.
func (p *Part) Runs() iter.Seq2[Run, error] {
	return func(yield func(Run, error) bool) {
		if p.Records == 0 {
			return
		}
		file, err := disk.OpenToRead(p.dir, p.file)
		if err == nil {
			defer file.Close()
			err = p.read(file, yield)
		}
		if err != nil && err != errEnough {
			yield(Run{}, fmt.Errorf("%s: %w", p.dir.Path(p.file), err))
		}
	}
}

var (
	errChanged = errors.New("the file was changed while it was being read")
	errEnough  = errors.New("no more runs are wanted")
)

// reader reads a part into runs.
type reader struct {
	block block
	out   buffer
	run   Run // what is in out
	yield func(Run, error) bool
}

func (p *Part) read(file disk.File, yield func(Run, error) bool) (err error) {
	r := reader{yield: yield}
	defer r.out.release()
	if r.block, err = newBlock(file); err != nil {
		return err
	}
	if err := r.out.grow(min(RunSize, p.Bytes)); err != nil {
		return err
	}
	left := p.Bytes
	for at, n := p.first, uint64(0); n < p.Records; n++ {
		size, next, err := p.look(&r.block, at)
		if err != nil {
			return err
		}
		if size > left {
			return errChanged
		}
		if err := r.add(at+p.front, size); err != nil {
			return err
		}
		at, left = next, left-size
	}
	if left > 0 {
		return errChanged
	}
	return r.flush()
}

// look returns the size of the record at an offset, with 8 for its length, and where the next one
// lies.
func (t *trail) look(b *block, at int64) (size uint64, next int64, err error) {
	head := int(t.front) + ring.HeaderSize
	if at < 0 || at > b.size-int64(head) {
		return 0, 0, errChanged
	}
	bytes, err := b.at(at, head)
	if err != nil {
		return 0, 0, err
	}
	length := binary.LittleEndian.Uint64(bytes[t.front:])
	if length > uint64(b.size-at-int64(head)) {
		return 0, 0, errChanged
	}
	jump, jumps := t.jumps[at]
	switch {
	case jumps:
		next = jump
	case t.front == 0:
		next = at + int64(head) + int64(length)
	default:
		next = at + int64(binary.LittleEndian.Uint64(bytes[nextOffset:]))
	}
	return ring.HeaderSize + length, next, nil
}

// add appends the record whose length lies at an offset.
func (r *reader) add(at int64, size uint64) error {
	n := len(r.out.bytes)
	if size > uint64(max(0, min(RunSize, cap(r.out.bytes))-n)) {
		if err := r.flush(); err != nil {
			return err
		}
		if err := r.out.grow(max(size, RunSize)); err != nil {
			return err
		}
		n = 0
	}
	r.out.bytes = r.out.bytes[:n+int(size)]
	r.run.Records++
	if size > largestBlock {
		return readFull(r.block.file, r.out.bytes[n:], at)
	}
	b, err := r.block.at(at, int(size))
	copy(r.out.bytes[n:], b)
	return err
}

// flush hands the run out, if there is any.
func (r *reader) flush() error {
	r.run.Bytes = r.out.bytes
	if r.run.Records > 0 && !r.yield(r.run, nil) {
		return errEnough
	}
	r.out.bytes, r.run = r.out.bytes[:0], Run{}
	return nil
}
