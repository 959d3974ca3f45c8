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
	cs.shared.clock.Store(now.UnixNano())
	for _, c := range cs.All() {
		c.mu.Lock()
		for _, s := range c.storages {
			for _, p := range s.parts {
				p.marks.note(now, p.pushed, p.pushed-int64(p.Held()))
			}
		}
		c.mu.Unlock()
	}
}

// oldest is when the oldest record was first seen. The records of a part have numbers in the order
// in which they were pushed to it.
func (s *Storage) oldest() time.Time {
	for _, p := range s.parts {
		if p.Held() > 0 {
			return p.marks.seen(p.pushed - int64(p.Held()))
		}
	}
	return time.Time{}
}

// marks tells when records were first seen: groups of neighbours, oldest first.
type marks []mark

type mark struct {
	seen time.Time // the first record of the group
	end  int64     // number behind its last record
}

// mostMarks bounds the memory that a storage with a large backlog costs, and the error of
// the ages: a group spans at most about a tenth of its age.
const mostMarks = 128

// note notes that the records up to the one with number end are there now, from oldest on.
func (m *marks) note(now time.Time, end, oldest int64) {
	gone := 0
	for gone < len(*m) && (*m)[gone].end <= oldest {
		gone++
	}
	*m = slices.Delete(*m, 0, gone)
	n := len(*m)
	if oldest == end || n > 0 && (*m)[n-1].end >= end {
		return
	}
	if n == mostMarks {
		m.merge(now)
	}
	*m = append(*m, mark{now, end})
}

// abandoned takes back that the newest records of a part were pushed.
func (p *part) abandoned(records int) {
	p.pushed -= int64(records)
	for n := len(p.marks); n > 0 && p.marks[n-1].end > p.pushed; n-- {
		if n > 1 && p.marks[n-2].end >= p.pushed || n == 1 && p.Held() == 0 {
			p.marks = p.marks[:n-1]
		} else {
			p.marks[n-1].end = p.pushed
		}
	}
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
