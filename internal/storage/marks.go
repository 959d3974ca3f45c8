package storage

import (
	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// A run that is delivered behind one that is not stays where it is for a while: see Run. It
// must not be delivered again after a crash, so it is marked there. A start finds the marks
// when it hands the records out again; it does so at once as far as there can be any, so that
// it knows what the storage really has.

// mark notes in ring or overflow that a run is delivered.
func (s *Storage) mark(r *Run) {
	switch {
	case s.kept == nil:
	case !r.inOverflow:
		if s.ring.InFile() {
			ring.Mark(r.inRing, r.records)
		}
	default:
		if err := s.kept.queue.Mark(r.place, r.records); err != nil {
			s.kept.store.log.Error("records that were delivered out of turn will be delivered again after a crash",
				zap.String("storage", s.name), zap.Int("records", r.records), zap.Error(err))
		}
	}
}

// takeMarked hands out the next records if they are marked. The caller delivers them. It
// returns nil if they are not marked.
func (s *Storage) takeMarked() *Run {
	if bytes, n := s.ring.TakeMarked(); n > 0 {
		return s.handOut(Run{size: len(bytes), records: n, marked: true})
	}
	if s.kept != nil && s.ring.Waiting() == 0 {
		if size, n := s.kept.queue.TakeMarked(); n > 0 {
			return s.handOut(Run{size: size, records: n, inOverflow: true, marked: true})
		}
	}
	return nil
}

// resume finds the marks in a storage whose places have just been opened, and saves it.
func (s *Storage) resume() error {
	k := s.kept
	k.taken = k.slot.Positions().Taken
	var needed []*Run
	var err error
	for waiting := s.overflow.Waiting(); s.ring.Marked() > 0 || uint64(waiting-s.overflow.Waiting()) < k.taken; {
		var r *Run
		if r, err = s.takeAny(moveSize, everything); r == nil {
			break
		}
		needed = append(needed, r)
	}
	for _, r := range needed {
		s.giveBack(r, 0)
	}
	if err != nil {
		return err // what has been saved goes on to tell how far there are marks
	}
	k.taken = 0
	s.save()
	return nil
}
