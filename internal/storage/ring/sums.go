package ring

import (
	"fmt"
	"hash/crc32"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/copies"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// What lies on a disk for long may rot. So a file has a table with an entry for each block of its
// data: a checksum, and where records begin in it, so that a rotten block costs no more than the
// records that lie in it. The entries of the first blocks are in the head page, the others behind
// the data, where a file of that size has a hole as long as they are not needed.
//
//	63           32 31   27 26      15 14         0
//	CRC32C of data │ check │ records  │ first one   │   a block that is covered
//	             0 │ check │       0  │ first one   │   one that is not; a record begins there
//	             0 │     0 │       0  │         0   │   nothing is known of it
//
// The check belongs to the lower half, so that one flipped bit never makes an entry of another.
//
// A block is covered after its last byte was stored, and uncovered before one of them changes; an
// entry is one store. So a process that is killed leaves no block with a wrong checksum.
//
// Blocks are the chunks of ready.go: what is known to be ready to be written to is not covered.
const (
	blockSize = chunkSize

	sumsAt    = durableAt + copies.Size // in the head page
	sumsInAll = (headSize - sumsAt) / 8

	noFirst   = 1<<15 - 1
	mostCount = 1<<12 - 1
	partBits  = 27
	pageSize  = 4096
)

// entry is what the table tells of a block.
type entry uint64

func newEntry(sum uint32, first, count int) entry {
	w := uint64(first) | uint64(count)<<15
	return entry(uint64(sum)<<32 | (w%31+1)<<partBits | w)
}

// startsAt is the entry of a block that is not covered, in which a record begins there.
func startsAt(first int) entry { return newEntry(0, first, 0) }

// known reports whether the entry tells anything. A flipped bit changes a number by a power of
// two, and so its remainder by 31.
func (e entry) known() bool {
	w := uint64(e) & (1<<partBits - 1)
	return uint64(e)>>partBits&31 == w%31+1
}

func (e entry) covers() bool { return e.known() && (e.count() > 0 || e.first() == noFirst) }
func (e entry) sum() uint32  { return uint32(e >> 32) }
func (e entry) first() int   { return int(e & noFirst) }
func (e entry) count() int   { return int(e >> 15 & mostCount) }

// start is the offset in the data of the first record that begins in a block, or -1.
func (e entry) start(block int) int {
	if !e.known() || e.first() >= blockSize {
		return -1
	}
	return block*blockSize + e.first()
}

// entryAt is the offset of an entry in the file.
func (h *Head) entryAt(block int) int {
	if block < sumsInAll {
		return sumsAt + 8*block
	}
	return (headSize+int(h.Capacity)+pageSize-1)/pageSize*pageSize + 8*(block-sumsInAll)
}

// fileSize is how long the file may become.
func (h *Head) fileSize() int {
	if n := (int(h.Capacity) + blockSize - 1) / blockSize; h.Sums && n > sumsInAll {
		return h.entryAt(n)
	}
	return headSize + int(h.Capacity)
}

// forgetSums clears the table, all of which is in the file then.
func (r *Ring) forgetSums(f disk.File) error {
	h := &r.file.head
	h.Unsure = false
	if !h.Sums {
		return nil
	}
	if err := f.Fill(sumsAt, headSize-sumsAt); err != nil || r.chunks() <= sumsInAll {
		return err
	}
	at := h.entryAt(sumsInAll)
	return f.Fill(int64(at), int64(h.fileSize()-at))
}

func (r *Ring) hasSums() bool { return r.file != nil && r.file.head.Sums }

func (r *Ring) entry(block int) entry {
	return entry(atomic.LoadUint64((*uint64)(unsafe.Pointer(&r.mapped[r.file.head.entryAt(block)]))))
}

func (r *Ring) setEntry(block int, e entry) {
	b := r.file.mapping.Bytes()[r.file.head.entryAt(block):]
	atomic.StoreUint64((*uint64)(unsafe.Pointer(&b[0])), uint64(e))
	if r.examined == block+1 {
		r.examined = 0
	}
}

// uncover is called before bytes of a block change. Records that begin in the first ones stay where
// they are, so that it is still known where the first of them begins.
func (r *Ring) uncover(block, unchanged int) {
	switch e := r.entry(block); {
	case e == 0, e.known() && !e.covers() && e.first() <= unchanged:
	case e.covers() && e.first() <= unchanged:
		r.setEntry(block, startsAt(e.first()))
	case e.covers() && e.first() == noFirst && unchanged >= 0: // the next one begins here
		r.setEntry(block, startsAt(unchanged))
	default:
		r.setEntry(block, 0)
	}
}

// Seal covers the blocks that the writer has passed.
func (r *Ring) Seal() {
	for r.SealSome() {
	}
}

// SealAll covers all blocks, for one who does not write for a while.
func (r *Ring) SealAll() {
	r.sealed = sealing{lost: true}
	for r.sealNext(true) {
	}
	r.sealed = sealing{lost: true}
	r.ready.from, r.ready.to = 0, 0
}

// mostSealed is how many blocks are covered while others wait for the owner.
const mostSealed = 16

// SealSome does a part of what Seal does, and reports whether there may be more to do.
func (r *Ring) SealSome() (more bool) {
	for range mostSealed {
		if !r.sealNext(false) {
			return false
		}
	}
	return true
}

// sealing is how far the blocks of a ring are covered: up to a block. The first record that begins
// there, or behind, is at start, and from there to the writer all records take so many bytes.
type sealing struct {
	block, start int
	behind       int
	lost         bool // that is to be found out again
}

// sealNext covers a block, or finds that it is covered already, and reports whether that could be
// done.
func (r *Ring) sealNext(partial bool) (done bool) {
	s := &r.sealed
	if !r.hasSums() || r.data == nil || r.held == 0 {
		return false
	}
	if s.lost || s.behind > r.UsedSpace() { // what was there is freed
		if r.waiting == 0 {
			return false
		}
		s.block, s.start, s.lost = r.next/blockSize, r.next, false
		s.behind = r.behindOf(r.next, true)
	}
	rear := r.wrapped() && (s.start > r.read || s.start == r.read && s.behind > 0)
	end := r.write
	if rear {
		end = r.gap
	}
	from, to := s.block*blockSize, min((s.block+1)*blockSize, r.capacity)
	switch {
	case rear && s.start == end && from >= end:
		s.block, s.start = 0, 0
		return true
	case from >= end, to > end && !rear && !partial:
		return false
	}
	defer r.caught(mayFault(), new(error))
	if r.entry(s.block).covers() {
		return r.sealedBefore(end)
	}
	first, count, at := noFirst, 0, s.start
	for at < min(to, end) {
		size, n := recordAt(r.data, at, end)
		if n == 0 {
			*s = sealing{block: r.chunks(), start: end} // damaged: whoever reads it will find out
			return false
		}
		if first == noFirst {
			first = at - from
		}
		at, count = at+size, count+n
	}
	if rear && from < r.write { // what the ring begins with ends there: that block is the last one
		count = mostCount + 1
	}
	if count <= mostCount {
		r.setEntry(s.block, newEntry(crc32.Checksum(r.data[from:to], castagnoli), first, count))
	}
	if next := at / blockSize; next > s.block && next < r.chunks() && r.ready.has(next) && r.entry(next) == 0 {
		r.setEntry(next, startsAt(at%blockSize))
	}
	if r.ready.from < to { // the writer uncovers it before it goes on there
		r.ready.from = min(to, r.ready.to)
	}
	s.behind -= at - s.start
	s.block, s.start = s.block+1, at
	return true
}

// sealedBefore goes on behind a block that is covered already, as far as one of those behind it
// tells where.
func (r *Ring) sealedBefore(end int) bool {
	s := &r.sealed
	at := r.startBehind(s.block, end)
	switch {
	case at < 0 && (s.block+1)*blockSize < end: // nobody knows, or there is a record to the end
		*s = sealing{block: r.chunks(), start: end}
		return false
	case at < 0:
		at = end
	}
	s.behind -= at - s.start
	s.block, s.start = s.block+1, max(at, s.start)
	return true
}

// behindOf is how many bytes of records there are from one on.
func (r *Ring) behindOf(at int, waiting bool) int {
	if r.wrapped() && (at > r.read || at == r.read && waiting) {
		return r.gap - at + r.write
	}
	return r.write - at
}

// recordAt returns the size of the record at an offset, and that it is one: none, if it is damaged.
func recordAt(data []byte, at, end int) (size, records int) {
	if end-at < HeaderSize {
		return 0, 0
	}
	s, _ := parseLength(word(data, at))
	if s < HeaderSize || s > uint64(end-at) {
		return 0, 0
	}
	return int(s), 1
}

// startBehind returns the first place behind a block, and in front of an end, where a record is
// known to begin, or -1.
func (r *Ring) startBehind(block, end int) int {
	for block++; block*blockSize < end; block++ {
		if at := r.entry(block).start(block); at >= 0 && at < end {
			return at
		}
	}
	return -1
}

// intact returns up to where the data can be read and is what it was, between two offsets, and
// what is wrong there if that is not all.
func (r *Ring) intact(from, to int) (end int, reason string) {
	if r.file == nil {
		return to, ""
	}
	for block := from / blockSize; block*blockSize < to; block++ {
		if block+1 == r.examined {
			continue
		}
		if reason := r.damageOf(block); reason != "" {
			return max(from, block*blockSize), reason
		}
		r.examined = block + 1
	}
	return to, ""
}

// damageOf tells why a block that holds records can't be handed out, if it can't.
func (r *Ring) damageOf(block int) (reason string) {
	reason = disk.Unreadable
	defer r.caught(mayFault(), new(error))
	data := r.data[block*blockSize : min((block+1)*blockSize, r.capacity)]
	if r.hasSums() {
		if e := r.entry(block); e.covers() {
			return e.compare(data)
		}
	}
	end := max(r.gap, r.write)
	touch(data[:min(len(data), end-block*blockSize)])
	if to := (block + 1) * blockSize; to < end && !r.Readable(r.data[to:to+1]) && r.isCut(to) {
		return disk.Unreadable // zeros have taken the place of its last bytes
	}
	return ""
}

// isCut reports whether the file ends before an offset in the data.
func (r *Ring) isCut(at int) bool {
	f, err := r.file.dir.Open(r.file.name)
	if err != nil {
		return true
	}
	defer f.Close()
	size, err := f.Size()
	return err != nil || size < int64(headSize+at)
}

// compare tells what is wrong with the bytes of a block.
func (e entry) compare(data []byte) (reason string) {
	if sum := crc32.Checksum(data, castagnoli); sum != e.sum() {
		return fmt.Sprintf("the checksum of %d bytes is %08x and should be %08x", len(data), sum, e.sum())
	}
	return ""
}

// touch reads something of each page, so that one that can't be read is noticed now.
func touch(b []byte) {
	var some byte
	for at := 0; at < len(b); at += pageSize {
		some |= b[at]
	}
	runtime.KeepAlive(some)
}

// Skip hands out the next waiting records, of which the first is damaged, up to where one is known
// to begin behind the damage. It returns how many they are, or none if that can't be told.
func (r *Ring) Skip() (run []byte, lost int) {
	if r.waiting == 0 || !r.hasSums() || r.data == nil {
		return nil, 0
	}
	rest := r.nextWaiting()
	to, counted := r.behindDamage(r.next, r.next+len(rest))
	lost = r.waiting - counted
	if to < 0 || lost < 1 || lost*HeaderSize > to-r.next {
		return nil, 0
	}
	run = rest[:to-r.next]
	r.taken(len(run), lost)
	return run, lost
}

// behindDamage returns where a record begins behind the damaged one at an offset, and how many
// there are from there on; or -1 if that can't be told.
func (r *Ring) behindDamage(at, end int) (to, records int) {
	to = -1
	defer r.caught(mayFault(), new(error))
	bad, reason := r.intact(at, min(at+HeaderSize, end))
	if reason == "" {
		if size, n := recordAt(r.data, at, end); n > 0 {
			bad, _ = r.intact(at, at+size)
		} else {
			bad = at
		}
	}
	next := r.startBehind(bad/blockSize, end)
	for next >= 0 && r.damageOf(next/blockSize) != "" {
		next = r.startBehind(next/blockSize, end)
	}
	if next < 0 && end == r.write {
		return -1, 0
	}
	if next < 0 {
		next = end
	}
	records = r.count(next, end)
	if end != r.write { // and those that the ring begins with
		records += r.count(0, r.write)
	}
	return next, records
}

// count counts the records from one on, as far as it can be told.
func (r *Ring) count(at, end int) (records int) {
	for at < end {
		block := at / blockSize
		if e := r.entry(block); e.covers() && e.start(block) == at {
			if next := r.startBehind(block, end); next >= 0 {
				at, records = next, records+e.count()
				continue
			}
		}
		size, n := recordAt(r.data, at, end)
		if n == 0 {
			return records
		}
		at, records = at+size, records+n
	}
	return records
}
