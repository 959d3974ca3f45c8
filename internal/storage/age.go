package storage

import (
	"slices"
	"time"
)

// How old the oldest record of a storage is, nobody notes when it is pushed: that would cost
// every push a clock, and every record a timestamp. Instead somebody calls Mark now and then,
// say once a second, which notes how many records have ever come; so the ones that have come
// since the last time were first seen then. Notes are kept as long as such records are there,
// and when there are many notes, neighbours become one: see marks.

// Mark notes that the records there are now have been seen at that time. It is to be called
// with growing times by one goroutine. The ages that follow from it are never more than its
// period too low, and more than that too high only by the merging of notes.
//
// What a start has found counts as first seen by the first Mark.
func (cs *Channels) Mark(now time.Time) {
	for _, c := range cs.All() {
		c.mu.Lock()
		for _, s := range c.storages {
			if !s.removed {
				inRing, inOverflow := s.passed()
				s.ringMarks.note(now, inRing, s.ring.Held())
				s.overflowMarks.note(now, inOverflow, s.overflow.Held())
			}
		}
		c.mu.Unlock()
	}
}

// oldest is when the oldest record was first seen. Records of the ring are older than those
// of the overflow.
func (s *Storage) oldest() time.Time {
	inRing, inOverflow := s.passed()
	if held := s.ring.Held(); held > 0 {
		return s.ringMarks.seen(inRing - int64(held))
	}
	if held := s.overflow.Held(); held > 0 {
		return s.overflowMarks.seen(inOverflow - int64(held))
	}
	return time.Time{}
}

// keepAge is to be called before the oldest records of the overflow are moved to the ring
// without being pushed: they keep their age. If there are older ones in the ring, they count
// as part of these.
func (s *Storage) keepAge() {
	seen := s.oldest()
	if s.ring.Held() > 0 || seen.IsZero() {
		return
	}
	inRing, _ := s.passed()
	s.ringMarks = append(s.ringMarks[:0], mark{seen, inRing})
}

// passed is how many records have been pushed to the ring, and to the overflow. Each lets
// them go in the order in which they came, so a record has a number in its place: that of
// the oldest is the number of those pushed, less those that are there. What was there without
// being pushed, because a start has found it, or because it was moved there, has the numbers
// below.
func (s *Storage) passed() (ring, overflow int64) {
	overflowed := int64(s.counters.Overflowed.Records)
	return int64(s.counters.Pushed.Records) - overflowed, overflowed
}

// marks tells when the records of a place were first seen: groups of neighbours, oldest
// first.
type marks []mark

type mark struct {
	seen time.Time // the first record of the group
	end  int64     // number behind its last record
}

// mostMarks bounds the memory that a storage with a large backlog costs, and the error of
// the ages: a group spans at most about a tenth of its age.
const mostMarks = 128

// note notes that the records up to that number, of which some are held, are there now.
func (m *marks) note(now time.Time, end int64, held int) {
	gone := 0
	for gone < len(*m) && (*m)[gone].end <= end-int64(held) {
		gone++
	}
	*m = slices.Delete(*m, 0, gone)
	n := len(*m)
	if held == 0 || n > 0 && (*m)[n-1].end >= end {
		return
	}
	if n == mostMarks {
		m.merge(now)
	}
	*m = append(*m, mark{now, end})
}

// merge makes those two neighbours one that differ the least, compared with their age. The
// older time remains, so that the age of a record which stays the oldest only grows.
func (m *marks) merge(now time.Time) {
	best, least := 1, 0.0
	for i := 1; i < len(*m); i++ {
		before, after := (*m)[i-1].seen, (*m)[i].seen
		difference := float64(after.Sub(before)) / float64(1+now.Sub(after))
		if i == 1 || difference < least {
			best, least = i, difference
		}
	}
	(*m)[best-1].end = (*m)[best].end
	*m = slices.Delete(*m, best, best+1)
}

// seen is when the record of that number was first seen; zero if it has not been.
func (m marks) seen(number int64) time.Time {
	i, _ := slices.BinarySearchFunc(m, number, func(m mark, number int64) int {
		if m.end <= number {
			return -1
		}
		return 1
	})
	if i == len(m) {
		return time.Time{}
	}
	return m[i].seen
}
