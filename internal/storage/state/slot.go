package state

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
)

// Identity is what a storage is called.
type Identity struct {
	Storage string // name of the storage, 1 to 255 bytes
	// Dumped tells that a clean stop has written the records of the ring to a temporary
	// dump file: from then on that, or the dump it was renamed to, is what counts.
	Dumped bool
}

// Positions are where the records of a storage lie.
type Positions struct {
	RingFile               uint64 // number of the ring file; 0 = the ring is in anonymous memory
	Capacity               uint64 // of the ring in bytes
	Read, Write, Gap, Held uint64 // see ring.Positions

	// Overflow, see overflow.State.
	OverflowID            uint32
	First, Last           int64
	Records, PayloadBytes uint64

	// Taken is how many of the records in the overflow, from the oldest on, were handed out,
	// if there may be marks of delivered ones among them; otherwise 0.
	Taken uint64

	MayHoldEmpty bool
	// Imported is the dump file whose records are among these already. The file is to
	// be deleted, not to be loaded again.
	Imported DumpID
}

// DumpID tells one version of a dump file from all others.
type DumpID struct{ Inode, ModTime, Size uint64 }

// A slot, at offsets:
//
//	  0  in use: 1, or 0
//	  8  identity: selector, two copies
//	560  positions: selector, two copies
const (
	identityAt    = 8
	identityWords = 2 + 256/8
	positionsAt   = identityAt + 8 + 2*8*identityWords
	positionWords = 16
	slotUsed      = positionsAt + 8 + 2*8*positionWords
)

var _ [slotSize - slotUsed]struct{} // a slot is large enough

// Slot is the place of one storage in the state file.
type Slot struct {
	index     int
	bytes     []byte
	used      bool
	identity  Identity
	positions Positions
}

// Index is the position of the slot in the file: a small number that no other slot has.
func (s *Slot) Index() int { return s.index }

// Identity returns the identity stored last.
func (s *Slot) Identity() Identity { return s.identity }

// Positions returns the positions stored last.
func (s *Slot) Positions() Positions { return s.positions }

// SetIdentity stores the identity.
func (s *Slot) SetIdentity(id Identity) {
	s.identity = id
	var name [256]byte
	words := make([]uint64, 0, identityWords)
	words = append(words, uint64(copy(name[:], id.Storage)), word(id.Dumped))
	for i := 0; i < len(name); i += 8 {
		words = append(words, binary.LittleEndian.Uint64(name[i:]))
	}
	update(s.bytes[identityAt:], words)
}

// SetPositions stores the positions.
func (s *Slot) SetPositions(p Positions) {
	s.positions = p
	words := [positionWords]uint64{
		p.RingFile, p.Capacity, p.Read, p.Write, p.Gap, p.Held,
		uint64(p.OverflowID), uint64(p.First), uint64(p.Last), p.Records, p.PayloadBytes,
		word(p.MayHoldEmpty),
		p.Imported.Inode, p.Imported.ModTime, p.Imported.Size,
		p.Taken,
	}
	update(s.bytes[positionsAt:], words[:])
}

func (s *Slot) setUsed(used bool) {
	s.used = used
	binary.LittleEndian.PutUint64(s.bytes, word(used))
}

func (s *Slot) load() error {
	switch binary.LittleEndian.Uint64(s.bytes) {
	case 0:
		return nil
	case 1:
		s.used = true
	default:
		return fmt.Errorf("%w: slot %d is neither in use nor unused", ErrDamaged, s.index)
	}
	w := selected(s.bytes[identityAt:], identityWords)
	if w[0] == 0 || w[0] > 255 {
		return fmt.Errorf("%w: slot %d has a storage name of %d bytes", ErrDamaged, s.index, w[0])
	}
	var name []byte
	for _, word := range w[2:] {
		name = binary.LittleEndian.AppendUint64(name, word)
	}
	s.identity = Identity{Storage: string(name[:w[0]]), Dumped: w[1] != 0}
	w = selected(s.bytes[positionsAt:], positionWords)
	if w[6] > math.MaxUint32 {
		return fmt.Errorf("%w: storage %q has the overflow id %d", ErrDamaged, s.identity.Storage, w[6])
	}
	s.positions = Positions{
		RingFile: w[0], Capacity: w[1],
		Read: w[2], Write: w[3], Gap: w[4], Held: w[5],
		OverflowID: uint32(w[6]),
		First:      int64(w[7]), Last: int64(w[8]), Records: w[9], PayloadBytes: w[10],
		MayHoldEmpty: w[11] != 0,
		Imported:     DumpID{w[12], w[13], w[14]},
		Taken:        w[15],
	}
	return nil
}

func word(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// newInstance is a number that no other state file has.
func newInstance() uint64 { return rand.Uint64() | 1 }
