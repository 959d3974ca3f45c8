package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/copies"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// A ring file is a page that tells all there is to know of the ring, and then its block of
// memory:
//
//	0       what it is: magic, instance, kind, number, checksum
//	64      where its records are: selector, two copies of { read, write, gap, held, suspect, checksum }
//	512     whose it is, see package copies: { queue, next, capacity, name }
//	1536    what is durable, likewise: { boot, loose, read, write, gap, held, suspect, next, proof }
//	2560    checksums of the first blocks of the data
//	4096    data …
//	…       checksums of the other blocks
//
// All integers are little-endian u64, checksums CRC32C. What changes together is kept twice. Of the
// positions, an update fills in the copy that does not count, and then flips a selector, 0 or all ones,
// with one store, so that a process killed at any instant leaves either the old values or the new ones.
//
// The bytes of a record are stored first, the positions that include it second; and no byte is
// reused before the positions that free it are stored. So whenever the process ends, the
// positions fit the bytes.
//
// The files of a queue are a chain: each tells the next one. See sums.go for the checksums of the
// data.
const (
	magic    = "DMQRING4"
	headSize = 4096

	instanceAt, kindAt, numberAt, sumAt = 8, 16, 24, 32

	placeAt    = 64
	placeWords = 6

	ownerAt    = 512
	ownerWords = 4 + maxName/8
	maxName    = 256

	durableAt    = ownerAt + copies.Size
	durableWords = 10
)

var (
	_ [ownerAt - placeAt - 8 - 2*8*placeWords]struct{}
	_ [copies.Most - ownerWords]struct{}
	_ [copies.Most - durableWords]struct{}
	_ [sumsAt - durableAt - copies.Size]struct{}

	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// Link names a file of a chain. The zero Link is none.
type Link struct {
	Kind   Kind
	Number uint64
}

// FileName is the name of the file. The original ignores files of that suffix.
func (l Link) FileName() string {
	if l.Kind == Main {
		return fmt.Sprintf("ring-%06d.dat", l.Number)
	}
	return fmt.Sprintf("spill-%06d.dat", l.Number)
}

// ParseFileName returns the link that has that file name.
func ParseFileName(name string) (l Link, ok bool) {
	kind, number, _ := strings.Cut(strings.TrimSuffix(name, ".dat"), "-")
	l = Link{Kind: Main}
	if kind == "spill" {
		l.Kind = Spill
	}
	var err error
	if l.Number, err = strconv.ParseUint(number, 10, linkBits); err != nil || name != l.FileName() {
		return Link{}, false
	}
	return l, true
}

// linkBits is how many bits of the word of a link are the number.
const linkBits = 62

func (l Link) word() uint64 { return uint64(l.Kind)<<linkBits | l.Number }

func linkOf(word uint64) Link { return Link{Kind(word >> linkBits), word & (1<<linkBits - 1)} }

// Head is what a ring file tells of itself.
type Head struct {
	Instance uint64 // of the data directory that it belongs to
	Link
	Queue    uint64 // the number of the queue it is part of; 0 = it is spare
	Name     string // of the queue
	Next     Link
	Capacity uint64
	Sums     bool // there are checksums; files of earlier versions have none
	Positions
	Durable Durable
	// Rebooted says that the machine has been started again since the file was used: Positions and
	// Next are the durable ones. If these are loose, they are what the disk happens to have.
	Rebooted bool
	// Unsure says that checksums and data may be of different ages, because the machine has not stopped
	// in order. Then the checksums do not count, and Open clears them.
	Unsure bool

	owner uint64 // the sequence of that
}

// withSums is beside the kind of a ring in its file.
const withSums = 1 << 8

// Positions are where the records of a ring lie: offsets in bytes, and the number of records
// held. What was handed out and not freed counts as waiting. Suspect: see Ring.Suspect.
type Positions struct{ Read, Write, Gap, Held, Suspect uint64 }

// DamageError says that a ring file, or a part of it, is not what a node leaves behind.
type DamageError struct {
	File   string
	Reason string
	Offset int64 // in the file; 0 = none in particular
}

func (e *DamageError) Error() string {
	if e.Offset > 0 {
		return fmt.Sprintf("%s is damaged at offset %d: %s", e.File, e.Offset, e.Reason)
	}
	return fmt.Sprintf("%s is damaged: %s", e.File, e.Reason)
}

// damage is what is wrong at an offset in the data.
func (r *Ring) damage(at int, reason string) error {
	e := &DamageError{File: "memory", Reason: reason, Offset: int64(headSize + at)}
	if r.file != nil {
		e.File = r.file.dir.Path(r.file.name)
	}
	return e
}

// file is the file of a ring.
type file struct {
	dir     disk.Dir
	name    string
	head    Head
	mapping disk.Mapping // nil while it is not mapped
}

// Spare is a ring file that no queue has yet. It belongs to whoever has made it.
type Spare struct {
	dir   disk.Dir
	head  Head
	file  disk.File
	first int // bytes of data that have disk space
}

// NewSpare makes a file, for a ring of any capacity. If it is loose, nobody makes its positions durable.
func NewSpare(dir disk.Dir, instance uint64, l Link, loose bool) (*Spare, error) {
	name := l.FileName()
	f, err := dir.Create(name)
	if err != nil {
		return nil, err
	}
	h := Head{Instance: instance, Link: l, Sums: true, Durable: Durable{sequence: 1, Boot: dir.Boot(), Loose: loose}, owner: 1}
	s := &Spare{dir: dir, head: h, file: f, first: chunkSize}
	b := make([]byte, headSize)
	s.head.encode(b)
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Fill(headSize, int64(s.first))
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), dir.Remove(name))
	}
	return s, nil
}

// Use makes the file the ring of a queue. If it fails the file is still spare.
func (s *Spare) Use(queue uint64, name string, capacity uint64) (*Ring, error) {
	if capacity > maxCapacity-headSize {
		return nil, fmt.Errorf("ring of %d bytes: larger than the address space", capacity)
	}
	h := s.head
	h.Queue, h.Name, h.Capacity = queue, name, capacity
	m, err := s.file.Map(int64(h.fileSize()))
	if err != nil {
		return nil, err
	}
	r := newFileRing(s.dir, h)
	r.attached(m)
	r.newReady(s.first)
	if err := r.storeOwner(); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	s.file.Close() // nothing was written through it that could be lost
	return r, nil
}

// Discard deletes the file.
func (s *Spare) Discard() error {
	return errors.Join(s.file.Close(), disk.RemoveIfThere(s.dir, s.head.FileName()))
}

// Open opens the ring in an existing file, as its head tells; it is not mapped yet. If the
// file is shorter than its records, or its positions are impossible, it returns a *DamageError
// and a ring with the records that are intact, which is only to be read.
func Open(dir disk.Dir, h Head) (*Ring, error) {
	f, err := dir.Open(h.FileName())
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	r := newFileRing(dir, h)
	r.durable.sealed = !h.Rebooted && h.Durable.Held > 0 // where those are that have to stay is not worth knowing: see Settle
	if !h.Rebooted && h.Durable.proof != (proof{}) {
		r.file.head.Durable.sequence-- // it may not be on the disk: the next one takes its place
	}
	err = r.restore(h.Positions, f, size)
	if damage := (*DamageError)(nil); err != nil && !errors.As(err, &damage) {
		return nil, err
	}
	if err == nil && h.Rebooted {
		err = r.refill(f)
	}
	if err == nil && h.Unsure {
		err = r.forgetSums(f)
	}
	r.newReady(0)
	return r, err
}

func newFileRing(dir disk.Dir, h Head) *Ring {
	return &Ring{
		kind:     h.Kind,
		capacity: int(h.Capacity),
		file:     &file{dir: dir, name: h.FileName(), head: h},
	}
}

// restore takes over positions.
func (r *Ring) restore(at Positions, f disk.File, size int64) error {
	if at.Held == 0 {
		return nil
	}
	if err := at.check(uint64(r.capacity)); err != nil {
		return &DamageError{File: r.Path(), Reason: err.Error()}
	}
	r.read, r.next, r.gap, r.write = int(at.Read), int(at.Read), int(at.Gap), int(at.Write)
	r.held, r.waiting, r.suspect = int(at.Held), int(at.Held), int(at.Suspect)
	r.durable.pushed = at.Held
	r.Note()
	r.sealed.lost = true
	end := int64(headSize + max(at.Gap, at.Write))
	if size >= end {
		return nil
	}
	m, err := f.Map(size)
	if err != nil {
		return err
	}
	defer m.Close()
	r.salvage(m.Bytes()[headSize:])
	return &DamageError{File: r.Path(), Reason: fmt.Sprintf("it has %d bytes, and records up to %d", size, end)}
}

// salvage leaves the records, from the oldest on, that lie in the first bytes of the data one
// behind another.
func (r *Ring) salvage(data []byte) {
	pos, end, n := r.read, min(r.gap, len(data)), 0
	for n < r.held && end-pos >= HeaderSize {
		size, _ := parseLength(word(data, pos))
		if size < HeaderSize || size > uint64(end-pos) {
			break
		}
		pos, n = pos+int(size), n+1
	}
	r.held, r.waiting, r.suspect = n, n, min(r.suspect, n)
	r.write, r.gap = pos, pos
	if n == 0 {
		r.read, r.next, r.write, r.gap = 0, 0, 0, 0
	}
	r.durable.pushed = uint64(n)
	r.Note()
}

var errPositions = errors.New("its positions are impossible")

func (at Positions) check(capacity uint64) error {
	wrapped := at.Write <= at.Read
	used := at.Write - at.Read
	if wrapped {
		used = at.Gap - at.Read + at.Write
	}
	if at.Gap > capacity || at.Read >= at.Gap || at.Write > capacity || !wrapped && at.Write != at.Gap ||
		at.Held > used/HeaderSize || at.Suspect > at.Held {
		return errPositions
	}
	return nil
}

// Attach maps the file if it is not. What was not ready before is filled again.
func (r *Ring) Attach() error {
	if r.data != nil || r.file == nil {
		return nil
	}
	m, err := r.Map()
	if err == nil {
		r.Use(m)
	}
	return err
}

// Map maps the file, for Use. It may be called by any goroutine.
func (r *Ring) Map() (disk.Mapping, error) {
	f, err := r.file.dir.Open(r.file.name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Map(int64(r.file.head.fileSize()))
}

// Use attaches a ring, which is not attached, with what Map has returned.
func (r *Ring) Use(m disk.Mapping) {
	r.attached(m)
	r.fetchAll()
}

func (r *Ring) attached(m disk.Mapping) {
	r.file.mapping, r.mapped, r.examined = m, m.Bytes(), 0
	r.data = r.mapped[headSize : headSize+r.capacity : headSize+r.capacity]
}

// Detach gives up the mapping of the file. It returns what is left to be done, by anybody, or
// nil. No run may be handed out.
func (r *Ring) Detach() (unmap func() error) {
	if r.file == nil || r.file.mapping == nil {
		return nil
	}
	m := r.file.mapping
	r.file.mapping, r.mapped, r.data = nil, nil, nil
	r.ready.from, r.ready.to = 0, 0
	r.fetched = fetched{}
	return m.Close
}

// Attached reports whether the ring can be used without Attach.
func (r *Ring) Attached() bool { return r.data != nil || r.capacity == 0 }

// InFile reports whether the ring is in a file.
func (r *Ring) InFile() bool { return r.file != nil }

// Head returns what the file tells of itself.
func (r *Ring) Head() Head {
	if r.file == nil {
		return Head{}
	}
	return r.file.head
}

// Path is that of the file, for messages.
func (r *Ring) Path() string { return r.file.dir.Path(r.file.name) }

// SetNext stores which file follows.
func (r *Ring) SetNext(l Link) error {
	if r.file.head.Next == l {
		return nil
	}
	return r.updateOwner(func(h *Head) { h.Next = l })
}

// SetName stores the name of the queue.
func (r *Ring) SetName(name string) error {
	return r.updateOwner(func(h *Head) { h.Name = name })
}

// updateOwner stores a change. If it fails, nothing is changed.
func (r *Ring) updateOwner(change func(*Head)) error {
	detached := r.file.mapping == nil
	if err := r.Attach(); err != nil {
		return err
	}
	before := r.file.head
	change(&r.file.head)
	err := r.storeOwner()
	if err != nil {
		r.file.head = before
	}
	if detached {
		return errors.Join(err, r.Detach()())
	}
	return err
}

func (r *Ring) storeOwner() (err error) {
	defer r.caught(mayFault(), &err)
	r.file.head.owner++
	r.file.head.storeOwner(r.file.mapping.Bytes())
	return nil
}

// Publish stores where the records are now. What was pushed is safe from then on, and what was
// freed may be reused.
func (r *Ring) Publish() {
	if r.file == nil || r.file.mapping == nil {
		return
	}
	defer r.caught(mayFault(), &r.failed)
	r.positions().store(r.file.mapping.Bytes())
}

func (r *Ring) positions() Positions {
	return Positions{uint64(r.read), uint64(r.write), uint64(r.gap), uint64(r.held), uint64(r.suspects())}
}

// suspects is how many records, the oldest, may have marked ones among them.
func (r *Ring) suspects() int {
	if r.behind > 0 || r.suspect > 0 {
		return r.suspect + r.held - r.waiting // what was handed out is older
	}
	return 0
}

func (at Positions) store(b []byte) {
	words := [placeWords]uint64{at.Read, at.Write, at.Gap, at.Held, at.Suspect}
	words[placeWords-1] = sum(words[:placeWords-1])
	update(b[placeAt:], words[:])
}

// Close releases the memory; a file stays. No run handed out may be used any more.
func (r *Ring) Close() error { return r.close(func() error { return nil }) }

// Remove closes the ring and deletes its file.
func (r *Ring) Remove() error {
	return r.close(func() error { return disk.RemoveIfThere(r.file.dir, r.file.name) })
}

// SetAside closes the ring and renames its file, so that it can be examined.
func (r *Ring) SetAside(name string) error {
	return r.close(func() error { return r.file.dir.Rename(r.file.name, name) })
}

func (r *Ring) close(then func() error) error {
	r.ready.mu.Lock()
	defer r.ready.mu.Unlock()
	r.ready.gone = true
	data := r.data
	r.data, r.mapped = nil, nil
	if r.file == nil {
		if data == nil {
			return nil
		}
		return unmap(data)
	}
	var err error
	if m := r.file.mapping; m != nil {
		r.file.mapping = nil
		err = m.Close()
	}
	return errors.Join(err, then())
}

// Ahead asks the system to have the file in memory soon.
func (r *Ring) Ahead() {
	if r.file == nil {
		return
	}
	if f, err := r.file.dir.Open(r.file.name); err == nil {
		f.Ahead()
		f.Close()
	}
}

// ReadHead returns what a ring file tells of itself. A *DamageError says that it is none, or
// damaged; then what is known is returned with it.
func ReadHead(dir disk.Dir, name string) (h Head, err error) {
	f, err := disk.OpenToRead(dir, name)
	if err != nil {
		return Head{}, err
	}
	defer f.Close()
	var b [headSize]byte
	if n, err := f.ReadAt(b[:], 0); err != nil && err != io.EOF {
		return Head{}, err
	} else if n < headSize {
		return Head{}, &DamageError{File: dir.Path(name), Reason: fmt.Sprintf("it has %d bytes, less than a head", n)}
	}
	err = h.decode(b[:], dir.Boot())
	if err == nil && h.Rebooted && !h.Durable.proved(f, h.Capacity) {
		copies.Drop(b[durableAt:], h.Durable.sequence)
		err = h.decode(b[:], dir.Boot())
	}
	if err != nil {
		return h, &DamageError{File: dir.Path(name), Reason: err.Error()}
	}
	return h, nil
}

func word(b []byte, at int) uint64       { return binary.LittleEndian.Uint64(b[at:]) }
func putWord(b []byte, at int, w uint64) { binary.LittleEndian.PutUint64(b[at:], w) }

// encode fills in the head of a new file.
func (h *Head) encode(b []byte) {
	copy(b, magic)
	putWord(b, instanceAt, h.Instance)
	kind := uint64(h.Kind)
	if h.Sums {
		kind |= withSums
	}
	putWord(b, kindAt, kind)
	putWord(b, numberAt, h.Number)
	putWord(b, sumAt, uint64(crc32.Checksum(b[:sumAt], castagnoli)))
	h.storeOwner(b)
	h.Durable.store(b)
	h.Positions.store(b)
}

func (h *Head) storeOwner(b []byte) {
	w := make([]uint64, ownerWords)
	var name [maxName]byte
	w[0], w[1], w[2] = h.Queue, h.Next.word(), h.Capacity
	w[3] = uint64(copy(name[:], h.Name))
	for i := range maxName / 8 {
		w[4+i] = word(name[:], 8*i)
	}
	copies.Store(b[ownerAt:], h.owner, w)
}

// decode takes over what a head says that was read after the machine was started that time. One wrong
// bit in each of its parts does not matter.
func (h *Head) decode(b []byte, boot uint64) error {
	right := copies.Corrected(b[:sumAt], word(b, sumAt))
	if string(b[:len(magic)]) != magic {
		return fmt.Errorf("it begins with %q, not with %s", b[:len(magic)], magic)
	}
	if !right {
		return errors.New("the checksum of its first bytes is wrong")
	}
	h.Instance, h.Kind, h.Number = word(b, instanceAt), Kind(word(b, kindAt)&^withSums), word(b, numberAt)
	h.Sums = word(b, kindAt)&withSums != 0
	owner, sequence, ok := copies.Newest(b[ownerAt:], ownerWords)
	if !ok || owner[3] > maxName || owner[2] > maxCapacity-headSize {
		return errors.New("the checksum of its owner is wrong")
	}
	var name []byte
	for _, w := range owner[4:] {
		name = binary.LittleEndian.AppendUint64(name, w)
	}
	h.owner, h.Queue, h.Next, h.Capacity, h.Name = sequence, owner[0], linkOf(owner[1]), owner[2], string(name[:owner[3]])
	if !h.Durable.decode(b) {
		return errors.New("the checksum of its durable positions is wrong")
	}
	h.Rebooted = h.Durable.Boot != boot
	h.Unsure = h.Rebooted
	if h.Rebooted && !h.Durable.Loose {
		h.Positions, h.Next = h.Durable.Positions, h.Durable.Next
		h.Suspect = h.Held // marks may be on the disk that are younger
		return nil
	}
	place, ok := selected(b[placeAt:], placeWords)
	if !ok {
		return errors.New("the checksum of its positions is wrong")
	}
	h.Positions = Positions{place[0], place[1], place[2], place[3], place[4]}
	return nil
}

func sum(words []uint64) uint64 {
	return uint64(crc32.Checksum(unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), 8*len(words)), castagnoli))
}

// selected returns the words of the valid one of two copies, and whether its checksum, the
// last of them, is right.
func selected(b []byte, words int) (values []uint64, ok bool) {
	at := 8
	if bits.OnesCount64(word(b, 0)) > 32 {
		at += 8 * words
	}
	n := 8 * (words - 1)
	content := slices.Clone(b[at : at+n])
	ok = copies.Corrected(content, word(b, at+n))
	values = make([]uint64, words)
	for i := range words - 1 {
		values[i] = word(content, 8*i)
	}
	values[words-1] = sum(values[:words-1])
	return values, ok
}

// update stores words in the copy that is not valid, and makes it the valid one.
func update(b []byte, words []uint64) {
	selector := (*uint64)(unsafe.Pointer(&b[0]))
	next := uint64(0)
	if bits.OnesCount64(atomic.LoadUint64(selector)) <= 32 { // one of its bits may be wrong
		next = ^next
	}
	copies := b[8:]
	if next != 0 {
		copies = copies[8*len(words):]
	}
	for i, w := range words {
		putWord(copies, 8*i, w)
	}
	atomic.StoreUint64(selector, next)
}
