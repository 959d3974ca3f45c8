package overflow

import (
	"errors"
	"fmt"
	"slices"
)

// restore takes a State over, after a look at the records at both ends of the chain (with
// file.mu held). The newest one must be there: it proves that State and file belong together.
func (q *Queue) restore(s State) error {
	f := q.file
	if !f.hasMagic {
		return fmt.Errorf("%s doesn't begin with %s", f.dir.Path(f.names.data), magic)
	}
	first, last := s.First-f.base, s.Last-f.base
	if first < magicSize || last < first || last > f.size-headerSize {
		return fmt.Errorf("records from offset %d to %d can't be in %s of %d bytes",
			first, last, f.dir.Path(f.names.data), f.size)
	}
	newest, intact, err := q.readNewest(s.Last)
	if err != nil {
		return err
	}
	q.state = s
	q.state.Records = min(s.Records, uint64(last-first)/headerSize+1)
	q.newest, q.newestLength = s.Last, newest.length
	q.newestEnd = s.Last + newest.size()
	q.next, q.unread = s.First, int(q.state.Records)
	damage := q.checkFirst()
	if damage != nil && !errors.Is(damage, errChain) {
		return damage
	}
	if !intact {
		if err := q.retract(newest); err != nil {
			return err
		}
	}
	q.keep.Store(s.First)
	if damage != nil {
		return q.skipFirst(damage)
	}
	return nil
}

// skipFirst goes on behind a damaged oldest record. Everything is counted anew, because a
// clean stop may come before the records are read, and its index has to be right.
func (q *Queue) skipFirst(damage error) error {
	if err := q.resume(damage); err != nil {
		return err
	}
	q.next = min(q.next, q.newest) // which is there, whatever leads to a place inside it
	f := q.file
	s := newSurvey(f.data, q.newestEnd-f.base, []IndexEntry{{First: q.next - f.base, Last: q.newest - f.base}})
	s.ends = map[uint32]int64{q.state.ID: q.newest - f.base}
	s.scanner.at = q.next - f.base
	for s.next() {
	}
	q.state.First = q.next
	q.state.Records, q.state.Bytes = 1, q.newestLength
	if c := s.chains[q.state.ID]; c != nil {
		q.state.Records, q.state.Bytes = c.Records, c.Bytes
	}
	q.unread = int(q.state.Records)
	return s.scanner.err
}

// readNewest reads the header of the newest record, which is at a logical position.
func (q *Queue) readNewest(at int64) (h header, intact bool, err error) {
	f := q.file
	var b [headerSize]byte
	offset := at - f.base
	if err := readFull(f.data, b[:], offset); err != nil {
		return h, false, err
	}
	h, ok, intact := parseNewest(b[:])
	if !ok || h.channel != q.state.ID || h.length > uint64(f.size-offset-headerSize) {
		return h, false, fmt.Errorf("%w: no record of id %d at offset %d of %s", errChain,
			q.state.ID, offset, f.dir.Path(f.names.data))
	}
	return h, intact, nil
}

func (q *Queue) checkFirst() error {
	f := q.file
	var b [headerSize]byte
	if err := readFull(f.data, b[:], q.next-f.base); err != nil {
		return err
	}
	_, err := q.check(b[:])
	return err
}

// retract takes the records behind the newest one out of the chain. They were pushed
// before a crash, but not published. Those that are not going to be overwritten become
// dummy records, because a chain that nothing leads to would look like a newer one than
// this to a reader who knows only the file ([Recover]). The last goes first, so that being
// killed meanwhile leaves the others to be found again.
func (q *Queue) retract(newest header) error {
	f := q.file
	var strays []stray
	h, offset := newest, q.newest-f.base
	for h.next >= h.size() && h.next <= f.size-headerSize-offset {
		offset += h.next
		var b [headerSize]byte
		if err := readFull(f.data, b[:], offset); err != nil {
			return err
		}
		var ok bool
		h, ok = parseHeader(b[:])
		if !ok || h.channel != q.state.ID || h.length > uint64(f.size-offset-headerSize) {
			break
		}
		strays = append(strays, stray{offset, h.length})
	}
	for _, s := range slices.Backward(strays) {
		var b [headerSize]byte
		header{length: s.length}.put(b[:])
		if err := f.note(s.offset, headerSize); err != nil {
			return err
		}
		if _, err := f.data.WriteAt(b[:], s.offset); err != nil {
			return err
		}
	}
	return f.storeLink(q.newest, header{channel: q.state.ID, length: newest.length})
}

// stray is a record that is not to be found again.
type stray struct {
	offset int64
	length uint64
}

// unlink makes sure that the newest record has no link.
func (q *Queue) unlink() error {
	_, intact, err := q.readNewest(q.newest)
	if err != nil || intact {
		return err
	}
	return q.file.storeLink(q.newest, header{channel: q.state.ID, length: q.newestLength})
}
