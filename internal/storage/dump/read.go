package dump

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// bufferSize is the memory that a Reader needs, in bytes, unless a record is larger.
const bufferSize = 1 << 20

// Reader hands out the records of a dump. It belongs to one goroutine.
type Reader struct {
	file     disk.File
	path     string
	fileSize int64
	records  uint64 // as the header tells
	size     uint64 // as the header tells
	buffer   []byte

	at   int64  // where the next record begins
	left uint64 // bytes from there to the announced end
	read uint64 // records handed out
	end  error  // that of Next, once there is no further record
}

// DamageError says that a dump breaks a rule of storage spec §2.6.
type DamageError struct {
	File   string
	Offset int64  // what lies before it is intact: the header and Got records, or nothing
	Want   uint64 // records, as the header tells
	Got    uint64 // records that are intact and were handed out
	Reason string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("dump %s: damaged at offset %d, where %d of %d records have been read: %s",
		e.File, e.Offset, e.Got, e.Want, e.Reason)
}

// Open opens a dump, which the process need not be allowed to write. Damage is not looked for before the first call of Next.
func Open(dir disk.Dir, fileName string) (*Reader, error) {
	file, err := disk.OpenToRead(dir, fileName)
	if err != nil {
		return nil, fmt.Errorf("dump %s: %w", dir.Path(fileName), err)
	}
	r := &Reader{file: file, path: dir.Path(fileName)}
	if err := r.readHeader(); err != nil {
		file.Close()
		return nil, fmt.Errorf("dump %s: %w", r.path, err)
	}
	return r, nil
}

func (r *Reader) readHeader() (err error) {
	if r.fileSize, err = r.file.Size(); err != nil {
		return err
	}
	if r.fileSize < headerSize {
		r.end = r.damage(fmt.Sprintf("it has %d bytes, and its header takes %d", r.fileSize, headerSize))
		return nil
	}
	var header [headerSize]byte
	if err := r.readAt(header[:]); err != nil {
		return err
	}
	r.records = uint64(binary.LittleEndian.Uint32(header[0:]))
	r.size = binary.LittleEndian.Uint64(header[4:])
	r.at, r.left = headerSize, r.size
	return nil
}

// Records is the number of records that the header announces, of which a damaged file has
// fewer.
func (r *Reader) Records() uint64 { return r.records }

// Size is the number of bytes that the header announces for the records with their 8-byte
// lengths. It is what a ring needs, and any number in a damaged file.
func (r *Reader) Size() uint64 { return r.size }

// Trailing is the number of bytes behind the announced end. They are ignored.
func (r *Reader) Trailing() uint64 {
	behind := uint64(max(0, r.fileSize-headerSize))
	return behind - min(behind, r.size)
}

// Close closes the file. Runs must not be used any more.
func (r *Reader) Close() error {
	r.release()
	return r.file.Close()
}

// Next hands out the next records, laid out as in a ring. They stay valid until the next call
// of Next or Close. Behind the last record the error is io.EOF if the dump is intact, and a
// *DamageError if it is not; any other error is one of reading, and another Reader may get
// further. Errors come without records, and again with every further call.
func (r *Reader) Next() (run []byte, records int, err error) {
	if r.end == nil {
		run, records, r.end = r.next()
	}
	if r.end != nil {
		return nil, 0, r.end
	}
	return run, records, nil
}

// next applies the rules L3 to L7. That no record means no bytes (L4) is a case of L7, and
// that n has room for the lengths of all records (L5) one of L6.
func (r *Reader) next() (run []byte, records int, err error) {
	if r.read == r.records {
		if r.left > 0 {
			return nil, 0, r.damage(fmt.Sprintf("%d bytes are left over behind the last record", r.left))
		}
		return nil, 0, io.EOF
	}
	there := min(r.left, uint64(r.fileSize-r.at))
	for need := uint64(max(bufferSize, cap(r.buffer))); ; {
		if err := r.fill(min(need, there)); err != nil {
			return nil, 0, err
		}
		size, records := walk(r.buffer, int(r.records-r.read))
		if records > 0 {
			r.at += int64(size)
			r.left -= uint64(size)
			r.read += uint64(records)
			return r.buffer[:size], records, nil
		}
		length := uint64(0)
		if len(r.buffer) >= recordHeaderSize {
			length = binary.LittleEndian.Uint64(r.buffer)
		}
		if reason := r.fault(length, there); reason != "" {
			return nil, 0, r.damage(reason)
		}
		need = recordHeaderSize + length
	}
}

// fault says why the next record, of that payload length if its length can be read, cannot
// be read from the bytes that are there. It returns nothing if it can.
func (r *Reader) fault(length, there uint64) (reason string) {
	switch {
	case r.left < recordHeaderSize:
		return fmt.Sprintf("%d bytes are too few for the length of the next record", r.left)
	case there < recordHeaderSize, length > there-recordHeaderSize && length <= r.left-recordHeaderSize:
		return fmt.Sprintf("the file ends %d bytes too early", r.left-there)
	case length > there-recordHeaderSize:
		return fmt.Sprintf("the next record has a length of %d, and only %d bytes follow", length, r.left-recordHeaderSize)
	}
	return ""
}

func (r *Reader) damage(reason string) error {
	return &DamageError{File: r.path, Offset: r.at, Want: r.records, Got: r.read, Reason: reason}
}

// fill reads the size bytes from the next record on, which the file has, into the buffer.
func (r *Reader) fill(size uint64) error {
	if size > uint64(cap(r.buffer)) {
		if err := r.grow(size); err != nil {
			return fmt.Errorf("dump %s: %w", r.path, err)
		}
	}
	r.buffer = r.buffer[:size]
	if err := r.readAt(r.buffer); err != nil {
		return fmt.Errorf("dump %s: %w", r.path, err)
	}
	return nil
}

// grow makes the buffer hold that many bytes. It is memory outside of the Go heap because a
// lack of that is an error and not the end of the process.
func (r *Reader) grow(size uint64) error {
	r.release()
	buffer, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return fmt.Errorf("memory for %d bytes: %w", size, err)
	}
	r.buffer = buffer
	return nil
}

func (r *Reader) release() {
	if cap(r.buffer) > 0 {
		unix.Munmap(r.buffer[:cap(r.buffer)])
	}
	r.buffer = nil
}

// readAt reads all of p from where the next record begins.
func (r *Reader) readAt(p []byte) error {
	n, err := r.file.ReadAt(p, r.at)
	switch {
	case n == len(p):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF // io.EOF would mean that the dump is intact
	}
	return err
}
