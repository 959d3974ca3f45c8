package overflow

import (
	"cmp"
	"io"
	"maps"
	"slices"
)

// Chain is what a data file tells of the storage with one id. The records of an id lie in
// one or more segments. A new segment is begun only after the storage was drained, so only
// the last one can hold records that are not consumed: the live one. Positions are offsets
// in the file.
type Chain struct {
	ID uint32
	Segment
	Dead Segments // the segments before

	// Gaps is the number of links in the live segment, from the first record that the index
	// knows, that lead to no record of the id: some are missing there.
	Gaps int
	// Strays is the number of records of the id that lie there and no link leads to.
	Strays int

	expected int64 // offset of the following record, by the link of the last; 0 if it has none
	latest   int64 // offset of the last record of the id, a stray or not

	// Records of the live segment that a crash has left marked as delivered: see Queue.Mark.
	delivered   count
	isDelivered bool // the last record is one of them
	following   int  // so many behind it are, too
}

// count is a number of records, and the bytes of their payloads.
type count struct{ records, bytes uint64 }

func (c count) minus(other count) count {
	return count{c.records - other.records, c.bytes - other.bytes}
}

// Segment is records that are linked to each other.
type Segment struct {
	First, Last int64
	Records     uint64
	Bytes       uint64 // of the payloads
}

// Segments counts segments and what is in them.
type Segments struct {
	Segments int
	Records  uint64
	Bytes    uint64 // of the payloads
}

// Garbage is a part of the data file that holds no records.
type Garbage struct{ From, To int64 }

// survey goes through a data file and collects its chains.
type survey struct {
	scanner *scanner
	entries map[int64]int // entries of the index by first offset
	chains  map[uint32]*Chain
	garbage []Garbage // the first mostGarbage parts
	wasted  int64     // bytes of all garbage
	chain   *Chain    // of the record found last

	// Newest record by id, of storages with States: no chain ends before that, so a record
	// whose link says otherwise is damaged, as it is for who reads the queue.
	ends map[uint32]int64

	newest       int64 // the largest last offset of the index
	wastedBehind int64 // bytes of the garbage that ends behind it
}

// mostGarbage bounds the list of garbage.
const mostGarbage = 1000

// newSurvey begins a survey of a file with a magic. The index may be wrong, but where it
// leads to records it tells them from garbage.
func newSurvey(data io.ReaderAt, size int64, index []IndexEntry) *survey {
	s := &survey{entries: make(map[int64]int, len(index)), chains: make(map[uint32]*Chain)}
	known := make([]int64, 0, 2*len(index))
	for i, e := range index {
		s.entries[e.First] = i
		known = append(known, e.First, e.Last)
		s.newest = max(s.newest, e.Last)
	}
	s.scanner = newScanner(data, size, sorted(known), scanSize)
	s.scanner.garbage = s.waste
	return s
}

func (s *survey) waste(from, to int64) {
	s.wasted += to - from
	if to > s.newest {
		s.wastedBehind += to - from
	}
	if len(s.garbage) < mostGarbage {
		s.garbage = append(s.garbage, Garbage{from, to})
	}
}

// next finds the next record that belongs to a segment and reports whether there is one.
// It is at scanner.offset, and is now the last one of chain.
func (s *survey) next() bool {
	for s.scanner.scan() {
		id := s.scanner.record.channel
		if id == 0 {
			continue // a dummy record
		}
		if s.chain == nil || s.chain.ID != id {
			if s.chain = s.chains[id]; s.chain == nil {
				s.chain = &Chain{ID: id}
				s.chains[id] = s.chain
			}
		}
		s.chain.latest = s.scanner.offset
		if s.misleads() {
			s.chain.expected = anywhere
			continue
		}
		_, first := s.entries[s.scanner.offset]
		if s.chain.add(s.scanner.offset, s.scanner.record, first) {
			s.chain.countMark(s.scanner.record, s.scanner.marked)
			return true
		}
	}
	return false
}

// misleads reports whether the record found has a link that can't be right.
func (s *survey) misleads() bool {
	end, known := s.ends[s.scanner.record.channel]
	left, next := end-s.scanner.offset, s.scanner.record.next
	return known && left > 0 && (next == 0 || next > left)
}

// anywhere is the offset expected if the next record of the id is the following one, whatever
// is missing.
const anywhere = 1

// add adds a record to the chain unless it is a stray. first says that it is the first of
// a storage in the index: then what is wrong with the chain before it doesn't matter. For
// example there may be records that were never published, with a link to where another
// storage's record is now.
func (c *Chain) add(offset int64, h header, first bool) bool {
	switch {
	case c.Records == 0 || c.expected == offset:
	case c.expected == 0 || first:
		c.Dead.Segments++
		c.Dead.Records += c.Records
		c.Dead.Bytes += c.Bytes
		c.Segment, c.Gaps, c.Strays = Segment{}, 0, 0
		c.delivered, c.following = count{}, 0
	case c.expected > offset:
		c.Strays++
		return false
	default:
		c.Gaps++
	}
	if first {
		c.Gaps, c.Strays = 0, 0
	}
	if c.Records == 0 {
		c.First = offset
	}
	c.Last = offset
	c.Records++
	c.Bytes += h.length
	c.expected = 0
	if h.next > 0 {
		c.expected = offset + h.next
	}
	return true
}

// before reports whether all records of the id lie in front of an offset.
func (c *Chain) before(offset int64) bool { return c.latest < offset }

// countMark takes note of whether the last record is delivered, if there is a mark in it of so
// many records.
func (c *Chain) countMark(h header, marked int) {
	if c.following == 0 {
		c.following = marked
	}
	if c.isDelivered = c.following > 0; c.isDelivered {
		c.following--
		c.delivered.records++
		c.delivered.bytes += h.length
	}
}

// sight goes through the file and returns what is at the first and last offsets of the
// entries.
func (s *survey) sight(index []IndexEntry) (first, last []sighting) {
	first, last = make([]sighting, len(index)), make([]sighting, len(index))
	lasts := make(map[int64]int, len(index))
	for i, e := range index {
		lasts[e.Last] = i
	}
	for s.next() {
		c := s.chain
		at := sighting{c, c.Dead.Segments, c.Records, c.Bytes, c.delivered}
		if i, ok := lasts[s.scanner.offset]; ok {
			last[i] = at
		}
		if i, ok := s.entries[s.scanner.offset]; ok {
			at.records--
			at.bytes -= s.scanner.record.length
			if c.isDelivered {
				at.delivered.records--
				at.delivered.bytes -= s.scanner.record.length
			}
			first[i] = at
		}
	}
	return first, last
}

// sorted returns the chains by id.
func (s *survey) sorted() []*Chain {
	return slices.SortedFunc(maps.Values(s.chains), func(a, b *Chain) int { return cmp.Compare(a.ID, b.ID) })
}
