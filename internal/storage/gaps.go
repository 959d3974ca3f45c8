package storage

import (
	"math"

	"github.com/sociomantic-tsunami/dmqnode/internal/storage/state"
)

// Records that are delivered behind older ones that are not stay where they are for a
// while: see Run. They must not be delivered again after a crash, so the state file tells
// of them, as far as it has room: of the first few such gaps of a storage.

// gapSearch is how many runs are looked at for gaps, because that is done with every
// change. Between two gaps there are the runs of one reader most of the time.
const gapSearch = 4 * state.MaxGaps

// gaps returns what the state file is to tell. It is valid until the next call.
func (s *Storage) gaps() []state.Gap {
	s.gapsFound = s.gapsFound[:0]
	if s.behind == 0 {
		return nil
	}
	first := s.first
	if !s.ring.InFile() {
		first = s.firstInOverflow() // only what lies there survives
	}
	needed := 0
	for r, i := first, 0; r != nil && i < gapSearch && len(s.gapsFound) < state.MaxGaps; r, i = r.next, i+1 {
		if r.state != delivered {
			needed += r.records
			continue
		}
		if needed > math.MaxUint32 || r.records > math.MaxUint32 {
			break
		}
		s.gapsFound = append(s.gapsFound, state.Gap{Needed: uint32(needed), Delivered: uint32(r.records)})
		needed = 0
	}
	return s.gapsFound
}

// restoreGaps makes the storage, which has just been opened, one in which these records
// are delivered. The caller saves it then, and not before: what is known of the gaps until
// they are all restored is less than what is stored.
func (s *Storage) restoreGaps(gaps []state.Gap) error {
	var needed []*Run
	k := s.kept
	s.kept = nil
	defer func() {
		for _, r := range needed {
			s.giveBack(r, 0)
		}
		s.kept = k
	}()
	for _, g := range gaps {
		runs, err := s.takeExactly(int(g.Needed))
		needed = append(needed, runs...)
		if err != nil {
			return err
		}
		runs, err = s.takeExactly(int(g.Delivered))
		for _, r := range runs {
			s.deliver(r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// takeExactly hands out that many records, or all if there are fewer.
func (s *Storage) takeExactly(records int) (runs []*Run, err error) {
	for records > 0 {
		r, err := s.takeAny(moveSize, records)
		if r == nil || err != nil {
			return runs, err
		}
		runs = append(runs, r)
		records -= r.records
	}
	return runs, nil
}

// hasOverflowGaps reports whether records in the overflow are delivered behind others that
// are not, which the original's files cannot express.
func (s *Storage) hasOverflowGaps() bool {
	for r := s.firstInOverflow(); r != nil; r = r.next {
		if r.state == delivered {
			return true
		}
	}
	return false
}
