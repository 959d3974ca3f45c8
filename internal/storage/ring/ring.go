// Package ring keeps the records of one storage in a fixed block of memory.
//
// # Layout
//
// A record is an 8-byte little-endian payload length followed by the payload, and is
// always contiguous (storage spec §1.3). That is also how a legacy Consume stream and
// a neo record batch look on the wire, so a run of records goes from the ring to a
// socket as it is.
//
//	        read          next            write = gap
//	         ▼             ▼               ▼
//	[ free   | handed out  | waiting       | free               ]   not wrapped
//
//	        write          read           next     gap
//	         ▼              ▼              ▼        ▼
//	[ waiting| free         | handed out   | waiting| dead zone ]   wrapped
//
// Records leave in two steps. Take hands out the oldest records that are not handed
// out yet, and Free gives back the memory of the oldest handed-out ones. Between the
// two they stay where they are: whoever was to send them may still fail to. A run that is
// delivered while an older one is not can't be freed yet; Mark notes it where it lies, so
// that a ring in a file, when it is opened again, knows that it was.
//
// Admission and the reported numbers are those of storage spec §1.4 and §1.5, a
// handed-out record counting as held until it is freed. A ring that becomes empty
// starts again at offset 0, so a queue that is kept short stays on few, warm pages.
//
// # Concurrency
//
// A Ring has no lock; the caller serialises all calls. The bytes of a handed-out run
// do not change until the run is freed and may be read without the caller's lock.
//
// The package imports disk and nothing else of the node.
package ring

import (
	"encoding/binary"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// HeaderSize is the number of bytes a record needs beside its payload.
const HeaderSize = 8

// Ring is a queue of records in a block of memory of fixed size. See the package
// comment for its invariants.
type Ring struct {
	data []byte

	read  int // oldest held record; valid while held > 0
	next  int // oldest waiting record; valid while waiting > 0
	write int // next free byte
	gap   int // end of the rearmost record

	held    int // records in the ring, handed out or not
	waiting int // records not handed out
	marked  int // marked runs among those that wait: see Mark

	mapping disk.Mapping // of its file; nil = anonymous memory
}

// maxCapacity is half of the address space of a process.
const maxCapacity = 1 << 46

// New allocates a ring of capacity bytes of anonymous memory, outside the Go heap. The
// kernel commits the pages as they are first touched.
func New(capacity uint64) (*Ring, error) {
	if capacity > maxCapacity {
		return nil, fmt.Errorf("ring of %d bytes: larger than the address space", capacity)
	}
	if capacity == 0 {
		return &Ring{}, nil // every record overflows
	}
	data, err := unix.Mmap(-1, 0, int(capacity),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("ring of %d bytes: mmap: %w (allow the process more memory, or make channel_size_limit smaller)", capacity, err)
	}
	return &Ring{data: data}, nil
}

// Close releases the memory; a file stays. No run handed out may be used any more.
func (r *Ring) Close() error {
	data, mapping := r.data, r.mapping
	*r = Ring{}
	switch {
	case mapping != nil:
		return mapping.Close()
	case data != nil:
		return unix.Munmap(data)
	}
	return nil
}

// Push appends one record and reports whether it fitted.
func (r *Ring) Push(payload []byte) bool {
	need := HeaderSize + len(payload)
	at, ok := r.place(need)
	if !ok {
		return false
	}
	binary.LittleEndian.PutUint64(r.data[at:], uint64(len(payload)))
	copy(r.data[at+HeaderSize:], payload)
	r.added(at, need, 1)
	return true
}

// PushRun appends records that are already laid out as in the ring, all or none. It
// reports whether they were appended; if not, some of them may still fit one by one.
func (r *Ring) PushRun(run []byte, records int) bool {
	at, ok := r.place(len(run))
	if !ok || (at == 0 && r.held > 0) {
		// Pushed one by one, the first records of the run would still go to the tail.
		return false
	}
	r.put(at, run, records)
	return true
}

// PushTogether appends records as PushRun does, but so that they lie together even if the
// first of them would have gone elsewhere alone. It takes whatever fits.
func (r *Ring) PushTogether(run []byte, records int) bool {
	at, ok := r.place(len(run))
	if ok {
		r.put(at, run, records)
	}
	return ok
}

func (r *Ring) put(at int, run []byte, records int) {
	copy(r.data[at:], run)
	r.added(at, len(run), records)
}

// Fits reports whether records that take size bytes, their lengths included, could all be
// pushed.
func (r *Ring) Fits(size int) bool {
	_, ok := r.place(size)
	return ok
}

// place says where need contiguous bytes go, by the admission rule of storage spec §1.4.
func (r *Ring) place(need int) (at int, ok bool) {
	switch {
	case r.held == 0:
		return 0, need <= len(r.data)
	case r.wrapped():
		return r.write, r.read-r.write >= need
	case len(r.data)-r.write >= need:
		return r.write, true
	default:
		return 0, r.read >= need
	}
}

func (r *Ring) wrapped() bool { return r.held > 0 && r.write <= r.read }

func (r *Ring) added(at, size, records int) {
	wrapped := r.wrapped()
	if r.waiting == 0 {
		r.next = at
	}
	r.write = at + size
	if !wrapped && (at > 0 || r.held == 0) {
		r.gap = r.write
	}
	r.held += records
	r.waiting += records
}

// Take hands out the oldest waiting records as one contiguous run: at most maxRecords,
// and none after the run has reached enough bytes. It returns nil if no record waits, or
// if the next one is marked as delivered: see TakeMarked.
func (r *Ring) Take(enough, maxRecords int) (run []byte, records int) {
	if r.waiting == 0 {
		return nil, 0
	}
	run = r.nextWaiting()
	if r.marked > 0 {
		run = run[:unmarked(run, enough)]
	}
	run, records = Cut(run, enough, min(maxRecords, r.waiting))
	r.taken(len(run), records)
	return run, records
}

// nextWaiting returns the bytes from the next waiting record on, as far as records lie
// there one behind another.
func (r *Ring) nextWaiting() []byte {
	end := r.gap
	if r.next < r.write {
		end = r.write
	}
	return r.data[r.next:end]
}

func (r *Ring) taken(size, records int) {
	end := r.next + len(r.nextWaiting())
	r.next += size
	r.waiting -= records
	if r.waiting > 0 && r.next == end {
		r.next = 0
	}
}

// Free gives back the memory of the oldest handed-out records: size bytes, as returned
// by one or several calls of Take in that order.
func (r *Ring) Free(size, records int) {
	r.read += size
	r.held -= records
	switch {
	case r.held == 0:
		r.read, r.next, r.write, r.gap = 0, 0, 0, 0
	case r.read >= r.gap: // wrapped, and the rearmost record is freed
		r.read, r.gap = r.read-r.gap, r.write
	}
}

// Held is the number of records in the ring, those handed out included.
func (r *Ring) Held() int { return r.held }

// Waiting is the number of records that are not handed out.
func (r *Ring) Waiting() int { return r.waiting }

// Capacity is the size of the ring in bytes.
func (r *Ring) Capacity() int { return len(r.data) }

// UsedSpace is the sum of the sizes of all held records, 8 bytes each for the length
// included (storage spec §1.5).
func (r *Ring) UsedSpace() int {
	switch {
	case r.held == 0:
		return 0
	case r.wrapped():
		return r.gap - r.read + r.write
	default:
		return r.write - r.read
	}
}

// Cut returns the first records of a run: at most maxRecords, and none after enough
// bytes have been reached. A run that is not empty yields at least one record if
// maxRecords allows it.
func Cut(run []byte, enough, maxRecords int) (cut []byte, records int) {
	size, loaded := 0, 0
	for records < maxRecords && size < len(run) {
		if size >= loaded && maxRecords-records > loadAhead/cacheLine {
			loaded = load(run, size, enough)
		}
		size += HeaderSize + int(binary.LittleEndian.Uint64(run[size:]))
		records++
		if size >= enough {
			break
		}
	}
	return run[:size], records
}

const (
	loadAhead = 16 << 10
	cacheLine = 64
)

// load brings the bytes that follow into the cache, all lines at once: going from length to
// length, the processor would wait for each of them. It returns how far it got.
func load(run []byte, from, enough int) (to int) {
	to = min(from+loadAhead, len(run), enough)
	var b byte
	for i := from; i < to; i += cacheLine {
		b |= run[i]
	}
	runtime.KeepAlive(b)
	return to
}
