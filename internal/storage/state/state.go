// Package state keeps what must survive a crash of the process and is not the records
// themselves: which storages there are, and where in their ring and in the overflow
// their records begin and end.
//
// # The file
//
// storages.dat is mapped shared, so what is stored here is in the file whatever becomes
// of the process. It is one page of header and one Slot of 1 KiB a storage:
//
//	┌────────┬──────┬──────┬───
//	│ header │ slot │ slot │ …      all integers little-endian
//	└────────┴──────┴──────┴───
//
// Everything that changes together is kept twice, with a selector that tells which copy
// is valid. An update fills in the other copy and then flips the selector with one store,
// so that a process killed at any instant leaves either the old values or the new ones:
//
//	[ selector | copy 0 | copy 1 ]
//
// The disk space is reserved when the file is created or grown; storing cannot fail.
//
// # Phases
//
// A new file is Stopped. That means that the overflow index tells which storages have
// records in the overflow and where; what slots say about that does not count, and there
// may be storages without a slot. Once every storage has a slot with the truth, the file is
// Running: the slots alone count, and the index does not. A clean stop completes the index,
// sets Stopped and frees the slots one by one; a file with none left is removed.
//
// # Concurrency
//
// Creating and freeing slots is safe for concurrent use; a Slot belongs to whoever holds
// the lock of its storage.
//
// The package imports disk and nothing else of the node.
package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// FileName is the name of the state file. The original ignores files of that suffix.
const FileName = "storages.dat"

const (
	magic      = "DMQSTA02"
	headerSize = 4096
	slotSize   = 1024
	// firstSlots is the number of slots of a new file; it doubles when they are used up.
	firstSlots = 60
	maxSlots   = 1 << 22
)

// Phase tells how far a clean stop has come.
type Phase uint64

// Phases.
const (
	Running Phase = iota
	Stopped       // the overflow index counts
)

// Header is what belongs to the whole node.
type Header struct {
	Phase        Phase
	Instance     uint64 // a random number that ring files refer to
	OverflowBase int64  // see overflow.Global
	OverflowCut  int64
	OverflowSize int64
}

// headerWords is the words of the header, and the number of slots in use: should there be fewer,
// some are lost.
const headerWords = 6

func (h *Header) words(used uint64) []uint64 {
	return []uint64{uint64(h.Phase), h.Instance, uint64(h.OverflowBase), uint64(h.OverflowCut), uint64(h.OverflowSize), used}
}

// parseHeader returns the header in the first page, and the number of slots in use.
func parseHeader(page []byte) (h Header, used uint64, err error) {
	w := selected(page[len(magic):], headerWords)
	h = Header{Phase(w[0]), w[1], int64(w[2]), int64(w[3]), int64(w[4])}
	if h.Phase > Stopped || h.Instance == 0 {
		err = fmt.Errorf("%w: phase %d of instance %d", ErrDamaged, h.Phase, h.Instance)
	}
	return h, w[5], err
}

// checkUsed compares the number of slots in use with what the header says. While one is taken
// or freed there is one more, and after a power failure there may be several.
func checkUsed(found, used uint64) error {
	if found >= used {
		return nil
	}
	return fmt.Errorf("%w: it tells of %d storages, and of their number as %d", ErrDamaged, found, used)
}

// File is the open state file.
type File struct {
	dir  disk.Dir
	file disk.File

	mu       sync.Mutex
	header   Header
	used     uint64         // slots in use
	mappings []disk.Mapping // all of them stay: slots point into them
	page     []byte         // the header
	slots    []*Slot        // by position
	unused   []*Slot
}

// ErrDamaged is a state file that is not what a node leaves behind.
var ErrDamaged = errors.New("damaged state file")

// Open opens the state file, or creates it if there is none. The slots in use are those
// that were when the process that had it open before ended.
func Open(dir disk.Dir) (*File, error) {
	file, err := dir.Open(FileName)
	if errors.Is(err, fs.ErrNotExist) {
		return create(dir)
	}
	if err != nil {
		return nil, err
	}
	f := &File{dir: dir, file: file}
	if err := f.load(); err != nil {
		f.closeAll()
		return nil, fmt.Errorf("%s: %w", dir.Path(FileName), err)
	}
	return f, nil
}

// create makes the file under another name first, so that it is never seen incomplete.
func create(dir disk.Dir) (*File, error) {
	const temporary = "storages-new.dat"
	if err := dir.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	file, err := dir.Create(temporary)
	if err != nil {
		return nil, err
	}
	f := &File{dir: dir, file: file, header: Header{Phase: Stopped, Instance: newInstance()}}
	if err = f.grow(firstSlots); err == nil {
		copy(f.page, magic)
		f.SetHeader(f.header)
		err = f.Sync() // a power failure is not to leave a file without header, which keeps the node from starting
	}
	if err == nil {
		err = dir.Rename(temporary, FileName)
	}
	if err != nil {
		f.closeAll()
		dir.Remove(temporary)
		return nil, err
	}
	return f, nil
}

func (f *File) load() error {
	size, err := f.file.Size()
	if err != nil {
		return err
	}
	slots := (size - headerSize) / slotSize
	if slots < firstSlots || slots > maxSlots {
		return fmt.Errorf("%w: %d bytes", ErrDamaged, size)
	}
	var begin [len(magic)]byte
	if n, err := f.file.ReadAt(begin[:], 0); n < len(begin) {
		return err
	}
	if string(begin[:]) != magic {
		return notOurs(begin[:])
	}
	if err := f.grow(int(slots)); err != nil {
		return err
	}
	var used uint64
	if f.header, used, err = parseHeader(f.page); err != nil {
		return err
	}
	for _, s := range f.slots {
		if err := s.load(); err != nil {
			return err
		}
		if s.used {
			f.used++
		}
	}
	if err := checkUsed(f.used, used); err != nil {
		return err
	}
	if f.used != used {
		f.storeHeader()
	}
	return nil
}

// notOurs says what a file is that begins otherwise.
func notOurs(begin []byte) error {
	if bytes.HasPrefix(begin, []byte(magic[:6])) {
		return fmt.Errorf("%w: another version of the node wrote it, begin %q; a clean stop of that version leaves what any other can load",
			ErrDamaged, begin)
	}
	return fmt.Errorf("%w: it does not begin with %s", ErrDamaged, magic)
}

// Empty reports whether the file says nothing: it was just created, or might as well be.
func (f *File) Empty() bool { return f.Header().Phase == Stopped && len(f.Used()) == 0 }

// grow makes the file hold that many slots and maps the new ones. The header and the
// slots that were there stay mapped where they are.
func (f *File) grow(slots int) error {
	size := int64(headerSize + slots*slotSize)
	if err := f.file.Allocate(size); err != nil {
		return err
	}
	m, err := f.file.Map(size)
	if err != nil {
		return err
	}
	f.mappings = append(f.mappings, m)
	b := m.Bytes()
	if f.page == nil {
		f.page = b[:headerSize]
	}
	for i := len(f.slots); i < slots; i++ {
		at := headerSize + i*slotSize
		s := &Slot{index: i, bytes: b[at : at+slotSize]}
		f.slots = append(f.slots, s)
		f.unused = append(f.unused, s)
	}
	return nil
}

// Header returns the header as it is now.
func (f *File) Header() Header {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.header
}

// SetHeader stores the header.
func (f *File) SetHeader(h Header) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.header = h
	f.storeHeader()
}

func (f *File) storeHeader() { update(f.page[len(magic):], f.header.words(f.used)) }

// Used returns the slots in use, in order of position.
func (f *File) Used() (used []*Slot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.slots {
		if s.used {
			used = append(used, s)
		}
	}
	return used
}

// Use takes an unused slot for a storage.
func (f *File) Use(id Identity, p Positions) (*Slot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		for len(f.unused) > 0 {
			last := len(f.unused) - 1
			s := f.unused[last]
			f.unused = f.unused[:last]
			if s.used {
				continue // in use since the file was opened
			}
			s.SetPositions(p)
			s.SetIdentity(id)
			s.setUsed(true)
			f.used++
			f.storeHeader()
			return s, nil
		}
		if len(f.slots) >= maxSlots {
			return nil, fmt.Errorf("%s: all %d places for storages are taken", f.dir.Path(FileName), maxSlots)
		}
		if err := f.grow(2 * len(f.slots)); err != nil {
			return nil, err
		}
	}
}

// Free gives a slot back.
func (f *File) Free(s *Slot) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.used--
	f.storeHeader()
	s.setUsed(false)
	f.unused = append(f.unused, s)
}

// Sync makes everything durable.
func (f *File) Sync() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.mappings) == 0 {
		return nil
	}
	return f.mappings[len(f.mappings)-1].Sync()
}

// Close closes the file, and removes it if it says nothing.
func (f *File) Close() error {
	if f.Empty() {
		return f.Discard()
	}
	return f.closeAll()
}

// Discard closes the file and removes it.
func (f *File) Discard() error {
	return errors.Join(f.closeAll(), f.dir.Remove(FileName))
}

func (f *File) closeAll() (err error) {
	for _, m := range f.mappings {
		err = errors.Join(err, m.Close())
	}
	f.mappings, f.slots, f.unused, f.page = nil, nil, nil, nil
	return errors.Join(err, f.file.Close())
}

// selected returns the words of the valid one of two copies.
func selected(b []byte, words int) []uint64 {
	at := 8
	if binary.LittleEndian.Uint64(b)&1 != 0 {
		at += 8 * words
	}
	values := make([]uint64, words)
	for i := range values {
		values[i] = binary.LittleEndian.Uint64(b[at+8*i:])
	}
	return values
}

// update stores words in the copy that is not valid, and makes it the valid one.
func update(b []byte, words []uint64) {
	selector := (*uint64)(unsafe.Pointer(&b[0]))
	next := (atomic.LoadUint64(selector) & 1) ^ 1
	copies := b[8+next*uint64(8*len(words)):]
	for i, w := range words {
		binary.LittleEndian.PutUint64(copies[8*i:], w)
	}
	atomic.StoreUint64(selector, next)
}
