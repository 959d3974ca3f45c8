// Package recordfile is the file that dmq drain writes and dmq load reads: the records of a
// channel, one behind the other.
//
//	"dmq-records 1.0\n"                                       16 bytes
//	{ length u64 | CRC-32C u32 | record, length bytes } …     little-endian
//
// The checksum is of the eight length bytes and the record. A file may be appended to at
// any time, and files may be joined after cutting off the first 16 bytes of the second.
//
// [Writer.Commit] returns when all records before it are on disk. A process or machine that
// dies leaves, behind the last commit, some more intact records or a part of one: that part
// is torn off by the next [Append], and a [Reader] ends in front of it with [ErrTorn].
// Anything else that is not intact is [ErrDamaged], and never changed.
//
// It imports nothing of this module.
package recordfile

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

const (
	magic     = "dmq-records 1.0\n"
	headSize  = 8 + 4
	firstPart = 64 << 10 // memory taken for a record before any of it was read
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var (
	// ErrTorn means that the file ends within a record: who wrote it was interrupted.
	ErrTorn = errors.New("the file ends within a record")

	// ErrDamaged means that a record is not what was written.
	ErrDamaged = errors.New("damaged record")

	// ErrFormat means that this is no file of records.
	ErrFormat = errors.New("no file of records, as dmq drain writes it")
)

// appendHead appends what precedes a record.
func appendHead(b, record []byte) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(record)))
	return binary.LittleEndian.AppendUint32(b, checksum(b[start:], record))
}

func checksum(length, record []byte) uint32 {
	return crc32.Update(crc32.Checksum(length, castagnoli), castagnoli, record)
}

// Reader reads records one by one.
type Reader struct {
	in     io.Reader
	offset int64 // of the next record
	record []byte
}

// NewReader returns a reader of a file from its begin. in should be buffered.
func NewReader(in io.Reader) (*Reader, error) {
	var head [len(magic)]byte
	n, err := io.ReadFull(in, head[:])
	switch {
	case (err == io.EOF || err == io.ErrUnexpectedEOF) && string(head[:n]) == magic[:n]:
		return nil, ErrTorn // made, and nothing written
	case err != nil && err != io.EOF && err != io.ErrUnexpectedEOF:
		return nil, err
	case string(head[:n]) != magic:
		return nil, ErrFormat
	}
	return &Reader{in: in, offset: int64(len(magic))}, nil
}

// Next returns the next record, valid until the next call, or io.EOF, ErrTorn or
// ErrDamaged, or an error of the input.
func (r *Reader) Next() ([]byte, error) {
	var head [headSize]byte
	switch _, err := io.ReadFull(r.in, head[:]); {
	case err == io.ErrUnexpectedEOF:
		return nil, ErrTorn
	case err != nil:
		return nil, err
	}
	length := binary.LittleEndian.Uint64(head[:])
	if err := r.read(length); err != nil {
		return nil, err
	}
	if checksum(head[:8], r.record) != binary.LittleEndian.Uint32(head[8:]) {
		return nil, ErrDamaged
	}
	r.offset += headSize + int64(length)
	return r.record, nil
}

// read reads a record of that length. Memory is taken as it arrives, since the length may be
// damaged.
func (r *Reader) read(length uint64) error {
	r.record = r.record[:0]
	for uint64(len(r.record)) < length {
		part := min(length-uint64(len(r.record)), uint64(max(len(r.record), firstPart)))
		have := len(r.record)
		r.record = append(r.record, make([]byte, part)...)
		n, err := io.ReadFull(r.in, r.record[have:])
		r.record = r.record[:have+n]
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return ErrTorn
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Offset returns where the next record begins in the file, in bytes.
func (r *Reader) Offset() int64 { return r.offset }
