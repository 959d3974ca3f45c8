// Package catalogue keeps which queues there are, and where the records of each begin.
//
// # The file
//
// catalogue.dat is written only when queues come and go, or get their first file or give up
// their last. It is a log:
//
//	0      magic, instance, checksum │ phase u32, its checksum u32
//	512    what is durable, see package copies: { boot, loose, end }
//	4096   entry │ entry │ … │ 0
//
//	entry  size u32, checksum u32 │ payload, filled up to 8 bytes
//
// The file is mapped. An entry counts as soon as its first word is stored, which is done last,
// so that a process killed at any instant leaves a whole number of entries; behind the last one
// there are zeros, which are written ahead of the writer so that storing cannot fail. What one
// entry says happens at once or not at all: all queues of a channel are removed by one, and all
// that a start takes over from another node comes with one.
//
// After a power failure the file has what was synced, and of all else whatever the disk has got. So if
// the machine has been started again, entries count up to the durable end, unless it is loose: then
// nobody has kept one. Whatever an entry in front of it refers to is durable as well.
//
// A log that has grown much larger than what it says is written anew.
//
// # Concurrency
//
// A File may be used by several goroutines. Its lock is the last that is taken, and not held while
// the disk is waited for. Who must not wait for that either asks HasRoom first.
//
// The package imports disk, copies, ring and dformat.
package catalogue

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math/bits"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/copies"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/dformat"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// FileName is the name of the file. The original ignores files of that suffix.
const FileName = "catalogue.dat"

// NewFileName is that of a catalogue that is being written.
const NewFileName = "catalogue-new.dat"

const (
	magic      = "DMQCAT01"
	instanceAt = 8
	sumAt      = 16
	phaseAt    = 24
	headSize   = 4096
	fillSize   = 64 << 10
	mapSize    = 64 << 20 // the largest file
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Queue is what the catalogue knows of a queue.
type Queue struct {
	Number uint64
	Name   string    // [subscriber@]channel
	First  ring.Link // the first of its files; none while it has none
}

// Phase tells how far a clean stop has come that leaves the files of the original.
type Phase uint64

// Phases.
const (
	Serving Phase = iota // ring files count; so they do after a crash
	Dumping              // the files of the original are being given their names; ring files count
	Dumped               // the files of the original count; ring files are being deleted
	Kept                 // a clean stop has left ring files on purpose
)

// Content is what a catalogue says.
type Content struct {
	Instance uint64 // a random number that ring files refer to; 0 if it could not be read
	Phase    Phase
	Next     uint64 // number of the next queue
	Queues   map[uint64]Queue
	// Sources are files that have been taken over and are to be deleted: see Takeover.
	Sources []dformat.Source
	// Damage is why not all of the file could be read, or nil.
	Damage error

	// Rebooted says that the machine has been started again since the file was used, and Loose that
	// what it says then is whatever the disk happens to have.
	Rebooted, Loose bool

	end     int64
	durable durable
}

// Sorted returns the queues by number.
func (c *Content) Sorted() []Queue {
	return slices.SortedFunc(maps.Values(c.Queues), func(a, b Queue) int {
		return cmp.Compare(a.Number, b.Number)
	})
}

// New returns the content of a directory that no node has used.
func New() *Content {
	return &Content{Instance: NewInstance(), Next: 1, Queues: make(map[uint64]Queue), end: headSize}
}

// NewInstance returns a number that no other directory has.
func NewInstance() uint64 { return rand.Uint64() | 1 }

// Read returns what the catalogue in a directory says, and changes nothing. If there is none,
// the error is that of opening the file.
func Read(dir disk.Dir) (*Content, error) {
	f, err := disk.OpenToRead(dir, FileName)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > mapSize {
		return nil, fmt.Errorf("%s has %d bytes, which is more than any node leaves behind", dir.Path(FileName), size)
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); n < len(b) && err != io.EOF {
		return nil, err
	}
	c := New()
	c.Instance = 0 // as long as the file has not told it
	c.Damage = c.parse(b, dir.Boot())
	if c.Damage != nil {
		c.Damage = fmt.Errorf("%s is damaged: %w", dir.Path(FileName), c.Damage)
	}
	return c, nil
}

// parse takes over what the bytes of a file say that was read after the machine was started that time.
// One wrong bit in the head or in an entry does not matter; an entry with more of them is left out, and
// the error is about the first one.
func (c *Content) parse(b []byte, boot uint64) error {
	if len(b) < headSize {
		return fmt.Errorf("it has %d bytes", len(b))
	}
	b = slices.Clone(b)
	right := copies.Corrected(b[:sumAt], word(b, sumAt))
	switch {
	case string(b[:len(magic)]) != magic:
		return fmt.Errorf("it begins with %q, not with %s", b[:len(magic)], magic)
	case !right:
		return errors.New("the checksum of its first bytes is wrong")
	}
	c.Instance = word(b, instanceAt)
	if !c.parsePhase(word(b, phaseAt)) {
		return fmt.Errorf("phase %#x", word(b, phaseAt))
	}
	if !c.durable.decode(b) {
		return errors.Join(errors.New("the checksum of its durable end is wrong"), c.parseEntries(b))
	}
	c.Rebooted, c.Loose = c.durable.boot != boot, c.durable.loose
	if c.durable.end > int64(len(b)) || c.durable.end < headSize {
		return fmt.Errorf("it has %d bytes, and entries up to %d", len(b), c.durable.end)
	}
	if c.Rebooted && !c.Loose {
		b = b[:c.durable.end]
	}
	if err := c.parseEntries(b); err != nil {
		return err
	}
	if c.end < c.durable.end {
		return fmt.Errorf("its entries end at offset %d, and ended at %d before", c.end, c.durable.end)
	}
	return nil
}

func (c *Content) parseEntries(b []byte) (damage error) {
	for left := false; int64(len(b))-c.end >= 8; {
		if bits.OnesCount64(word(b, int(c.end))) < 2 { // an entry has more in its first word
			return damage
		}
		payload, ok := entryAt(b[c.end:])
		switch {
		case ok:
			if err := c.apply(payload); err != nil && damage == nil {
				return fmt.Errorf("the entry at offset %d: %w", c.end, err)
			} // else it may be about a queue that the entry which is left out has added
		case damage == nil:
			damage = fmt.Errorf("the checksum of the entry at offset %d is wrong, or it is longer than the file", c.end)
			fallthrough
		default:
			if left || payload == nil {
				return damage // nothing tells where the next one begins
			}
		}
		left = !ok
		c.end += 8 + padded(int64(len(payload)))
	}
	return damage
}

func (c *Content) parsePhase(w uint64) (ok bool) {
	for p := Serving; p <= Kept; p++ {
		if bits.OnesCount64(w^p.word()) <= 1 {
			c.Phase = p
			return true
		}
	}
	return false
}

// mostCorrected is how long an entry may be in which a wrong bit is looked for.
const mostCorrected = 4096

// entryAt returns the payload of the entry that some bytes begin with, and whether it is what it
// was. It is nil if it is longer than the bytes.
func entryAt(b []byte) (payload []byte, ok bool) {
	size, sum := uint32(word(b, 0)), uint32(word(b, 0)>>32)
	cut := func(size uint32) []byte {
		if uint64(size) > uint64(len(b)-8) {
			return nil
		}
		return b[8:][:size]
	}
	payload = cut(size)
	if payload != nil && checksum(payload) == sum {
		return payload, true
	}
	for bit := range 32 {
		if other := cut(size ^ 1<<bit); other != nil && checksum(other) == sum {
			return other, true
		}
	}
	if len(payload) > mostCorrected {
		return payload, false
	}
	return payload, payload != nil && (copies.Corrected(payload, uint64(sum)) || copies.Corrected(payload, uint64(sum&^1)))
}

// word is how a phase is stored.
func (p Phase) word() uint64 {
	return uint64(p) | uint64(crc32.Checksum([]byte{byte(p)}, castagnoli))<<32
}

func padded(size int64) int64 { return (size + 7) &^ 7 }

// checksum is never 0, so that the first word of an entry is not.
func checksum(payload []byte) uint32 { return crc32.Checksum(payload, castagnoli) | 1 }

func word(b []byte, at int) uint64       { return binary.LittleEndian.Uint64(b[at:]) }
func putWord(b []byte, at int, w uint64) { binary.LittleEndian.PutUint64(b[at:], w) }

// File is the open catalogue.
type File struct {
	dir     disk.Dir
	growing sync.Mutex // of who makes the file longer, or another one; taken before mu

	mu        sync.Mutex
	content   Content
	mapping   disk.Mapping
	file      disk.File
	filled    int64    // bytes of the file
	written   int64    // how long the log was when it was written anew
	anew      bool     // it is being written anew
	since     [][]byte // entries that have come meanwhile
	switching bool     // the new one takes its place: none may come

	unsynced bool // MakeDurable has failed; for who calls it
}

// Create makes a catalogue that says what c does. It takes the place of one that is there. If it is
// loose, nobody calls MakeDurable.
func Create(dir disk.Dir, c *Content, loose bool) (*File, error) {
	f := &File{dir: dir, content: *c}
	f.content.Queues = maps.Clone(c.Queues)
	f.content.durable.loose = loose
	new, err := f.write(&f.content)
	if err == nil {
		err = f.replace(new)
	}
	return f, err
}

// Open opens the catalogue that c was read from.
func Open(dir disk.Dir, c *Content, loose bool) (*File, error) {
	file, err := dir.Open(FileName)
	if err != nil {
		return nil, err
	}
	f := &File{dir: dir, content: *c, file: file}
	f.content.Queues = maps.Clone(c.Queues)
	if f.filled, err = file.Size(); err == nil {
		f.mapping, err = file.Map(mapSize)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if c.Rebooted || loose && !c.Loose {
		if c.Rebooted && c.end+8 <= f.filled {
			putAtOnce(f.mapping.Bytes()[c.end:], 0) // what is behind does not count
		}
		end := c.durable.end
		if c.Rebooted {
			end = c.end // it was read from the disk
		}
		if err := f.storeDurable(f.mapping, loose, end); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f, nil
}

// write makes a new file that says what it is given.
func (f *File) write(c *Content) (new *File, err error) {
	image := c.image(f.dir.Boot())
	filled := (int64(len(image))+fillSize-1)/fillSize*fillSize + 2*fillSize
	if filled > mapSize {
		return nil, fmt.Errorf("%s: there are too many queues", f.dir.Path(FileName))
	}
	if err := disk.RemoveIfThere(f.dir, NewFileName); err != nil {
		return nil, err
	}
	file, err := f.dir.Create(NewFileName)
	if err != nil {
		return nil, err
	}
	new = &File{dir: f.dir, content: *c, file: file, filled: filled}
	new.content.end = int64(len(image))
	new.written = new.content.end
	new.content.durable.decode(image)
	if _, err = file.WriteAt(append(image, make([]byte, filled-int64(len(image)))...), 0); err == nil {
		err = file.Sync()
	}
	if err == nil {
		new.mapping, err = file.Map(mapSize)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close(), f.dir.Remove(NewFileName))
	}
	return new, nil
}

// replace makes new the file.
func (f *File) replace(new *File) error {
	if err := f.dir.Rename(NewFileName, FileName); err != nil {
		return errors.Join(err, new.discard())
	}
	f.mu.Lock()
	old, oldFile := f.mapping, f.file
	f.mapping, f.file, f.filled = new.mapping, new.file, new.filled
	f.content.end, f.content.durable, f.written = new.content.end, new.content.durable, new.written
	f.mu.Unlock()
	if old == nil {
		return nil
	}
	return errors.Join(old.Close(), oldFile.Close())
}

// discard deletes a file that is not to take the place of another one.
func (f *File) discard() error {
	return errors.Join(f.mapping.Close(), f.file.Close(), f.dir.Remove(NewFileName))
}

// image is the bytes of a file that says what c does, without the zeros.
func (c *Content) image(boot uint64) []byte {
	b := make([]byte, headSize)
	copy(b, magic)
	putWord(b, instanceAt, c.Instance)
	putWord(b, sumAt, uint64(crc32.Checksum(b[:sumAt], castagnoli)))
	putWord(b, phaseAt, c.Phase.word())
	b = appendEntry(b, appendNext(nil, c.Next))
	if len(c.Sources) > 0 {
		b = appendEntry(b, appendTakeover(nil, nil, c.Sources))
	}
	for _, q := range c.Sorted() {
		b = appendEntry(b, appendAdd(nil, q))
	}
	d := durable{sequence: 1, boot: boot, loose: c.durable.loose, end: int64(len(b))}
	d.store(b)
	return b
}

func appendEntry(b, payload []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(len(payload))|uint64(checksum(payload))<<32)
	b = append(b, payload...)
	return append(b, make([]byte, padded(int64(len(payload)))-int64(len(payload)))...)
}

// Content returns what the catalogue says now.
func (f *File) Content() Content {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.content
	c.Queues = maps.Clone(c.Queues)
	return c
}

// Instance is that of the directory.
func (f *File) Instance() uint64 { return f.content.Instance }

// Add adds a queue, and returns its number, which no other has or will have.
func (f *File) Add(name string) (number uint64, err error) {
	if err := f.lock(len(name)); err != nil {
		return number, err
	}
	defer f.mu.Unlock()
	number = f.content.Next
	return number, f.append(appendAdd(nil, Queue{Number: number, Name: name}))
}

// Rename gives queues another name, all at once.
func (f *File) Rename(numbers []uint64, name string) error {
	if err := f.lock(len(name) + mostNumber*len(numbers)); err != nil {
		return err
	}
	defer f.mu.Unlock()
	if err := f.known(numbers...); err != nil {
		return err
	}
	return f.append(appendRename(nil, numbers, name))
}

// Remove removes queues, all at once.
func (f *File) Remove(numbers []uint64) error {
	if err := f.lock(mostNumber * len(numbers)); err != nil {
		return err
	}
	defer f.mu.Unlock()
	return f.append(appendRemove(nil, numbers))
}

// SetFirst notes which is the first file of a queue.
func (f *File) SetFirst(number uint64, first ring.Link) error {
	if err := f.lock(0); err != nil {
		return err
	}
	defer f.mu.Unlock()
	if err := f.known(number); err != nil {
		return err
	}
	return f.append(appendFirst(nil, number, first))
}

// Takeover adds queues, or gives known ones their first file, with all the records that were
// in files of the original. It is one entry: from then on these files are to be deleted.
func (f *File) Takeover(queues []Queue, sources []dformat.Source) error {
	payload := appendTakeover(nil, queues, sources)
	if err := f.lock(len(payload)); err != nil {
		return err
	}
	defer f.mu.Unlock()
	return f.append(payload)
}

// TakenOver notes that the files are gone.
func (f *File) TakenOver() error { return f.Takeover(nil, nil) }

// SetPhase stores the phase, durably.
func (f *File) SetPhase(p Phase) (err error) {
	f.growing.Lock() // the file stays this one
	defer f.growing.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.caught(f.mapping, debug.SetPanicOnFault(true), &err)
	f.content.Phase = p
	putAtOnce(f.mapping.Bytes()[phaseAt:], p.word())
	return f.mapping.Sync(0, headSize)
}

const (
	// mostNumber is the most bytes of a number in an entry, and
	mostNumber = binary.MaxVarintLen64
	// mostElse what an entry takes besides names and numbers of queues.
	mostElse = 64
	// margin is room for entries of others that come between a look and an entry.
	margin = 16 << 10
)

// lock locks mu when there is room for an entry with that many bytes of names and numbers of
// queues. It waits for the disk if it has to; if there is no disk space, nothing is changed.
func (f *File) lock(size int) error {
	for {
		f.mu.Lock()
		if f.hasRoom(int64(mostElse + size)) {
			return nil
		}
		f.mu.Unlock()
		if err := f.makeRoom(int64(mostElse + size)); err != nil {
			return err
		}
	}
}

func (f *File) hasRoom(size int64) bool { return !f.switching && f.content.end+size <= f.filled }

// HasRoom reports whether an entry about so many queues can be stored at once.
func (f *File) HasRoom(queues int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hasRoom(int64(margin + mostNumber*queues))
}

// MakeRoom makes HasRoom true.
func (f *File) MakeRoom(queues int) error { return f.makeRoom(int64(margin + mostNumber*queues)) }

func (f *File) makeRoom(size int64) error {
	f.growing.Lock()
	defer f.growing.Unlock()
	f.mu.Lock()
	end := f.content.end + size
	f.mu.Unlock()
	return f.fill(end)
}

// append stores an entry for which there is room (with mu held).
func (f *File) append(payload []byte) error {
	if err := f.tryToStore(payload); err != nil {
		return err
	}
	if f.anew {
		f.since = append(f.since, payload)
	}
	return f.content.apply(payload)
}

func (f *File) tryToStore(payload []byte) (err error) {
	defer f.caught(f.mapping, debug.SetPanicOnFault(true), &err)
	f.store(payload)
	return nil
}

// caught makes an error of a fault in a mapping of the file (see disk.Fault).
func (f *File) caught(m disk.Mapping, before bool, err *error) {
	debug.SetPanicOnFault(before)
	if p := recover(); p != nil {
		*err = fmt.Errorf("%s, offset %d: %s", f.dir.Path(FileName), disk.Fault(p, m.Bytes()), disk.Unreadable)
	}
}

// store stores an entry where there are zeros.
func (f *File) store(payload []byte) {
	b := f.mapping.Bytes()[f.content.end:]
	copy(b[8:], payload)
	size := 8 + padded(int64(len(payload)))
	clear(b[8+len(payload) : size+8]) // an entry that a killed process was about to store may lie there
	putAtOnce(b, uint64(len(payload))|uint64(checksum(payload))<<32)
	f.content.end += size
}

// putAtOnce stores a word at once.
func putAtOnce(b []byte, w uint64) { atomic.StoreUint64((*uint64)(unsafe.Pointer(&b[0])), w) }

// known fails for a queue that there is not: an entry about it would be damage.
func (f *File) known(numbers ...uint64) error {
	for _, number := range numbers {
		if _, ok := f.content.Queues[number]; !ok {
			return fmt.Errorf("%s: queue %d is unknown", f.dir.Path(FileName), number)
		}
	}
	return nil
}

// fill makes sure that there are zeros up to that offset (with growing held).
func (f *File) fill(end int64) error {
	f.mu.Lock()
	file, filled := f.file, f.filled
	f.mu.Unlock()
	if end <= filled {
		return nil
	}
	size := (end - filled + fillSize - 1) / fillSize * fillSize
	if filled+size > mapSize {
		return fmt.Errorf("%s: there are too many queues", f.dir.Path(FileName))
	}
	if _, err := file.WriteAt(make([]byte, size), filled); err != nil {
		return err
	}
	f.mu.Lock()
	f.filled = filled + size
	f.mu.Unlock()
	return nil
}

// NeedsCare reports whether Care has something to do.
func (f *File) NeedsCare() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.content.end+fillSize/2 > f.filled || f.content.durable.loose && f.tooLong()
}

// TooLong reports whether the log is to be written anew.
func (f *File) TooLong() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tooLong()
}

// tooLong reports whether the log is much longer than what it says, or soon full (with mu held).
func (f *File) tooLong() bool {
	return f.content.end > min(max(1<<20, 3*f.written), mapSize-4*fillSize)
}

// Care makes sure that the next entries find their disk space, and writes a loose log anew that has
// grown too long. Others use the file meanwhile.
func (f *File) Care() error {
	f.mu.Lock()
	if f.mapping == nil || f.anew {
		f.mu.Unlock()
		return nil
	}
	if !f.content.durable.loose || !f.tooLong() {
		f.mu.Unlock()
		return f.makeRoom(fillSize / 2)
	}
	c := f.beginAnew()
	f.mu.Unlock()
	return f.writeAnew(c)
}

// beginAnew returns what a log written anew is to say (with mu held).
func (f *File) beginAnew() *Content {
	c := f.content
	c.Queues = maps.Clone(c.Queues)
	f.anew, f.since = true, nil
	return &c
}

func (f *File) writeAnew(c *Content) error {
	new, err := f.write(c)
	if err == nil {
		f.growing.Lock()
		defer f.growing.Unlock()
		if err = f.catchUp(new); err == nil {
			putWord(new.mapping.Bytes(), phaseAt, f.content.Phase.word())
			err = f.replace(new)
		} else {
			err = errors.Join(err, new.discard())
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.anew, f.since, f.switching = false, nil, false
	return err
}

// catchUp stores the entries in a new file that have come since it was begun, until none come any
// more.
func (f *File) catchUp(new *File) error {
	for {
		f.mu.Lock()
		since := f.since
		f.since = nil
		f.switching = len(since) == 0
		f.mu.Unlock()
		if len(since) == 0 {
			return nil
		}
		for _, payload := range since {
			if err := new.fill(new.content.end + 16 + padded(int64(len(payload)))); err != nil {
				return err
			}
			new.store(payload)
		}
	}
}

// Close closes the file.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mapping == nil {
		return nil
	}
	err := errors.Join(f.mapping.Close(), f.file.Close())
	f.mapping = nil
	return err
}
