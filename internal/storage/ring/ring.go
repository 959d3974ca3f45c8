// Package ring keeps records in a block of memory of fixed size, which may be a file.
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
// A ring of kind Spill takes what does not fit the one of its queue. It is filled once, from
// front to back, and never wraps.
//
// # In a file
//
// See file.go for the bytes of the file, and ready.go for its disk space, which follows what is
// stored.
//
// # Concurrency
//
// A Ring has no lock; the caller serialises all calls but those of a Work. The bytes of a
// handed-out run do not change until the run is freed and may be read without the
// caller's lock.
//
// The package imports disk and copies, and nothing else of the node.
package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// HeaderSize is the number of bytes a record needs beside its payload.
const HeaderSize = 8

// Kind says what a ring is to its queue.
type Kind uint64

// Kinds.
const (
	Main  Kind = 1 // the ring of the queue
	Spill Kind = 2 // takes what does not fit
)

// Ring is a queue of records in a block of memory of fixed size. See the package
// comment for its invariants.
type Ring struct {
	kind     Kind
	capacity int
	data     []byte // nil if the file is not mapped at the moment

	read  int // oldest held record; valid while held > 0
	next  int // oldest waiting record; valid while waiting > 0
	write int // next free byte
	gap   int // end of the rearmost record

	held    int // records in the ring, handed out or not
	waiting int // records not handed out
	suspect int // how many of those that wait, the oldest, are known to have been handed out

	behind, behindSize int // records that are delivered, but behind others, and their bytes

	fetched fetched
	file    *file // nil = anonymous memory
	mapped  []byte
	ready   ready
	durable durable

	sealed   sealing
	examined int   // the block, from 1 on, that was last found intact
	failed   error // see Failed
}

// maxCapacity is half of the address space of a process, or what an int holds.
const maxCapacity = min(1<<46, uint64(^uint(0)>>1))

// ErrDetached is a ring whose file is not mapped.
var ErrDetached = errors.New("the ring is not mapped")

// New allocates a ring of capacity bytes of anonymous memory, outside the Go heap. The
// kernel commits the pages as they are first touched.
func New(capacity uint64) (*Ring, error) {
	if capacity > maxCapacity {
		return nil, fmt.Errorf("ring of %d bytes: larger than the address space", capacity)
	}
	r := &Ring{kind: Main, capacity: int(capacity)}
	if capacity == 0 {
		return r, nil // every record spills
	}
	var err error
	r.data, err = unix.Mmap(-1, 0, int(capacity),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("ring of %d bytes: mmap: %w (allow the process more memory, or make channel_size_limit smaller)", capacity, err)
	}
	return r, nil
}

func unmap(data []byte) error { return unix.Munmap(data) }

// Push appends one record and reports whether it fitted. An error says that there is no
// disk space for it.
func (r *Ring) Push(payload []byte) (fitted bool, err error) {
	need := HeaderSize + len(payload)
	at, ok := r.place(need)
	if !ok {
		return false, nil
	}
	if err := r.prepare(at, need); err != nil {
		return false, err
	}
	defer r.caught(mayFault(), &err)
	binary.LittleEndian.PutUint64(r.data[at:], uint64(len(payload)))
	copy(r.data[at+HeaderSize:], payload)
	r.added(at, need, 1)
	return true, nil
}

// PushRun appends records, laid out as in the ring, that Push would store one behind another:
// as many as are certain to, which may be none although the first one fits. It returns the
// bytes and the number of them.
func (r *Ring) PushRun(run []byte, records int) (size, pushed int, err error) {
	at, room := r.room(len(run))
	if room < len(run) {
		run, records = Within(run, room, records)
	}
	if records == 0 {
		return 0, 0, nil
	}
	if err := r.prepare(at, len(run)); err != nil {
		return 0, 0, err
	}
	defer r.caught(mayFault(), &err)
	copy(r.data[at:], run)
	r.added(at, len(run), records)
	return len(run), records, nil
}

// Fits reports whether records that take size bytes, their lengths included, could all be
// pushed.
func (r *Ring) Fits(size int) bool {
	_, ok := r.place(size)
	return ok
}

// place says where need contiguous bytes go, by the admission rule of storage spec §1.4.
func (r *Ring) place(need int) (at int, ok bool) {
	oldest, used := r.oldest()
	switch {
	case r.durable.sealed:
		return 0, false
	case !used:
		return 0, need <= r.capacity
	case r.write <= oldest:
		return r.write, oldest-r.write >= need
	case r.capacity-r.write >= need:
		return r.write, true
	case r.kind == Spill:
		return 0, false
	default:
		return 0, oldest >= need
	}
}

// room says how many contiguous bytes there are where the next record goes, if it fits there.
func (r *Ring) room(need int) (at, room int) {
	oldest, used := r.oldest()
	switch {
	case r.durable.sealed:
		return r.write, 0
	case !used:
		return 0, r.capacity
	case r.write <= oldest:
		return r.write, oldest - r.write
	default:
		return r.write, r.capacity - r.write
	}
}

// oldest is where the bytes begin that must stay, up to the writer, if there are any: those of the
// records held, and of those that the file would have after a power failure.
func (r *Ring) oldest() (at int, used bool) {
	if r.durable.kept {
		return r.durable.from, true
	}
	return r.read, r.held > 0
}

func (r *Ring) wrapped() bool { return r.held > 0 && r.write <= r.read }

func (r *Ring) added(at, size, records int) {
	wrapped := r.wrapped()
	if r.waiting == 0 {
		r.next = at
	}
	if r.held == 0 {
		r.read = at
	}
	r.write = at + size
	if !wrapped && (at > 0 || r.held == 0) {
		r.gap = r.write
	}
	r.held += records
	r.waiting += records
	r.durable.pushed += uint64(records)
	r.sealed.behind += size
}

// Take hands out the oldest waiting records as one contiguous run: at most maxRecords,
// and none after the run has reached enough bytes. It returns none if no record waits, or
// if the next one is marked as delivered: see TakeMarked. A *DamageError says that what lies
// there is no record.
func (r *Ring) Take(enough, maxRecords int) (run []byte, records int, err error) {
	if r.waiting == 0 {
		return nil, 0, nil
	}
	if r.data == nil {
		return nil, 0, ErrDetached
	}
	defer r.caught(mayFault(), &err)
	waiting := r.nextWaiting()
	if r.fetched.rest > 0 && r.missing() == 0 {
		waiting = waiting[:min(r.fetched.ahead, len(waiting))] // who takes more waits for the disk
	}
	good, reason := r.intact(r.next, r.next+min(HeaderSize, len(waiting)))
	if marked(waiting[:good-r.next], len(r.nextWaiting())) > 0 {
		return nil, 0, nil
	}
	if reason == "" {
		good, reason = r.intact(r.next, r.next+min(len(waiting), max(enough, enough+HeaderSize)))
	}
	run, records = waiting, min(maxRecords, r.waiting)
	if reason != "" {
		run = waiting[:good-r.next]
	}
	run, records = Cut(run, enough, records)
	if good < r.next+len(run) { // the last one reaches further
		if good, reason = r.intact(good, r.next+len(run)); reason != "" {
			run, records = Cut(run[:good-r.next], enough, records)
		}
	}
	if records == 0 {
		if reason == "" {
			reason = noRecord
		}
		return nil, 0, r.damage(good, reason)
	}
	r.taken(len(run), records)
	return run, records, nil
}

// nextWaiting returns the bytes from the next waiting record on, as far as records lie
// there one behind another.
func (r *Ring) nextWaiting() []byte {
	end := r.gap
	if r.next < r.write || r.next == r.write && r.waiting < r.held { // or a full ring is all waiting
		end = r.write
	}
	return r.data[r.next:end]
}

func (r *Ring) taken(size, records int) {
	end := r.next + len(r.nextWaiting())
	r.next += size
	r.waiting -= records
	r.suspect = max(0, r.suspect-records)
	r.fetched.taken(size)
	if r.waiting > 0 && r.next == end && end != r.write { // else a damaged length has hidden records
		r.next = 0
	}
}

// Cursor tells which records wait.
type Cursor struct {
	next, waiting, suspect int
	fetched                fetched
}

// Cursor returns which records wait now.
func (r *Ring) Cursor() Cursor { return Cursor{r.next, r.waiting, r.suspect, r.fetched} }

// Rewind lets those wait again that did then. Nothing may have been freed or pushed since.
func (r *Ring) Rewind(to Cursor) {
	r.next, r.waiting, r.suspect, r.fetched = to.next, to.waiting, to.suspect, to.fetched
	r.examined = 0
}

// Rest is the head of a file that has only the records that wait, for who reads the file beside its
// owner: of a ring of kind Spill, in which they stay where they are.
func (r *Ring) Rest() Head {
	h := r.Head()
	h.Positions = Positions{}
	if r.waiting > 0 {
		h.Positions = Positions{Read: uint64(r.next), Write: uint64(r.write), Gap: uint64(r.gap), Held: uint64(r.waiting), Suspect: uint64(r.suspect)}
	}
	return h
}

// Free gives back the memory of the oldest handed-out records: size bytes, as returned
// by one or several calls of Take in that order.
func (r *Ring) Free(size, records int) {
	r.read += size
	r.held -= records
	switch {
	case r.held == 0:
		r.emptied()
		r.sealed.lost = true
	case r.read >= r.gap: // wrapped, and the rearmost record is freed
		r.read, r.gap = r.read-r.gap, r.write
	}
}

// emptied makes an empty ring start again at 0, if nothing has to stay there.
func (r *Ring) emptied() {
	if !r.durable.kept {
		r.write = 0
	}
	r.read, r.next, r.gap = r.write, r.write, r.write
}

// Abandon drops all waiting records, because what lies there is damaged, and returns how many.
func (r *Ring) Abandon() (records int) {
	records = r.waiting
	r.held -= records
	r.waiting, r.suspect, r.fetched = 0, 0, fetched{}
	r.sealed.lost = true
	r.ready.from, r.ready.to = 0, 0
	defer r.abandoned(records)
	switch {
	case r.held == 0:
		r.emptied()
	case r.wrapped() && r.next == 0:
		r.write = r.gap
	case r.wrapped() && r.next <= r.write:
		r.write = r.next
	default:
		r.write, r.gap = r.next, r.next
	}
	return records
}

// Behind notes that records, which have been handed out, are delivered although older ones are
// not: they are held, but do not count any more. Negative numbers take that back, when they are
// freed.
func (r *Ring) Behind(size, records int) {
	r.behind += records
	r.behindSize += size
}

// Kind is the kind of the ring.
func (r *Ring) Kind() Kind { return r.kind }

// Held is the number of records in the ring, those handed out included.
func (r *Ring) Held() int { return r.held }

// Waiting is the number of records that are not handed out.
func (r *Ring) Waiting() int { return r.waiting }

// Records is the number of records that are not delivered.
func (r *Ring) Records() int { return r.held - r.behind }

// Size is the bytes of these, 8 bytes each for the length included (storage spec §1.5).
func (r *Ring) Size() int { return r.UsedSpace() - r.behindSize }

// Capacity is the size of the ring in bytes.
func (r *Ring) Capacity() int { return r.capacity }

// UsedSpace is the sum of the sizes of all held records, 8 bytes each for the length
// included.
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
// maxRecords allows it, and it is not damaged.
func Cut(run []byte, enough, maxRecords int) (cut []byte, records int) {
	size, loaded := 0, 0
	for records < maxRecords && len(run)-size >= HeaderSize {
		if size >= loaded && maxRecords-records > loadAhead/cacheLine {
			loaded = load(run, size, enough)
		}
		length := binary.LittleEndian.Uint64(run[size:])
		if length > uint64(len(run)-size-HeaderSize) {
			break
		}
		size += HeaderSize + int(length)
		records++
		if size >= enough {
			break
		}
	}
	return run[:size], records
}

// First is how many bytes the first record of a run takes, its length included.
func First(run []byte) int { return HeaderSize + int(binary.LittleEndian.Uint64(run)) }

// Within returns the records that lie within the first room bytes of a run, which is not damaged.
func Within(run []byte, room, records int) (cut []byte, n int) {
	size := 0
	for n < records {
		next := size + HeaderSize + int(binary.LittleEndian.Uint64(run[size:]))
		if next > room {
			break
		}
		size, n = next, n+1
	}
	return run[:size], n
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
