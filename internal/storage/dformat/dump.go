package dformat

import (
	"encoding/binary"
	"fmt"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

const (
	dumpSuffix     = ".rq"
	dumpHeaderSize = 12
)

// DumpFile is the name of the dump of a storage.
func DumpFile(storage string) string { return storage + dumpSuffix }

// dumpReader reads the records of a dump, as far as the file proves them to be whole.
type dumpReader struct {
	file     disk.File
	fileSize int64
	records  uint64 // as the header tells
	bytes    uint64 // as the header tells

	at    int64  // where the next record begins
	left  uint64 // bytes from there to the announced end
	read  uint64 // records read
	out   buffer
	fault string // what is wrong with the header, or at the place where reading has ended
}

// openDump opens a dump and reads its header.
func openDump(dir disk.Dir, name string) (*dumpReader, error) {
	file, err := disk.OpenToRead(dir, name)
	if err != nil {
		return nil, err
	}
	r := &dumpReader{file: file}
	if err := r.readHeader(); err != nil {
		file.Close()
		return nil, err
	}
	return r, nil
}

func (r *dumpReader) close() {
	r.out.release()
	r.file.Close()
}

func (r *dumpReader) readHeader() (err error) {
	if r.fileSize, err = r.file.Size(); err != nil {
		return err
	}
	if r.fileSize < dumpHeaderSize {
		r.fault = fmt.Sprintf("it has %d bytes, and its header takes %d", r.fileSize, dumpHeaderSize)
		return nil
	}
	var b [dumpHeaderSize]byte
	if err := readFull(r.file, b[:], 0); err != nil {
		return err
	}
	r.records = uint64(binary.LittleEndian.Uint32(b[0:]))
	r.bytes = binary.LittleEndian.Uint64(b[4:])
	r.at, r.left = dumpHeaderSize, r.bytes
	return nil
}

// credible reports whether header and file size can be those of an intact dump.
func (r *dumpReader) credible() bool {
	return r.fault == "" && r.bytes <= uint64(r.fileSize-dumpHeaderSize) &&
		r.bytes >= ring.HeaderSize*r.records && (r.records > 0) == (r.bytes > 0)
}

// next reads the next records, by the rules L3 to L7 of storage spec §2.6. There are none
// behind the last, and none where there is a fault. That no record means no bytes (L4) is a
// case of L7, and that n has room for the lengths of all records (L5) one of L6.
func (r *dumpReader) next() (run Run, err error) {
	if r.fault != "" {
		return Run{}, nil
	}
	if r.read == r.records {
		if r.left > 0 {
			r.fault = fmt.Sprintf("%d bytes are left over behind the last record", r.left)
		}
		return Run{}, nil
	}
	there := min(r.left, uint64(r.fileSize-r.at))
	for need := uint64(RunSize); ; {
		if err := r.fill(min(need, there)); err != nil {
			return Run{}, err
		}
		size, records := walk(r.out.bytes, r.records-r.read)
		if records > 0 {
			r.at += int64(size)
			r.left -= uint64(size)
			r.read += uint64(records)
			return Run{r.out.bytes[:size], records}, nil
		}
		length := uint64(0)
		if len(r.out.bytes) >= ring.HeaderSize {
			length = binary.LittleEndian.Uint64(r.out.bytes)
		}
		if r.fault = r.reason(length, there); r.fault != "" {
			return Run{}, nil
		}
		need = ring.HeaderSize + length
	}
}

// reason says why the next record, of that payload length if its length can be read, cannot
// be read from the bytes that are there. It returns nothing if it can.
func (r *dumpReader) reason(length, there uint64) string {
	switch {
	case r.left < ring.HeaderSize:
		return fmt.Sprintf("%d bytes are too few for the length of the next record", r.left)
	case there < ring.HeaderSize, length > there-ring.HeaderSize && length <= r.left-ring.HeaderSize:
		return fmt.Sprintf("the file ends %d bytes too early", r.left-there)
	case length > there-ring.HeaderSize:
		return fmt.Sprintf("the next record has a length of %d, and only %d bytes follow", length, r.left-ring.HeaderSize)
	}
	return ""
}

// fill reads the size bytes from the next record on, which the file has, into the buffer.
func (r *dumpReader) fill(size uint64) error {
	if err := r.out.grow(size); err != nil {
		return err
	}
	r.out.bytes = r.out.bytes[:size]
	return readFull(r.file, r.out.bytes, r.at)
}

// walk measures the whole records at the front of b, at most limit of them.
func walk(b []byte, limit uint64) (size, records int) {
	for uint64(records) < limit && len(b)-size >= ring.HeaderSize {
		length := binary.LittleEndian.Uint64(b[size:])
		if length > uint64(len(b)-size-ring.HeaderSize) {
			break
		}
		size += ring.HeaderSize + int(length)
		records++
	}
	return size, records
}
