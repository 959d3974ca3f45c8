package dformat

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// Content is a queue as it is to be left for a start of the D node. One without records gets an
// empty dump if it is that of a subscriber, and nothing otherwise.
type Content struct {
	// Number of the queue, unlike that of any other. It is in the temporary name of the dump,
	// and the overflow id if it can be one.
	Number         uint64
	Storage        string
	Dump, Overflow Stream
}

// Stream is the records of a part of a queue, and how many there must be.
type Stream struct {
	Records uint64
	Bytes   uint64                // with 8 for each record, as in a ring
	Runs    iter.Seq2[Run, error] // may be nil if there are no records
}

// Dumped reports whether the queue gets a dump.
func (c Content) Dumped() bool {
	_, _, subscribed, _ := names.ParseStorage(c.Storage)
	return c.Dump.Records > 0 || subscribed && c.Overflow.Records == 0
}

// diskBlock is how disk space is given to files, in bytes.
const diskBlock = 4096

// Need returns the bytes of disk space that Write takes, at the most.
func Need(contents []Content) uint64 {
	const longestNumber = 21 // with the space before it
	var need, data, index uint64
	for _, c := range contents {
		if c.Dumped() {
			need += blocks(dumpHeaderSize + c.Dump.Bytes)
		}
		if c.Overflow.Records > 0 {
			data += c.Overflow.Bytes + (headerSize-ring.HeaderSize)*c.Overflow.Records
			index += uint64(len(c.Storage)) + 4*longestNumber + 1
		}
	}
	if data > 0 {
		need += blocks(uint64(magicSize)+data) + blocks(index)
	}
	return need
}

func blocks(size uint64) uint64 { return (size + diskBlock - 1) / diskBlock * diskBlock }

// Write writes the files under temporary names. Nothing is synced. The chains of the overflow
// lie one behind the other in the order of contents. After an error none of the files is left,
// unless the error says so.
func Write(dir disk.Dir, contents []Content) error {
	w := writer{dir: dir, buffer: bufio.NewWriterSize(nil, RunSize)}
	err := w.writeOverflow(contents)
	for i := 0; i < len(contents) && err == nil; i++ {
		if c := contents[i]; c.Dumped() {
			err = w.writeDump(c)
		}
	}
	if err == nil {
		return nil
	}
	if left := Discard(dir); left != nil {
		err = fmt.Errorf("%w; what was written is still there: %w", err, left)
	}
	return err
}

// writer writes one file after another.
type writer struct {
	dir    disk.Dir
	buffer *bufio.Writer
}

// file writes a new file, in place of one of the same name.
func (w *writer) file(name string, fill func() error) (err error) {
	file, err := w.dir.Create(name)
	if errors.Is(err, fs.ErrExist) {
		if err = w.dir.Remove(name); err == nil {
			file, err = w.dir.Create(name)
		}
	}
	if err != nil {
		return err
	}
	w.buffer.Reset(io.NewOffsetWriter(file, 0))
	if err = fill(); err == nil {
		err = w.buffer.Flush()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}

func (w *writer) writeDump(c Content) error {
	err := w.file(temporaryDump(c.Number), func() error {
		if c.Dump.Records > math.MaxUint32 {
			return fmt.Errorf("%d records are more than the %d it can hold", c.Dump.Records, uint32(math.MaxUint32))
		}
		w.buffer.Write(dumpHeader(c.Dump.Records, c.Dump.Bytes))
		return c.Dump.each(func(run Run) error {
			_, err := w.buffer.Write(run.Bytes)
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("write dump of %s: %w", c.Storage, err)
	}
	return nil
}

func dumpHeader(records, bytes uint64) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(records))
	return binary.LittleEndian.AppendUint64(b, bytes)
}

// writeOverflow writes data file and index, if there are records.
func (w *writer) writeOverflow(contents []Content) error {
	var chains []Content
	for _, c := range contents {
		if c.Overflow.Records > 0 {
			chains = append(chains, c)
		}
	}
	if len(chains) == 0 {
		return nil
	}
	var index []byte
	err := w.file(newDataName, func() error {
		w.buffer.WriteString(magic)
		at := magicSize
		for i, id := range overflowIDs(chains) {
			e, err := w.writeChain(chains[i], id, at)
			if err != nil {
				return fmt.Errorf("overflow of %s: %w", chains[i].Storage, err)
			}
			index = e.append(index)
			at += int64(e.bytes + headerSize*e.records)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.file(newIndexName, func() error {
		_, err := w.buffer.Write(index)
		return err
	})
}

// overflowIDs returns the ids of the chains: the number of the queue, or if it can't be an id, one
// that is free.
func overflowIDs(chains []Content) (ids []uint32) {
	taken := make(map[uint64]bool, len(chains))
	for _, c := range chains {
		taken[c.Number] = true
	}
	free := uint64(1)
	for _, c := range chains {
		id := c.Number
		if id == 0 || id > math.MaxUint32 {
			for taken[free] {
				free++
			}
			id, taken[free] = free, true
		}
		ids = append(ids, uint32(id))
	}
	return ids
}

// writeChain appends the records of a queue at the end of the data file, which is at, and returns
// their line of the index.
func (w *writer) writeChain(c Content, id uint32, at int64) (entry, error) {
	e := entry{name: c.Storage, records: c.Overflow.Records, first: at}
	e.bytes = c.Overflow.Bytes - ring.HeaderSize*e.records
	left := e.records
	var b [headerSize]byte
	err := c.Overflow.each(func(run Run) error {
		for rest := run.Bytes; len(rest) > 0; {
			h := header{channel: id, length: binary.LittleEndian.Uint64(rest)}
			if left--; left > 0 {
				h.next = h.size()
			} else {
				e.last = at
			}
			at += h.size()
			h.put(b[:])
			w.buffer.Write(b[:])
			if _, err := w.buffer.Write(rest[ring.HeaderSize:][:h.length]); err != nil {
				return err
			}
			rest = rest[ring.HeaderSize+h.length:]
		}
		return nil
	})
	return e, err
}

// each hands out the runs, provided that they are what they are said to be.
func (s Stream) each(use func(Run) error) error {
	var records, bytes uint64
	if s.Records > 0 {
		for run, err := range s.Runs {
			if err != nil {
				return err
			}
			whole, n := ring.Cut(run.Bytes, math.MaxInt, math.MaxInt)
			if len(whole) != len(run.Bytes) || n != run.Records {
				return fmt.Errorf("the run behind record %d does not consist of %d records", records, run.Records)
			}
			records += uint64(n)
			bytes += uint64(len(whole))
			if records > s.Records || bytes > s.Bytes {
				break
			}
			if err := use(run); err != nil {
				return err
			}
		}
	}
	if records != s.Records || bytes != s.Bytes {
		return fmt.Errorf("%d records of %d bytes in all were announced, but there are %d of %d, or more",
			s.Records, s.Bytes, records, bytes)
	}
	return nil
}
