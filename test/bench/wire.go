package main

import (
	"encoding/binary"
	"fmt"
)

// The part of the legacy protocol that the workloads and the ceiling speak
// (legacy protocol spec §2, §6).
const (
	codePush              = 1
	codeConsume           = 6
	codeGetNumConnections = 8
	codeProduce           = 10

	statusOk           = 200
	statusNotSupported = 406

	codeLen   = 4
	statusLen = 4
	lengthLen = 8
)

// endOfStream is the zero-length array that ends a Produce.
var endOfStream = make([]byte, lengthLen)

// appendCode appends a command code or a status to b.
func appendCode(b []byte, code uint32) []byte {
	return binary.LittleEndian.AppendUint32(b, code)
}

// appendArray appends value as an array, its length first, to b.
func appendArray(b, value []byte) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(value))), value...)
}

// newRecord returns a record of size bytes. They count upwards, so that no record looks
// like a run of zero lengths.
func newRecord(size int) []byte {
	record := make([]byte, size)
	for i := range record {
		record[i] = byte(i) | 1
	}
	return record
}

// appendRecords appends count records of size bytes to b.
func appendRecords(b []byte, size, count int) []byte {
	record := newRecord(size)
	for range count {
		b = appendArray(b, record)
	}
	return b
}

// walker follows a stream of records that all have the same size, in whatever pieces it
// arrives, and counts the complete ones. It looks at the lengths only and copies nothing.
type walker struct {
	size    uint64 // of every record, at least 1
	records int64  // completely seen so far

	missing int             // bytes of the current record still to come
	header  [lengthLen]byte // a length that was split between two pieces
	have    int             // bytes of header filled
}

// walk takes the next piece of the stream, up to and including a zero-length array. It
// returns how many bytes it took and whether the zero-length array was among them.
// Any length but 0 and the size of the records is an error: the stream can't be right.
func (w *walker) walk(piece []byte) (taken int, ended bool, err error) {
	pos := 0
	if w.missing > 0 {
		pos = min(w.missing, len(piece))
		if w.missing -= pos; w.missing > 0 {
			return pos, false, nil
		}
		w.records++
	}
	if w.have > 0 {
		n := copy(w.header[w.have:], piece[pos:])
		if w.have += n; w.have < lengthLen {
			return len(piece), false, nil
		}
		pos, w.have = pos+n, 0
		length := binary.LittleEndian.Uint64(w.header[:])
		if length != w.size {
			return pos, length == 0, w.check(length)
		}
		if pos += int(length); pos <= len(piece) {
			w.records++
		}
	}
	for pos+lengthLen <= len(piece) {
		length := binary.LittleEndian.Uint64(piece[pos:])
		pos += lengthLen
		if length != w.size {
			return pos, length == 0, w.check(length)
		}
		if pos += int(length); pos <= len(piece) {
			w.records++
		}
	}
	if pos > len(piece) {
		w.missing = pos - len(piece)
	} else {
		w.have = copy(w.header[:], piece[pos:])
	}
	return len(piece), false, nil
}

// atBoundary reports whether the stream so far ends with a complete record.
func (w *walker) atBoundary() bool { return w.missing == 0 && w.have == 0 }

func (w *walker) check(length uint64) error {
	if length == 0 {
		return nil
	}
	return fmt.Errorf("record %d has %d bytes, want %d", w.records+1, length, w.size)
}
