package overflow

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// lengthSize is the size of the length in front of a payload in a run.
const lengthSize = 8

var errBadRun = errors.New("the run doesn't consist of the records it should")

// Push appends one record. After an error nothing of the record is left.
func (q *Queue) Push(payload []byte) error {
	f := q.file
	f.mu.Lock()
	defer f.mu.Unlock()
	size := headerSize + int64(len(payload))
	at, b, err := f.reserve(size)
	if err != nil {
		return q.pushError(err)
	}
	h := header{channel: q.state.ID, length: uint64(len(payload))}
	h.put(b)
	copy(b[headerSize:], payload)
	return q.commit(appended{at, at, at + size, h.length, 1, h.length})
}

// PushRun appends records that are laid out as in a ring, all or none: 8 bytes
// little-endian length, payload. After an error nothing of them is left.
func (q *Queue) PushRun(run []byte, records int) error {
	if !validRun(run, records) {
		return q.pushError(errBadRun)
	}
	if records == 0 {
		return nil
	}
	f := q.file
	f.mu.Lock()
	defer f.mu.Unlock()
	size := int64(len(run)) + int64(records)*(headerSize-lengthSize)
	at, b, err := f.reserve(size)
	if err != nil {
		return q.pushError(err)
	}
	last, end := at, at+size
	h := header{channel: q.state.ID}
	for len(run) > 0 {
		h.length = binary.LittleEndian.Uint64(run)
		n := lengthSize + int(h.length)
		last = end - int64(len(b))
		if h.next = h.size(); n == len(run) {
			h.next = 0
		}
		h.put(b)
		copy(b[headerSize:], run[lengthSize:n])
		run, b = run[n:], b[h.size():]
	}
	bytes := uint64(size) - uint64(records)*headerSize
	return q.commit(appended{at, last, end, h.length, records, bytes})
}

func validRun(run []byte, records int) bool {
	for len(run) >= lengthSize && records > 0 {
		length := binary.LittleEndian.Uint64(run)
		run = run[lengthSize:]
		if length > uint64(len(run)) {
			return false
		}
		run = run[length:]
		records--
	}
	return len(run) == 0 && records == 0
}

// appended is some records of one storage that lie behind the end of the file and become
// part of it. Positions are logical.
type appended struct {
	first, last, end int64
	lastLength       uint64
	records          int
	bytes            uint64 // of the payloads
}

// commit links the records to the newest one of the storage and moves the end of the file
// behind them (with file.mu held).
func (q *Queue) commit(a appended) error {
	f := q.file
	if q.newest != 0 {
		if err := q.link(a.first); err != nil {
			return q.pushError(err)
		}
	}
	f.end, f.pushed = a.end, true
	if q.keep.Load() == nothing {
		q.keep.Store(a.first)
		f.busy++
	}
	q.newest, q.newestEnd, q.newestLength = a.last, a.end, a.lastLength
	if q.unread == 0 {
		q.next = a.first
	}
	q.unread += a.records
	if q.state.Records == 0 {
		q.state.First = a.first
	}
	q.state.Last = a.last
	q.state.Records += uint64(a.records)
	q.state.Bytes += a.bytes
	return nil
}

// link makes the newest record point to a position, or changes nothing that counts: the
// link of the newest record is never followed.
func (q *Queue) link(to int64) error {
	h := header{channel: q.state.ID, next: to - q.newest, length: q.newestLength}
	return q.file.storeLink(q.newest, h)
}

func (q *Queue) pushError(err error) error {
	return fmt.Errorf("overflow of storage %s: %w", q.name, err)
}
