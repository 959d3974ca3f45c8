// Package overflowtest is an overflow for tests of what uses one: it keeps records in the Go
// heap, in chunks laid out as in a ring, and nothing survives.
//
// The package imports ring and nothing else of the node.
package overflowtest

import (
	"encoding/binary"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// A chunk is as large as all that is held when it is made, within these bounds in bytes:
// an overflow that is empty most of the time stays cheap. A larger record has a chunk of
// its own.
const (
	smallestChunk = 4 << 10
	largestChunk  = 1 << 20
)

// Memory is the overflow of one storage. It has no lock; the caller serialises all
// calls.
type Memory struct {
	chunks  []chunk // held records, oldest first
	current int     // the chunk that Take continues in
	held    int
	waiting int
	size    uint64 // of the held records with their headers
}

type chunk struct {
	bytes []byte
	taken int // bytes handed out
	freed int // bytes given back
}

// Push appends one record. It does not fail.
func (m *Memory) Push(payload []byte) error {
	need := ring.HeaderSize + len(payload)
	last := len(m.chunks) - 1
	if last < 0 || cap(m.chunks[last].bytes)-len(m.chunks[last].bytes) < need {
		size := min(max(smallestChunk, m.size), largestChunk)
		m.chunks = append(m.chunks, chunk{bytes: make([]byte, 0, max(int(size), need))})
		last++
	}
	c := &m.chunks[last]
	c.bytes = binary.LittleEndian.AppendUint64(c.bytes, uint64(len(payload)))
	c.bytes = append(c.bytes, payload...)
	m.held++
	m.waiting++
	m.size += uint64(need)
	return nil
}

// Take hands out the oldest waiting records of one chunk.
func (m *Memory) Take(enough, maxRecords int) (run []byte, records int, err error) {
	if m.waiting == 0 {
		return nil, 0, nil
	}
	for m.chunks[m.current].taken == len(m.chunks[m.current].bytes) {
		m.current++
	}
	c := &m.chunks[m.current]
	run, records = ring.Cut(c.bytes[c.taken:], enough, maxRecords)
	c.taken += len(run)
	m.waiting -= records
	return run, records, nil
}

// Free drops the oldest handed-out records.
func (m *Memory) Free(size, records int) {
	c := &m.chunks[0]
	c.freed += size
	m.held -= records
	m.size -= uint64(size)
	switch {
	case m.held == 0:
		*m = Memory{}
	case c.freed == len(c.bytes):
		*c = chunk{}
		m.chunks = m.chunks[1:]
		m.current = max(0, m.current-1)
	}
}

// Held is the number of records, those handed out included.
func (m *Memory) Held() int { return m.held }

// Waiting is the number of records not handed out.
func (m *Memory) Waiting() int { return m.waiting }

// PayloadBytes is the sum of the payload lengths of the held records.
func (m *Memory) PayloadBytes() uint64 { return m.size - uint64(m.held)*ring.HeaderSize }

// Rename changes nothing: nothing is kept by name.
func (m *Memory) Rename(string) {}

// Remove drops all records. Runs that are handed out stay readable.
func (m *Memory) Remove() { *m = Memory{} }
