package overflow

import (
	"encoding/binary"
	"math"

	"go.uber.org/zap"
)

// A run that is delivered while an older one of its storage is not stays in the chain, so
// State alone would bring it back after a crash. It is marked: the number of its records is
// in what is padding to the original, behind the id of the first of them.
//
//	records, 24 bits │ check, 7 bits │ 1
//
// It goes when its record is freed, so those behind it are to be freed together with it. A mark
// is worth nothing before its last byte is there. It is not there any more after a clean
// stop, which leaves no such run in a chain.
const (
	markOffset = 4
	markSize   = 4
	mostMarked = 1<<24 - 1
)

func putMark(b []byte, records int) {
	w := uint32(records)
	binary.LittleEndian.PutUint32(b, w|markCheck(w)<<24)
}

// parseMark returns the number of records in a mark, 0 if there is none.
func parseMark(b []byte) (records int) {
	w := binary.LittleEndian.Uint32(b)
	if w>>24 != markCheck(w) {
		return 0
	}
	return int(w & mostMarked)
}

func markCheck(w uint32) uint32 { return 0x80 | (w^w>>8^w>>16)&0x7f }

// Place is where records lie that were handed out and are not freed.
type Place struct {
	block *block
	index int // in the block
}

// After is the place so many records behind, of the same run.
func (p Place) After(records int) Place { return Place{p.block, p.index + records} }

// Handed returns the place of the run that was handed out last, of so many records.
func (q *Queue) Handed(records int) Place {
	c := q.blocks[len(q.blocks)-1]
	return Place{c, c.records - q.ahead - records}
}

// Mark notes that a handed-out run is delivered, although an older one is not. If it is still
// there after a crash, TakeMarked hands it out. Nobody may read the run any more, so that its
// memory can be used for others. As soon as no older one is there, it is to be freed, before
// State is published again.
func (q *Queue) Mark(p Place, records int) error {
	f := q.file
	f.mu.Lock()
	err := f.storeMark(p.block.starts[p.index], records)
	f.mu.Unlock()
	q.marked(p.block, records)
	return err
}

// storeMark stores a mark in the header at a logical position (with mu held).
func (f *File) storeMark(at int64, records int) error {
	offset := at - f.base + markOffset
	if err := f.note(offset, markSize); err != nil {
		return err
	}
	if f.window.bytes != nil && offset >= f.window.low {
		putMark(f.window.bytes[offset:], records)
		return nil
	}
	var b [markSize]byte
	putMark(b[:], records)
	_, err := f.data.WriteAt(b[:], offset)
	return err
}

// markAgain marks the rest of a marked run, which begins with the next record: those in front
// of it are in another block, and may be freed before.
func (q *Queue) markAgain() {
	f := q.file
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.storeMark(q.next, q.delivered); err != nil {
		f.log.Error("records that were delivered may be delivered again after a crash; look for disk errors", zap.Uint32("id", q.state.ID),
			zap.String("name", q.name), zap.Error(err))
	}
}

// marked counts records of a block that are marked, and gives its memory back if all are.
func (q *Queue) marked(c *block, records int) {
	if c.marked += records; c.marked == c.records {
		q.file.blocks.release(c)
	}
}

// TakeMarked hands out the next records, as many as lie together in memory, if they are
// marked as delivered: size bytes of them. There are none unless Take returns nothing.
func (q *Queue) TakeMarked() (size, records int) {
	if q.ahead == 0 {
		return 0, 0
	}
	c := q.blocks[len(q.blocks)-1]
	from := c.records - q.ahead
	if len(c.found) == 0 || c.found[0].from != from {
		return 0, 0
	}
	records = c.found[0].to - from
	c.found = c.found[1:]
	run, _ := q.hand(c, math.MaxInt, records)
	q.marked(c, records)
	return len(run), records
}
