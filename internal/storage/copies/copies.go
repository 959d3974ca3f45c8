// Package copies keeps words, which change together, twice on a disk, so that neither a kill nor a
// power failure at any instant leaves anything but the old ones or the new ones.
//
//	0      sequence 48 bits, its checksum 16 bits │ words … │ checksum CRC32C
//	512    the other copy
//
// The copy with the larger sequence counts. Each lies in one sector, which a disk writes as a whole.
// The sequence of a copy is taken away first and stored last, so one that is half stored when the process is
// killed has none; if the larger one is damaged, that is noticed, and one wrong bit is corrected.
//
// The package imports nothing of the node.
package copies

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
	"slices"
	"sync/atomic"
	"unsafe"
)

const (
	sector = 512
	// Size is the bytes that both copies take.
	Size = 2 * sector
	// Most is how many words there can be.
	Most = sector/8 - 2

	sequenceBits = 48
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Store stores words in the copy that does not count. Sequence is larger than that of what does, and
// at least 1. What is stored with the same one as before replaces that; while it does, the other copy counts.
func Store(b []byte, sequence uint64, words []uint64) {
	b = b[sequence%2*sector:][:sector]
	first := withChecksum(sequence)
	image := binary.LittleEndian.AppendUint64(make([]byte, 0, sector), first)
	for _, w := range words {
		image = binary.LittleEndian.AppendUint64(image, w)
	}
	image = binary.LittleEndian.AppendUint64(image, uint64(crc32.Checksum(image, castagnoli)))
	word := (*uint64)(unsafe.Pointer(&b[0]))
	atomic.StoreUint64(word, 0)
	copy(b[8:], image[8:])
	atomic.StoreUint64(word, first)
}

// Newest returns so many words of the copy that counts, and its sequence. It reports false if that
// is damaged in more than a bit.
func Newest(b []byte, words int) (newest []uint64, sequence uint64, ok bool) {
	var at []byte
	end := 8 * (words + 1)
	for n := range 2 {
		c := slices.Clone(b[n*sector:][:end+8])
		if bits.OnesCount64(binary.LittleEndian.Uint64(c)) <= 1 {
			continue // never stored
		}
		whole := Corrected(c[:end], binary.LittleEndian.Uint64(c[end:])) // else it may be half stored
		first := binary.LittleEndian.Uint64(c)
		s := first & (1<<sequenceBits - 1)
		switch {
		case first != withChecksum(s):
			return nil, 0, false
		case s > sequence:
			sequence, at, ok = s, c, whole
		}
	}
	if !ok {
		return nil, 0, false
	}
	for i := 8; i < end; i += 8 {
		newest = append(newest, binary.LittleEndian.Uint64(at[i:]))
	}
	return newest, sequence, true
}

// Drop takes back what was stored with a sequence: the other copy counts.
func Drop(b []byte, sequence uint64) { clear(b[sequence%2*sector:][:sector]) }

func withChecksum(sequence uint64) uint64 {
	sum := crc32.Checksum(binary.LittleEndian.AppendUint64(nil, sequence), castagnoli)
	return sequence | uint64(uint16(sum))<<sequenceBits
}
