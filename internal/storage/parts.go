package storage

import (
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
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
			return p, s.attach(&s.pushing, p)
		}
	}
	return s.extend(need)
}

// attach maps the file of a part, if it is not, for somebody who waits for that in a slot.
func (s *Storage) attach(slot **Wait, p *part) error {
	if p.Attached() || !p.InFile() {
		return nil
	}
	var m disk.Mapping
	mapped := &s.channel.store.mapped
	return s.await(slot, func() (err error) {
		if err = mapped.room(); err == nil {
			m, err = p.Map()
		}
		return err
	}, func() {
		if p.Attached() || !p.isOf(s) { // meanwhile
			s.channel.store.later(m.Close)
			return
		}
		p.Use(m)
		mapped.note(s, p)
		s.giveName(p)
	})
}

// giveName stores the name of the queue in the file of a part that is mapped, if it was made before
// the queue was renamed.
func (s *Storage) giveName(p *part) {
	if p.Head().Name != s.name {
		p.SetName(s.name)
	}
}

// extend appends a part for a record of that size, which does not fit the last one: the ring of
// the queue, if there is none and it can hold the record, or one of kind Spill.
func (s *Storage) extend(need int) (*part, error) {
	p, err := s.next(need)
	if err != nil {
		return nil, err
	}
	if s.dirty {
		s.commit()
	}
	if err := s.link(p); err != nil {
		return nil, err
	}
	s.takeReserved()
	if work := p.FillAhead(); work != nil {
		s.channel.store.fill(work)
	}
	return p, nil
}

// next returns the part that is to be appended for a record of that size, which can be.
func (s *Storage) next(need int) (*part, error) {
	capacity := s.channel.store.options.RingSize(s.channel.name)
	main := uint64(need) <= capacity && !s.hasMain(capacity)
	if p := s.reserved; p == nil || (p.Kind() == ring.Main) != main || !p.Fits(need) {
		s.dropReserved()
		make := s.newSpill
		if main {
			make = s.newMain
		} else if n := len(s.parts); n > 0 && s.parts[n-1].InFile() && s.parts[n-1].Kept() {
			s.channel.store.syncSoon() // then it may have room again
		}
		if err := make(need); err != nil {
			return nil, err
		}
	}
	return s.reserved, s.readyToLink(s.reserved)
}

// readyToLink makes sure that a part can be appended.
func (s *Storage) readyToLink(p *part) error {
	if !p.InFile() {
		return nil
	}
	if before := s.before(len(s.parts), p.number); before != nil {
		return s.attach(&s.pushing, before)
	}
	return s.channel.store.roomInCatalogue(s.channel.waits, 1)
}

// hasMain reports whether the queue has a ring of that size, or any of kind Spill, behind which
// no ring can come.
func (s *Storage) hasMain(capacity uint64) bool {
	n := len(s.parts)
	return n > 0 && !s.parts[n-1].damaged &&
		(s.parts[n-1].Kind() == ring.Spill || uint64(s.parts[n-1].Capacity()) == capacity)
}

// newMain makes the ring of the queue, reserved.
func (s *Storage) newMain(int) error {
	o := &s.channel.store.options
	capacity := o.RingSize(s.channel.name)
	if !o.RingInFile || capacity == 0 {
		r, err := ring.New(capacity)
		if err == nil {
			s.reserved = &part{Ring: r}
		}
		return err
	}
	return s.newPart(&s.channel.store.ringFiles, capacity, func(*part) {})
}

// newSpill makes a spill file for a record of that size, reserved.
func (s *Storage) newSpill(need int) error {
	size := mostSpill
	if s.spills < 6 {
		size = firstSpill << s.spills
	}
	return s.newPart(&s.channel.store.spillFiles, uint64(max(size, need)), func(p *part) {
		s.spills++
		p.Expect(size) // whoever fills a ring goes on
	})
}

// newPart makes a part in a file, reserved.
func (s *Storage) newPart(files *pool, capacity uint64, made func(*part)) error {
	if err := files.check(); err != nil {
		return err
	}
	var p *part
	number, name := s.numbers[len(s.numbers)-1], s.name
	mapped := &s.channel.store.mapped
	return s.await(&s.pushing, func() (err error) {
		if err = mapped.room(); err == nil {
			p, err = files.makePart(number, name, capacity)
		}
		return err
	}, func() {
		s.dropReserved()
		s.reserved = p
		if st := s.channel.store; !st.loose() {
			st.syncer.used(p.Ring)
		}
		mapped.note(s, p)
		made(p)
	})
}

// link makes a part the last one.
func (s *Storage) link(p *part) error {
	if p.InFile() {
		s.giveName(p)
		if err := s.setNext(s.before(len(s.parts), p.number), p.number, p.Head().Link); err != nil {
			return err
		}
	}
	if n := len(s.parts); n > 0 && s.parts[n-1].Kind() == ring.Spill && s.channel.store.options.Checksums {
		s.parts[n-1].SealAll()
	}
	s.detachTail()
	s.parts = append(s.parts, p)
	s.changed()
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
		before := s.before(index, p.number)
		if st.serving.Load() && (before == nil && !st.catalogue.HasRoom(1) || before != nil && !before.Attached()) {
			st.careForCatalogue()
			return // nobody waits for that here
		}
		if err := s.setNext(before, p.number, p.Head().Next); err != nil {
			return
		}
	}
	s.parts = append(s.parts[:index], s.parts[index+1:]...)
	if n := len(s.parts); n == 0 || s.parts[n-1].Kind() == ring.Main {
		s.spills = 0
	}
	s.changed() // before: what is done after the next sync has to wait for this
	if p.damaged && p.InFile() {
		s.tellLoss(p)
		st.setAside(p.Ring)
	} else {
		st.removeDurably(p.Ring)
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
		st := s.channel.store
		if st.serving.Load() && !st.catalogue.HasRoom(1) || st.catalogue.Remove(s.numbers[:1]) != nil {
			return
		}
		s.numbers = s.numbers[1:]
	}
}

// reserve makes sure that records which take size bytes can be pushed without a look at any file,
// so that they reach several queues or none. The first of them takes that much.
func (s *Storage) reserve(first, size int) error {
	if n := len(s.parts); n > 0 {
		if p := s.parts[n-1]; !p.damaged && p.Ready(size) {
			return nil
		}
	}
	return s.prepare(first, size)
}

func (s *Storage) prepare(first, size int) error {
	capacity := s.channel.store.options.RingSize(s.channel.name)
	p, err := s.tail(first)
	for err == nil {
		if err = s.fill(p, size); err != nil {
			return err
		}
		if p.Fits(size) {
			return nil
		}
		if s.hasMain(capacity) {
			break
		}
		p, err = s.extend(first)
	}
	if err != nil {
		return err
	}
	if p, err = s.next(size); err != nil {
		return err
	}
	return s.fill(p, size)
}

// fill makes sure that records which take size bytes find their disk space in a part.
func (s *Storage) fill(p *part, size int) error {
	work := p.Prepare(size)
	if work == nil {
		return nil
	}
	if p.InFile() {
		if err := s.channel.store.floorOf(p.Kind()).Check(); err != nil {
			return err
		}
	}
	return s.await(&s.pushing, work.Do, func() {})
}

// takeReserved returns the part that was made last.
func (s *Storage) takeReserved() *part {
	p := s.reserved
	s.reserved = nil
	return p
}

func (s *Storage) dropReserved() {
	if s.reserved != nil {
		s.channel.store.remove(s.reserved.Ring)
		s.reserved = nil
	}
}
