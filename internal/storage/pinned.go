package storage

// A reader that does not settle its run for long, as that of a suspended client, pins what
// is delivered behind it: ring and overflow free their records in order only. A ring can't
// grow by that, but the overflow can, on the disk and in memory. So when much has been
// delivered there behind a run that was not, its records are copied to the ring: that is in
// front of the overflow, where they have to be for a start to find them in order. The
// reader goes on with the bytes that it has.
//
// If the ring has no room for them, they stay, and it is tried again when twice as much is
// delivered behind them.

// mostPinned is how many bytes may be delivered in the overflow of a storage behind a run
// that is not, before that is moved.
const mostPinned = 8 << 20

// unpin moves runs out of the overflow if too much is delivered behind them. What has been
// freed must have been saved: the ring uses it again.
func (s *Storage) unpin() {
	if s.pinned == 0 {
		s.unmovable = 0
		return
	}
	if s.kept == nil {
		return
	}
	limit := max(s.kept.store.mostPinned, 2*s.unmovable)
	moved := false
	for s.pinned >= limit {
		if !s.moveToRing(s.firstInOverflow()) {
			s.unmovable = s.pinned
			break
		}
		s.drop(s.firstInOverflow())
		moved = true
	}
	if moved {
		s.save()
	}
}

// moveToRing puts a copy of a run, the oldest in the overflow, behind the records of the
// ring, and reports whether there was room. All of those have been handed out, or the run
// would not have been.
func (s *Storage) moveToRing(r *Run) bool {
	if !s.ring.Fits(r.size) || !s.ring.InFile() && s.kept.store.options.RingInFile {
		return false
	}
	s.keepAge()
	s.ring.PushTogether(r.bytes, r.records)
	r.inRing, _ = s.ring.Take(everything, everything)
	s.kept.queue.Retain()
	s.overflow.Free(r.size, r.records)
	r.inOverflow = false
	return true
}
