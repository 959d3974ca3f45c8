package dformat

import (
	"cmp"
	"io"
	"maps"
	"slices"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// chain is what a data file tells of the storage with one id. The records of an id lie in
// one or more segments. A new segment is begun only after the storage was drained, so only
// the last one can hold records that are not consumed: the live one.
type chain struct {
	id uint32
	segment
	dead int // number of segments before

	// jumps is where the next record lies behind those of the live segment whose links lead to
	// none of the id: some are missing there.
	jumps map[int64]int64
	gaps  int // number of jumps from the first record on that the index knows
	// strays is the number of records of the id that lie there and no link leads to.
	strays int

	expected int64 // offset of the following record, by the link of the last; 0 if it has none
	latest   int64 // offset of the last record of the id, a stray or not
}

// segment is records that are linked to each other. Positions are offsets in the file.
type segment struct {
	first, last int64
	records     uint64
	bytes       uint64 // of the payloads
}

// garbage is a part of the data file that holds no records.
type garbage struct{ from, to int64 }

// survey goes through a data file and collects its chains.
type survey struct {
	scanner *scanner
	firsts  map[int64]int // entries of the index by first offset
	chains  map[uint32]*chain
	chain   *chain // of the record found last

	garbage      []garbage // the first mostGarbage parts
	wasted       int64     // bytes of all garbage
	newest       int64     // the largest last offset of the index
	wastedBehind int64     // bytes of the garbage that ends behind it
}

// mostGarbage bounds the list of garbage.
const mostGarbage = 20

// newSurvey begins a survey of a file with a magic. The index may be wrong, but where it
// leads to records it tells them from garbage.
func newSurvey(data io.ReaderAt, size int64, index []entry) *survey {
	s := &survey{firsts: make(map[int64]int, len(index)), chains: make(map[uint32]*chain)}
	known := make([]int64, 0, 2*len(index))
	for i, e := range index {
		s.firsts[e.first] = i
		known = append(known, e.first, e.last)
		s.newest = max(s.newest, e.last)
	}
	slices.Sort(known)
	s.scanner = newScanner(data, size, slices.Compact(known), s.waste)
	return s
}

func (s *survey) waste(from, to int64) {
	s.wasted += to - from
	if to > s.newest {
		s.wastedBehind += to - from
	}
	if len(s.garbage) < mostGarbage {
		s.garbage = append(s.garbage, garbage{from, to})
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
		if s.chain == nil || s.chain.id != id {
			if s.chain = s.chains[id]; s.chain == nil {
				s.chain = &chain{id: id}
				s.chains[id] = s.chain
			}
		}
		_, first := s.firsts[s.scanner.offset]
		if s.chain.add(s.scanner.offset, s.scanner.record, first) {
			return true
		}
	}
	return false
}

// add adds a record to the chain unless it is a stray. first says that it is the first of
// a storage in the index: then what is wrong with the chain before it doesn't matter.
func (c *chain) add(offset int64, h header, first bool) bool {
	c.latest = offset
	switch {
	case c.records == 0 || c.expected == offset:
	case c.expected == 0 || first:
		c.dead++
		c.segment, c.jumps, c.gaps, c.strays = segment{}, nil, 0, 0
	case c.expected > offset:
		c.strays++
		return false
	default:
		if c.jumps == nil {
			c.jumps = make(map[int64]int64)
		}
		c.jumps[c.last] = offset
		c.gaps++
	}
	if first {
		c.gaps, c.strays = 0, 0
	}
	if c.records == 0 {
		c.first = offset
	}
	c.last = offset
	c.records++
	c.bytes += h.length
	c.expected = 0
	if h.next > 0 {
		c.expected = offset + h.next
	}
	return true
}

// sighting is the record at the first or last offset of an index entry.
type sighting struct {
	chain          *chain // nil if no record is there
	segment        int    // number of the segment it lies in
	records, bytes uint64 // of that segment: before the first one, up to the last one
}

// sight goes through the file and returns what is at the first and last offsets of the
// entries.
func (s *survey) sight(index []entry) (first, last []sighting, err error) {
	first, last = make([]sighting, len(index)), make([]sighting, len(index))
	lasts := make(map[int64]int, len(index))
	for i, e := range index {
		lasts[e.last] = i
	}
	for s.next() {
		c := s.chain
		at := sighting{c, c.dead, c.records, c.bytes}
		if i, ok := lasts[s.scanner.offset]; ok {
			last[i] = at
		}
		if i, ok := s.firsts[s.scanner.offset]; ok {
			at.records--
			at.bytes -= s.scanner.record.length
			first[i] = at
		}
	}
	return first, last, s.scanner.err
}

// behind returns the records of a chain that do not lie in front of an offset.
func (s *survey) behind(c *chain, offset int64) (segment, error) {
	rest := c.segment
	t := trail{lengthOffset, c.first, c.jumps}
	for rest.first < offset {
		size, next, err := t.look(&s.scanner.here, rest.first)
		if err != nil {
			return rest, err
		}
		rest.first, rest.records, rest.bytes = next, rest.records-1, rest.bytes-(size-ring.HeaderSize)
	}
	return rest, nil
}

// between counts the records from the first to the last one of an entry. It is not ok if these do
// not lie in one segment.
func (s sighting) between(last sighting) (records, bytes uint64, ok bool) {
	ok = s.chain != nil && s.chain == last.chain && s.segment == last.segment
	return last.records - s.records, last.bytes - s.bytes, ok
}

// live returns the live records of the chain, if those before the one at first were consumed.
func (s sighting) live(first int64) segment {
	c := s.chain
	if s.segment < c.dead {
		// The storage was drained since the index was written, and pushed to again.
		return c.segment
	}
	return segment{first, c.last, c.records - s.records, c.bytes - s.bytes}
}

// sorted returns the chains by id.
func (s *survey) sorted() []*chain {
	return slices.SortedFunc(maps.Values(s.chains), func(a, b *chain) int { return cmp.Compare(a.id, b.id) })
}
