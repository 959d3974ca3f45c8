package storage

// A part that was written by an earlier process, or so long ago that it was detached, is read from
// its file ahead of those who take records from it: by others, so that nobody who serves clients
// waits for the disk.

// fetch makes sure that the next record of a part can be taken: the part is mapped, and what lies
// there has been read.
func (s *Storage) fetch(p *part) error {
	err := s.attachFront(p)
	for err == nil && !p.Fetched() {
		err = s.fetchPiece(p)
	}
	s.stalled = isWait(err)
	return err
}

// attachFront maps a part to be read, and asks for the one behind it.
func (s *Storage) attachFront(p *part) error {
	if err := s.attach(&s.taking, p); err != nil {
		return err
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

func (s *Storage) fetchPiece(p *part) error {
	work := p.Fetch()
	if !s.channel.waits {
		work.Done() // whoever takes the records reads them
		return nil
	}
	return s.await(&s.taking, work.Do, func() {
		if p.isOf(s) {
			work.Done()
		}
	})
}

// fetchAhead has a part read so far that whoever takes what comes need not wait.
func (s *Storage) fetchAhead(p *part) {
	if s.channel.waits && s.taking == nil && p.Fetch() != nil {
		_ = s.fetchPiece(p) // it is waited for by whoever needs it
	}
}
