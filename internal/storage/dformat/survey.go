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
	Count
}

// garbage is a part of the data file that holds no records.
type garbage struct{ from, to int64 }

// survey is what is in a data file: its chains, what lies at the offsets that the index lists, and
// garbage.
type survey struct {
	chains map[uint32]*chain
	seen   map[int64]*sighting // by offset: all that an entry lists

	garbage      []garbage // the first mostGarbage parts
	wasted       int64     // bytes of all garbage
	newest       int64     // the largest last offset of the index
	wastedBehind int64     // bytes of the garbage that ends behind it
}

// sighting is the record at the first or last offset of an index entry.
type sighting struct {
	first           bool   // it should be the first one
	chain           *chain // nil if no record is there
	segment         int    // number of the segment it lies in
	before, through Count  // of that segment: without it, and with it
}

// mostGarbage bounds the list of garbage.
const mostGarbage = 20

// newSurvey goes through a file with a magic. The index may be wrong, but where it leads to records
// it tells them from garbage.
func newSurvey(data io.ReaderAt, size int64, index []entry) (*survey, error) {
	s := &survey{chains: make(map[uint32]*chain), seen: make(map[int64]*sighting, 2*len(index))}
	for _, e := range index {
		s.newest = max(s.newest, e.last)
		s.seen[e.last] = &sighting{}
	}
	for _, e := range index {
		s.seen[e.first] = &sighting{first: true}
	}
	scanner := newScanner(data, size, slices.Sorted(maps.Keys(s.seen)), s.waste)
	for scanner.scan() {
		s.add(scanner.offset, scanner.record)
	}
	return s, scanner.err
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

// add adds a record to its chain.
func (s *survey) add(offset int64, h header) {
	if h.channel == 0 {
		return // a dummy record
	}
	c := s.chains[h.channel]
	if c == nil {
		c = &chain{id: h.channel}
		s.chains[h.channel] = c
	}
	at := s.seen[offset]
	if c.add(offset, h, at != nil && at.first) && at != nil {
		at.chain, at.segment, at.before, at.through = c, c.dead, c.less(Count{1, h.length}), c.Count
	}
}

// add adds a record to the chain unless it is a stray. first says that it is the first of
// a storage in the index: then what is wrong with the chain before it doesn't matter.
func (c *chain) add(offset int64, h header, first bool) bool {
	c.latest = offset
	switch {
	case c.Records == 0 || c.expected == offset:
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
	if c.Records == 0 {
		c.first = offset
	}
	c.last = offset
	c.Add(Count{1, h.length})
	c.expected = 0
	if h.next > 0 {
		c.expected = offset + h.next
	}
	return true
}

// behind returns the records of a chain that do not lie in front of an offset.
func (c *chain) behind(offset int64, data *block) (segment, error) {
	rest, t := c.segment, trail{lengthOffset, c.first, c.jumps}
	for rest.first < offset {
		size, next, err := t.look(data, rest.first)
		if err != nil {
			return rest, err
		}
		rest.first, rest.Count = next, rest.less(Count{1, size - ring.HeaderSize})
	}
	return rest, nil
}

// between counts the records from the first to the last one of an entry. It is not ok if these do
// not lie in one segment.
func (s *sighting) between(last *sighting) (n Count, ok bool) {
	return last.through.less(s.before), s.chain != nil && s.chain == last.chain && s.segment == last.segment
}

// live returns the live records of the chain, if those before the one at first were consumed.
func (s *sighting) live(first int64) segment {
	c := s.chain
	if s.segment < c.dead {
		// The storage was drained since the index was written, and pushed to again.
		return c.segment
	}
	return segment{first, c.last, c.less(s.before)}
}

// sorted returns the chains by id.
func (s *survey) sorted() []*chain {
	return slices.SortedFunc(maps.Values(s.chains), func(a, b *chain) int { return cmp.Compare(a.id, b.id) })
}
