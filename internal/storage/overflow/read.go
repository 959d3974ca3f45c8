package overflow

import (
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// errChain says that the data file doesn't hold what the chain of a storage says.
var errChain = errors.New("the chain of records is broken")

// mostReads is the number of reads after which Take returns what it has got.
const mostReads = 256

// pace adapts reading to how the records of a storage lie in the file.
type pace struct {
	span  int // bytes to read at once: many if the records lie together
	ahead int // bytes of records to collect: more, the longer the storage is read
}

const (
	shortSpan  = 512
	firstAhead = 4 << 10
)

func newPace() pace { return pace{span: firstAhead, ahead: firstAhead} }

// after adapts the span to a read of which used bytes were records of the storage.
func (p *pace) after(read, used int) {
	switch {
	case used >= read/2 && read == p.span:
		p.span = min(2*p.span, largeBlock)
	case used < read/8:
		p.span = max(p.span/2, shortSpan)
	}
}

// Take hands out the oldest waiting records: at most maxRecords, and none after enough
// bytes have been reached. There may be more than it returns. The run stays valid until
// it is freed. If the chain proves to be broken, Take goes on behind the damage. It returns
// nothing if the next record is marked as delivered: see TakeMarked.
func (q *Queue) Take(enough, maxRecords int) (run []byte, records int, err error) {
	if q.ahead == 0 {
		if err := q.read(enough); err != nil {
			return nil, 0, fmt.Errorf("overflow of storage %s: %w", q.name, err)
		}
		if q.ahead == 0 {
			return nil, 0, nil
		}
	}
	c := q.blocks[len(q.blocks)-1]
	if len(c.found) > 0 {
		maxRecords = min(maxRecords, c.found[0].from-(c.records-q.ahead))
	}
	run, records = q.hand(c, enough, maxRecords)
	return run, records, nil
}

// hand hands out records of the last block.
func (q *Queue) hand(c *block, enough, maxRecords int) (run []byte, records int) {
	run, records = ring.Cut(c.bytes[c.taken:], enough, maxRecords)
	c.taken += len(run)
	q.ahead -= records
	return run, records
}

// read appends a block with the next unread records, if there are any.
func (q *Queue) read(enough int) error {
	if q.unread == 0 {
		return nil
	}
	pool := &q.file.blocks
	target := max(q.pace.ahead, min(enough, largeBlock))
	if pool.scarce() {
		target = min(enough, largeBlock)
	}
	q.pace.ahead = min(2*q.pace.ahead, largeBlock)
	c := pool.get(target)
	err := q.fill(c, target)
	if len(c.starts) > 0 {
		q.blocks = append(q.blocks, c)
		c.records = len(c.starts)
		q.ahead = c.records
		err = nil
	} else {
		pool.put(c)
	}
	q.settle()
	return err
}

// fill reads records into an empty block. Those it got are good, also after an error.
func (q *Queue) fill(c *block, target int) error {
	f := q.file
	f.moving.RLock()
	defer f.moving.RUnlock()
	for reads := 0; q.unread > 0 && len(c.bytes) < target && reads < mostReads; reads++ {
		room := cap(c.bytes) - len(c.bytes)
		if room < q.pace.span/2 && len(c.starts) > 0 {
			return nil // a short read now would only make the next one begin earlier
		}
		n := int(min(int64(q.pace.span), int64(room), q.newestEnd-q.next))
		raw := c.tail(n)
		if err := readFull(f.data, raw, q.next-f.base); err != nil {
			return err
		}
		used, need, err := q.unpack(c, raw)
		switch {
		case err != nil && len(c.starts) > 0:
			return nil // it comes again when these have been handed out
		case err != nil:
			if err := q.resume(err); err != nil {
				return err
			}
		case need > n && used == 0:
			if !f.blocks.room(c, need) {
				return nil
			}
			q.pace.span = max(q.pace.span, need)
		default:
			q.pace.after(n, used)
		}
	}
	return nil
}

// unpack moves the records of the storage that lie completely in raw, the tail of the
// block, together at the start of that tail. It returns how many bytes of raw they were
// and the size of the record behind them, if its header is there too.
func (q *Queue) unpack(c *block, raw []byte) (used, need int, err error) {
	for at := int64(0); q.unread > 0 && at+headerSize <= int64(len(raw)); {
		h, err := q.check(raw[at:])
		if err != nil {
			return used, 0, err
		}
		if at+h.size() > int64(len(raw)) {
			return used, int(h.size()), nil
		}
		switch {
		case q.delivered == 0:
			q.delivered = parseMark(raw[at+markOffset:])
		case len(c.starts) == 0:
			q.markAgain()
		}
		c.add(raw[at+lengthOffset:at+h.size()], q.next, q.delivered > 0)
		q.delivered = max(0, q.delivered-1)
		used += int(h.size())
		q.unread--
		q.recount()
		if q.unread == 0 {
			q.delivered = 0 // what is pushed later is not, whatever a damaged mark says
		}
		q.next += h.next
		at += h.next
	}
	return used, 0, nil
}

// check reads the header of the next record and makes sure that the record and the
// following one lie where records of the chain can lie. The newest one has no link.
func (q *Queue) check(b []byte) (header, error) {
	h, ok := parseHeader(b)
	if q.next == q.newest {
		h, ok, _ = parseNewest(b)
		h.next = 0
	}
	switch {
	case !ok:
		return h, q.broken("the parity is wrong")
	case h.channel != q.state.ID:
		return h, q.broken(fmt.Sprintf("the record is one of id %d, not %d", h.channel, q.state.ID))
	case h.length > uint64(q.newestEnd-q.next-headerSize):
		return h, q.broken(fmt.Sprintf("the length %d is larger than the file", h.length))
	case q.next == q.newest:
		return h, nil
	case h.next < h.size() || h.next > q.newest-q.next:
		return h, q.broken(fmt.Sprintf("the link %d doesn't lead to a newer record", h.next))
	}
	return h, nil
}

// broken describes what is wrong with the next record.
func (q *Queue) broken(what string) error {
	return fmt.Errorf("%w: at offset %d of %s: %s", errChain, q.next-q.file.base,
		q.file.dir.Path(q.file.names.data), what)
}

// recount corrects the counters after the next record has been read, if they and the chain
// disagree on whether it was the last.
func (q *Queue) recount() {
	if (q.next == q.newest) == (q.unread == 0) {
		return
	}
	if !q.miscounted {
		q.miscounted = true
		q.file.log.Error("the number of overflow records was wrong, it is corrected while they are read; there is nothing to do",
			zap.Uint32("id", q.state.ID), zap.String("name", q.name))
	}
	q.correct(-q.unread)
	if q.next != q.newest {
		q.correct(1)
	}
}

// correct adds n to the number of unread records.
func (q *Queue) correct(n int) {
	q.unread += n
	q.state.Records += uint64(n)
}

// resume goes on behind a damaged record, at the next record of the storage that can be
// found. It fails only if the file can't be read.
func (q *Queue) resume(damage error) error {
	f := q.file
	found, err := q.find()
	if err != nil {
		return err
	}
	f.log.Error("records of the overflow are lost, others go on; look for disk errors, and push the lost ones again if their producer can", zap.Uint32("id", q.state.ID),
		zap.String("name", q.name), zap.Error(damage), zap.Int64("continued at offset", found-f.base))
	if found == q.newestEnd {
		q.correct(-q.unread)
	}
	q.next, q.delivered = found, 0
	return nil
}

// find returns the position of the first record of the storage behind the next one, or
// newestEnd if there is none.
func (q *Queue) find() (int64, error) {
	f := q.file
	s := newScanner(f.data, q.newestEnd-f.base, []int64{q.newest - f.base}, smallBlock)
	s.at = q.next - f.base
	for s.scan() {
		if s.record.channel == q.state.ID && s.offset > q.next-f.base {
			return s.offset + f.base, nil
		}
	}
	return q.newestEnd, s.err
}
