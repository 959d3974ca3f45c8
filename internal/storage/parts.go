package storage

import (
	"errors"
	"fmt"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// A queue is a list of rings. The first ones may be left from a start: with another size than
// is configured now. Then comes the ring of the queue, and then, while it is full, rings of kind
// Spill, of which each is filled once. Records are pushed to the last one and taken from the
// first that has any, so their order is strict; one of kind Spill is deleted when it is drained,
// and then the ring of the queue is the last again.
//
// Their files are a chain: the catalogue tells the first, and each the next one. A file is in
// the chain before it has records, and is taken out when it has none.

// part is one ring of a queue.
type part struct {
	*ring.Ring
	number    uint64 // of the queue in the catalogue that its file belongs to
	pushed    int64  // records, those found at the start included
	marks     marks  // when the records were first seen: see Channels.Mark
	damaged   bool   // nothing is pushed to it any more; its file is kept
	loss      loss   // what the log has not told yet
	announced bool   // the system was asked to have it in memory
}

const (
	// firstSpill and mostSpill are the sizes of spill files: each is twice as large as the one
	// before.
	firstSpill = 1 << 20
	mostSpill  = 64 << 20
)

// tail returns the part that the next record goes to, if it fits.
func (s *Storage) tail(need int) (*part, error) {
	if n := len(s.parts); n > 0 {
		if p := s.parts[n-1]; !p.damaged && p.Attached() {
			return p, nil
		}
	}
	return s.attachTail(need)
}

func (s *Storage) attachTail(need int) (*part, error) {
	if n := len(s.parts); n > 0 {
		if p := s.parts[n-1]; !p.damaged {
			return p, p.Attach()
		}
	}
	return s.extend(need)
}

// extend appends a part for a record of that size, which does not fit the last one: the ring of
// the queue, if there is none and it can hold the record, or one of kind Spill.
func (s *Storage) extend(need int) (*part, error) {
	st := s.channel.store
	capacity := st.options.RingSize(s.channel.name)
	var p *part
	var err error
	switch {
	case uint64(need) <= capacity && !s.hasMain(capacity):
		p, err = s.newMain(capacity)
	case s.reserved != nil && s.reserved.Fits(need):
		p, s.reserved = s.reserved, nil
	default:
		p, err = s.newSpill(need)
	}
	if err != nil {
		return nil, err
	}
	if s.dirty {
		s.commit()
	}
	if err := s.link(p); err != nil {
		st.remove(p.Ring)
		return nil, err
	}
	if work := p.FillAhead(); work != nil {
		st.fill(work)
	}
	return p, nil
}

// hasMain reports whether the queue has a ring of that size, or any of kind Spill, behind which
// no ring can come.
func (s *Storage) hasMain(capacity uint64) bool {
	n := len(s.parts)
	return n > 0 && !s.parts[n-1].damaged &&
		(s.parts[n-1].Kind() == ring.Spill || uint64(s.parts[n-1].Capacity()) == capacity)
}

// newMain makes the ring of the queue.
func (s *Storage) newMain(capacity uint64) (*part, error) {
	st := s.channel.store
	if !st.options.RingInFile || capacity == 0 {
		r, err := ring.New(capacity)
		return &part{Ring: r}, err
	}
	p, err := s.newPart(&st.ringFiles, capacity)
	if err == nil && st.options.ReserveAll {
		if work := p.FillAll(); work != nil {
			err = work.Do()
		}
		if err != nil {
			st.remove(p.Ring)
		}
	}
	return p, err
}

func (s *Storage) newSpill(need int) (*part, error) {
	size := mostSpill
	if s.spills < 6 {
		size = firstSpill << s.spills
	}
	p, err := s.newPart(&s.channel.store.spillFiles, uint64(max(size, need)))
	if err != nil {
		return nil, err
	}
	s.spills++
	p.Expect(size) // whoever fills a ring goes on
	return p, nil
}

func (s *Storage) newPart(files *pool, capacity uint64) (*part, error) {
	r, number := (*ring.Ring)(nil), s.numbers[len(s.numbers)-1]
	spare, err := files.take()
	if err == nil {
		r, err = spare.Use(number, s.name, capacity)
		if err != nil {
			err = errors.Join(err, spare.Discard())
		}
	}
	return &part{Ring: r, number: number}, err
}

// link makes a part the last one.
func (s *Storage) link(p *part) error {
	if p.InFile() {
		if err := s.setNext(s.before(len(s.parts), p.number), p.number, p.Head().Link); err != nil {
			return err
		}
	}
	if n := len(s.parts); n > 0 && s.parts[n-1].Kind() == ring.Spill && s.channel.store.options.Checksums {
		s.parts[n-1].SealAll()
	}
	s.detachTail()
	s.parts = append(s.parts, p)
	return nil
}

// before returns the part in front of that index whose file is of the same queue in the
// catalogue, or nil.
func (s *Storage) before(index int, number uint64) *part {
	for index--; index >= 0; index-- {
		if p := s.parts[index]; p.InFile() && p.number == number {
			return p
		}
	}
	return nil
}

// setNext stores which file follows that of a part, or is the first if there is no part.
func (s *Storage) setNext(before *part, number uint64, next ring.Link) error {
	if before != nil {
		err := before.SetNext(next)
		if isDamage(err) { // a start finds a file of the queue also if none tells of it
			s.failed(before, err)
			return nil
		}
		return err
	}
	st := s.channel.store
	if err := st.catalogue.SetFirst(number, next); err != nil {
		return err
	}
	st.careForCatalogue()
	return nil
}

// detachTail gives up the mapping of the last part, unless it is also what is read, because a
// part is behind it now.
func (s *Storage) detachTail() {
	n := len(s.parts)
	if n < 2 || s.parts[n-1].Kind() != ring.Spill || s.parts[n-1].Waiting() < s.parts[n-1].Held() || s.front() == s.parts[n-1] {
		return
	}
	if unmap := s.parts[n-1].Detach(); unmap != nil {
		s.channel.store.later(unmap)
	}
}

// front returns the first part with records that are not handed out, or nil.
func (s *Storage) front() *part {
	for _, p := range s.parts {
		if p.Waiting() > 0 {
			return p
		}
	}
	return nil
}

// attachFront makes a part ready to be read, and asks for the one behind it.
func (s *Storage) attachFront(p *part) error {
	if err := p.Attach(); err != nil {
		return fmt.Errorf("storage %s: %w", s.name, err)
	}
	for i, other := range s.parts {
		if other == p && i+1 < len(s.parts) && !s.parts[i+1].announced {
			s.parts[i+1].announced = true
			r := s.parts[i+1].Ring
			s.channel.store.later(func() error { r.Ahead(); return nil })
		}
	}
	return nil
}

// drained takes a part out of the list that has no records any more, if it is not the ring of
// the queue: that stays for a while.
func (s *Storage) drained(p *part) {
	if !s.isMain(p) {
		s.drop(p)
	}
}

// isMain reports whether a part is a ring of the queue as it is configured now.
func (s *Storage) isMain(p *part) bool {
	o := &s.channel.store.options
	return p.Kind() == ring.Main && !p.damaged && uint64(p.Capacity()) == o.RingSize(s.channel.name) &&
		(p.InFile() == o.RingInFile || p.Capacity() == 0)
}

// drop takes a part without records out of the list. If that can't be stored, it stays.
func (s *Storage) drop(p *part) {
	index := 0
	for s.parts[index] != p {
		index++
	}
	st := s.channel.store
	if p.InFile() {
		if err := s.setNext(s.before(index, p.number), p.number, p.Head().Next); err != nil {
			return
		}
	}
	s.parts = append(s.parts[:index], s.parts[index+1:]...)
	if n := len(s.parts); n == 0 || s.parts[n-1].Kind() == ring.Main {
		s.spills = 0
	}
	if p.damaged && p.InFile() {
		s.tellLoss(p)
		st.setAside(p.Ring)
	} else {
		st.remove(p.Ring)
	}
	s.forgetNumbers()
}

// forgetNumbers removes queues from the catalogue that have no files any more, and behind which
// there is another one with the same name.
func (s *Storage) forgetNumbers() {
	for len(s.numbers) > 1 {
		number := s.numbers[0]
		for _, p := range s.parts {
			if p.InFile() && p.number == number {
				return
			}
		}
		if s.channel.store.catalogue.Remove(s.numbers[:1]) != nil {
			return
		}
		s.numbers = s.numbers[1:]
	}
}

// reserve makes sure that records which take size bytes can be pushed, so that they reach
// several queues or none.
func (s *Storage) reserve(size int) error {
	p, err := s.tail(min(size, ring.HeaderSize))
	if err != nil {
		return err
	}
	if err := p.Reserve(size); err != nil {
		return err
	}
	if p.Fits(size) {
		return nil
	}
	if s.reserved == nil || !s.reserved.Fits(size) {
		s.dropReserved()
		if s.reserved, err = s.newSpill(size); err != nil {
			return fmt.Errorf("storage %s: %w", s.name, err)
		}
	}
	return s.reserved.Reserve(size) // also if it could not before
}

func (s *Storage) dropReserved() {
	if s.reserved != nil {
		s.channel.store.remove(s.reserved.Ring)
		s.reserved = nil
	}
}
