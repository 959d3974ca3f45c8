package overflow

import (
	"sync"
	"sync/atomic"
)

// Sizes in bytes of reading ahead.
const (
	smallBlock = 8 << 10
	largeBlock = 256 << 10

	// mostAhead is what all blocks together may take before every new one becomes as
	// small as its reader allows.
	mostAhead = 64 << 20
)

// block is some consecutive records of one storage, read from the data file.
type block struct {
	bytes   []byte  // the records, as in a ring
	starts  []int64 // the position in the file of each
	records int     // how many there are, once all are here
	taken   int     // bytes handed out
	freed   int     // records freed

	found    []span // records that a crash left marked, and that are not handed out
	marked   int    // records that are handed out and marked
	retained bool   // it is not to be used again
}

// span is consecutive records of a block, by index.
type span struct{ from, to int }

// blockPool keeps blocks for reuse, in two sizes. A record that is larger than those has
// a block of its own, which is not kept.
type blockPool struct {
	small, large sync.Pool
	used         atomic.Int64 // bytes of the blocks that are not here
}

// get returns an empty block of at least smallBlock bytes, size bytes if it can be.
func (p *blockPool) get(size int) *block {
	capacity, pool := smallBlock, &p.small
	if size > smallBlock {
		capacity, pool = largeBlock, &p.large
	}
	p.used.Add(int64(capacity))
	if c, _ := pool.Get().(*block); c != nil {
		return c
	}
	return &block{bytes: make([]byte, 0, capacity)}
}

// drop leaves a block to the collector: somebody may still read it.
func (p *blockPool) drop(c *block) { p.used.Add(-int64(cap(c.bytes))) }

// put takes a block back.
func (p *blockPool) put(c *block) {
	p.drop(c)
	*c = block{bytes: c.bytes[:0], starts: c.starts[:0]}
	switch cap(c.bytes) {
	case smallBlock:
		p.small.Put(c)
	case largeBlock:
		p.large.Put(c)
	}
}

// release takes back the memory of a block whose records nobody reads any more, although
// they are not freed.
func (p *blockPool) release(c *block) {
	if c.retained {
		return
	}
	spare := block{bytes: c.bytes, starts: c.starts}
	c.bytes, c.starts = nil, []int64{c.starts[0]}
	p.put(&spare)
}

// scarce reports whether blocks should be small now.
func (p *blockPool) scarce() bool { return p.used.Load() > mostAhead }

// room makes place for n more bytes and reports whether there is. Only an empty block can
// become larger than it is.
func (p *blockPool) room(c *block, n int) bool {
	if cap(c.bytes)-len(c.bytes) >= n {
		return true
	}
	if len(c.starts) > 0 {
		return false
	}
	p.used.Add(int64(n - cap(c.bytes)))
	c.bytes = make([]byte, 0, n)
	return true
}

// add appends a record, for which there is room.
func (c *block) add(record []byte, at int64, delivered bool) {
	c.bytes = append(c.bytes, record...)
	i := len(c.starts)
	c.starts = append(c.starts, at)
	switch last := len(c.found) - 1; {
	case !delivered:
	case last >= 0 && c.found[last].to == i:
		c.found[last].to++
	default:
		c.found = append(c.found, span{i, i + 1})
	}
}

// tail returns the n bytes behind the records.
func (c *block) tail(n int) []byte {
	return c.bytes[len(c.bytes) : len(c.bytes)+n]
}
