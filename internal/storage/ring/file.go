package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/sociomantic-tsunami/dmqnode/internal/storage/disk"
)

// A ring file is a page that tells whose ring it is, and then the block of memory:
//
//	0     8          16       24                4096
//	┌─────┬──────────┬────────┬──────────┬ … ┬──────┬───────────────────
//	│magic│ instance │ number │ capacity │   │      │ data …
//	└─────┴──────────┴────────┴──────────┴ … ┴──────┴───────────────────
//
// It holds no positions: those are kept elsewhere, as Positions, and brought up to date
// after every change. The bytes of a record are stored before the positions that include
// it, and no byte is reused before the positions that free it are stored; so whenever the
// process ends, the positions stored last fit the bytes.
const (
	fileMagic  = "DMQRING1"
	ownerSize  = len(fileMagic) + 16
	fileHeader = 4096
)

// Positions are what a ring needs beside its bytes to be opened again: offsets in bytes,
// and the number of records held. What was handed out and not freed counts as waiting,
// with the marks of what was delivered (Mark).
type Positions struct{ Read, Write, Gap, Held uint64 }

// Owner says whose ring a file is, so that a stray file is not taken for it.
type Owner struct{ Instance, Number uint64 }

// DamageError says that a ring file does not hold all the records it should.
type DamageError struct {
	File      string
	Want, Got uint64 // records
	Reason    string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("ring file %s: %d of %d records are intact: %s", e.File, e.Got, e.Want, e.Reason)
}

// Create makes a ring in a new file, whose disk space is reserved at once so that
// storing a record cannot fail later.
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
	copy(r.mapping.Bytes(), header(owner, capacity))
	return r, nil
}

// Open opens the ring in an existing file. If the file holds fewer intact records than
// the positions tell, it returns both a ring with those at the front and a *DamageError;
// if it cannot be used at all, no ring.
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
	if capacity > maxCapacity || uint64(size) != fileHeader+capacity {
		return nil, &DamageError{dir.Path(name), at.Held, 0, fmt.Sprintf("it has %d bytes, not %d", size, fileHeader+capacity)}
	}
	r, err := mapFile(file, capacity)
	if err != nil {
		return nil, err
	}
	if head := header(owner, capacity); string(r.mapping.Bytes()[:len(head)]) != string(head) {
		r.Close()
		return nil, &DamageError{dir.Path(name), at.Held, 0, "it belongs to another storage"}
	}
	if reason := r.restore(at); reason != "" {
		return r, &DamageError{dir.Path(name), at.Held, uint64(r.held), reason}
	}
	return r, nil
}

func mapFile(file disk.File, capacity uint64) (*Ring, error) {
	size := int64(fileHeader + capacity)
	if err := file.Allocate(size); err != nil {
		return nil, err
	}
	m, err := file.Map(size)
	if err != nil {
		return nil, err
	}
	return &Ring{data: m.Bytes()[fileHeader:], mapping: m}, nil
}

// OwnerOf returns whose ring a file is. It is nobody's if its creation was not completed,
// and ok is false if it is not a ring file.
func OwnerOf(dir disk.Dir, name string) (owner Owner, ok bool, err error) {
	file, err := dir.Open(name)
	if err != nil {
		return Owner{}, false, err
	}
	defer file.Close()
	b := make([]byte, ownerSize)
	if n, err := file.ReadAt(b, 0); n < len(b) && err != io.EOF {
		return Owner{}, false, err
	}
	owner = Owner{binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:])}
	blank := string(b) == string(make([]byte, ownerSize))
	return owner, blank || string(b[:len(fileMagic)]) == fileMagic, nil
}

// header is the beginning of the file.
func header(owner Owner, capacity uint64) []byte {
	b := []byte(fileMagic)
	b = binary.LittleEndian.AppendUint64(b, owner.Instance)
	b = binary.LittleEndian.AppendUint64(b, owner.Number)
	return binary.LittleEndian.AppendUint64(b, capacity)
}

// restore takes over positions as far as the records bear them out. It returns what is
// wrong, or nothing.
func (r *Ring) restore(at Positions) (reason string) {
	size := uint64(len(r.data))
	if at.Held == 0 {
		return ""
	}
	wrapped := at.Write <= at.Read
	if at.Held > size/HeaderSize || at.Gap > size || at.Read >= at.Gap || !wrapped && at.Write != at.Gap {
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
		if run, reason = r.stretch(pos, end, at.Held-here.records); reason != "" {
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
	if end-pos < HeaderSize {
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
