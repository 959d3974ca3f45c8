package ring

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// A ring file is a page that tells whose ring it is, and then the block of memory:
//
//	0     8          16       24         32      40      4096
//	┌─────┬──────────┬────────┬──────────┬───────┬─────┬ … ┬───────────────────
//	│magic│ instance │ number │ capacity │ check │spare│   │ data …
//	└─────┴──────────┴────────┴──────────┴───────┴─────┴ … ┴───────────────────
//
// It holds no positions: those are kept elsewhere, as Positions, and brought up to date
// after every change. The bytes of a record are stored before the positions that include
// it, and no byte is reused before the positions that free it are stored; so whenever the
// process ends, the positions stored last fit the bytes.
//
// spare is 1 as long as no storage needs the file: from its creation until a storage has it,
// and from just before a storage gives it up. So a file that no storage knows, and that is not
// spare, holds records whose positions are lost.
const (
	fileMagic  = "DMQRING2"
	headSize   = len(fileMagic) + 3*8 + 8
	spareAt    = headSize
	fileHeader = 4096
)

// Positions are what a ring needs beside its bytes to be opened again: offsets in bytes,
// and the number of records held. What was handed out and not freed counts as waiting,
// with the marks of what was delivered (Mark).
type Positions struct{ Read, Write, Gap, Held uint64 }

// Owner says whose ring a file is, so that a stray file is not taken for it.
type Owner struct{ Instance, Number uint64 }

// DamageError says that a ring file does not hold all the records it should, or is damaged
// otherwise.
type DamageError struct {
	File      string
	Want, Got uint64 // records
	Reason    string
	// Foreign says that the file is another ring's, and intact.
	Foreign bool
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("ring file %s: %d of %d records are intact: %s", e.File, e.Got, e.Want, e.Reason)
}

// Create makes a ring in a new file, whose disk space is reserved at once so that
// storing a record cannot fail later. The file is spare.
func Create(dir disk.Dir, name string, owner Owner, capacity uint64) (*Ring, error) {
	if capacity > maxCapacity {
		return nil, fmt.Errorf("ring of %d bytes: larger than the address space", capacity)
	}
	file, err := dir.Create(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	r, err := mapFile(file, capacity)
	if err != nil {
		return nil, errors.Join(err, dir.Remove(name))
	}
	r.SetSpare(true)
	copy(r.mapping.Bytes(), header(owner, capacity))
	return r, nil
}

// SetSpare says in the file, if there is one, whether no storage needs it.
func (r *Ring) SetSpare(spare bool) {
	if r.mapping == nil {
		return
	}
	var flag uint64
	if spare {
		flag = 1
	}
	binary.LittleEndian.PutUint64(r.mapping.Bytes()[spareAt:], flag)
}

// Open opens the ring in an existing file. If the file holds fewer intact records than
// the positions tell, or is damaged otherwise, it returns both a ring with the intact ones at
// the front, only to be read, and a *DamageError; if it cannot be used at all, no ring.
func Open(dir disk.Dir, name string, owner Owner, capacity uint64, at Positions) (*Ring, error) {
	file, err := dir.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return nil, err
	}
	damage := &DamageError{File: dir.Path(name), Want: at.Held}
	usable := damage.checkSize(size, capacity)
	var r *Ring
	switch {
	case usable == 0:
		return nil, damage
	case damage.Reason == "":
		r, err = mapFile(file, capacity)
	default:
		r, err = mapBytes(file, usable)
	}
	if err != nil {
		return nil, err
	}
	r.examine(r.mapping.Bytes(), owner, capacity, at, damage)
	switch {
	case damage.Foreign:
		return nil, errors.Join(damage, r.Close())
	case damage.Reason != "":
		return r, damage
	}
	r.SetSpare(false)
	return r, nil
}

// checkSize adds to the damage that a file has another size than a ring of that capacity, and
// returns how many bytes of it can be used; 0 if there is no ring in them.
func (e *DamageError) checkSize(size int64, capacity uint64) (usable int64) {
	whole := fileHeader + capacity
	if capacity <= maxCapacity && uint64(size) == whole {
		return size
	}
	e.Reason = fmt.Sprintf("it has %d bytes, not %d", size, whole)
	if capacity > maxCapacity || size <= fileHeader {
		return 0
	}
	return min(size, int64(whole))
}

// examine finds the records in a mapped file and adds to damage what is wrong.
func (r *Ring) examine(file []byte, owner Owner, capacity uint64, at Positions, damage *DamageError) {
	whose := parseHead(file)
	if damage.Foreign = whose.Intact && whose.Owner != owner; damage.Foreign {
		damage.Reason = "it belongs to another storage"
		return
	}
	reason := r.restore(at, capacity)
	damage.Got = uint64(r.held)
	if damage.Reason == "" {
		damage.Reason = reason
	}
	if damage.Reason == "" && string(file[:headSize]) != string(header(owner, capacity)) {
		damage.Reason = "its header is damaged"
	}
}

func mapFile(file disk.File, capacity uint64) (*Ring, error) {
	size := int64(fileHeader + capacity)
	if err := file.Allocate(size); err != nil {
		return nil, err
	}
	return mapBytes(file, size)
}

func mapBytes(file disk.File, size int64) (*Ring, error) {
	m, err := file.Map(size)
	if err != nil {
		return nil, err
	}
	return &Ring{data: m.Bytes()[fileHeader:], mapping: m}, nil
}

// Whose is what a ring file tells of itself.
type Whose struct {
	Owner
	Intact bool // the rest is true
	Spare  bool // no storage needs the file
	Blank  bool // its creation was not completed, and nothing has been stored there
}

// blankSize is how many bytes of data tell that there are none: every record has a length in
// front, and in a ring that is not blank there is one at the start.
const blankSize = 64 << 10

// WhoseIs returns whose ring a file is.
func WhoseIs(dir disk.Dir, name string) (Whose, error) {
	file, err := dir.Open(name)
	if err != nil {
		return Whose{}, err
	}
	defer file.Close()
	b := make([]byte, fileHeader+blankSize)
	n, err := file.ReadAt(b, 0)
	if n < len(b) && err != io.EOF {
		return Whose{}, err
	}
	w := parseHead(b)
	isZero := func(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }
	w.Blank = !w.Intact && isZero(b[fileHeader:]) && (w.Spare || isZero(b))
	return w, nil
}

func parseHead(b []byte) Whose {
	word := func(i int) uint64 { return binary.LittleEndian.Uint64(b[len(fileMagic)+8*i:]) }
	w := Whose{Owner: Owner{word(0), word(1)}}
	w.Intact = string(b[:headSize]) == string(header(w.Owner, word(2)))
	w.Spare = binary.LittleEndian.Uint64(b[spareAt:]) == 1
	return w
}

// header is the beginning of the file.
func header(owner Owner, capacity uint64) []byte {
	b := []byte(fileMagic)
	b = binary.LittleEndian.AppendUint64(b, owner.Instance)
	b = binary.LittleEndian.AppendUint64(b, owner.Number)
	b = binary.LittleEndian.AppendUint64(b, capacity)
	sum := fnv.New64a()
	sum.Write(b)
	return binary.LittleEndian.AppendUint64(b, sum.Sum64())
}

// restore takes over positions in a ring of that capacity, as far as the records bear them
// out. It returns what is wrong, or nothing.
func (r *Ring) restore(at Positions, size uint64) (reason string) {
	if at == (Positions{}) {
		return ""
	}
	wrapped := at.Write <= at.Read
	if at.Held == 0 || at.Held > size/HeaderSize || at.Gap > size || at.Read >= at.Gap || !wrapped && at.Write != at.Gap {
		return "impossible positions"
	}
	r.read, r.next, r.gap, r.write = int(at.Read), int(at.Read), int(at.Gap), int(at.Write)
	pos, end, second := at.Read, at.Gap, false
	good := ending{pos: pos}
	here := good
	for here.records < at.Held {
		if pos == end && wrapped && !second {
			pos, end, second = 0, at.Write, true
		}
		var run stretch
		if run, reason = r.stretch(pos, min(end, uint64(len(r.data))), at.Held-here.records); reason != "" {
			break
		}
		pos += run.size
		here = ending{pos, second, here.records + run.records, here.marked + run.marks}
		if run.size > HeaderSize || run.marks > 0 {
			good = here
		}
	}
	if reason == "" && (pos != end || wrapped != second) {
		reason = "bytes are left over behind the last record"
	}
	if reason != "" {
		r.cutAt(good)
		return reason
	}
	r.held, r.waiting, r.marked = int(at.Held), int(at.Held), here.marked
	return ""
}

// stretch is a record, or a marked run.
type stretch struct {
	size, records uint64
	marks         int // 1 if it is marked
}

// stretch returns what lies from pos on, where no more than so many records can be, or
// what is wrong with it.
func (r *Ring) stretch(pos, end, most uint64) (found stretch, reason string) {
	if pos+HeaderSize > end {
		return stretch{}, "records end too early"
	}
	length := binary.LittleEndian.Uint64(r.data[pos:])
	if size, records, ok := parseMark(length); ok {
		if records == 0 || records > most || size < HeaderSize*records || size > end-pos {
			return stretch{}, "a mark of delivered records is impossible"
		}
		return stretch{size, records, 1}, ""
	}
	if length > end-pos-HeaderSize {
		return stretch{}, "a record is longer than the space it lies in"
	}
	return stretch{HeaderSize + length, 1, 0}, ""
}

// ending is where records end.
type ending struct {
	pos     uint64
	wrapped bool
	records uint64
	marked  int // marked runs among them
}

// cutAt makes that the end of the last record. Those in front of damage are cut off as
// well if they are empty: they are zeros, as is a page that never reached the disk.
func (r *Ring) cutAt(end ending) {
	switch {
	case end.records == 0:
		r.read, r.next, r.write, r.gap = 0, 0, 0, 0
	case end.wrapped:
		r.write = int(end.pos)
	default:
		r.write, r.gap = int(end.pos), int(end.pos)
	}
	r.held, r.waiting, r.marked = int(end.records), int(end.records), end.marked
}

// Positions returns what Open needs to open the ring as it is now.
func (r *Ring) Positions() Positions {
	return Positions{uint64(r.read), uint64(r.write), uint64(r.gap), uint64(r.held)}
}

// InFile reports whether the ring is in a file.
func (r *Ring) InFile() bool { return r.mapping != nil }

// Sync makes what is stored in the file durable.
func (r *Ring) Sync() error {
	if r.mapping == nil {
		return nil
	}
	return r.mapping.Sync()
}
