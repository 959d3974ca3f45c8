package storage

import (
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
)

// queue is that of a plain channel or of one subscriber. Its records are numbered in the order
// in which they were received for the first time.
type queue struct {
	ledger     *ledger
	channel    string
	subscriber string
	subscribed bool
	sources    []*source
	progress   map[*source]progress
	received   map[*source]int // number of the newest record of a source that a client has got

	got       []entry // those received, from number base on
	base      int
	delivered int  // number behind the last record that a client has received
	copies    int  // records that clients have received again
	read      bool // a client has received records since the node was started

	// again is where the next reader may start: at a record from the one number to the other.
	// If whole, only at one of the two.
	again struct {
		from, to int
		whole    bool
	}
}

// progress is the last record of a source that a queue has got, and the session it was sent
// in; -1 and -1 if there is none.
type progress struct{ number, session int }

// storage is the name of the queue in files.
func (q *queue) storage() string {
	if q.subscribed {
		return q.subscriber + "@" + q.channel
	}
	return q.channel
}

// next yields the numbers of the records of a source of which the queue may get one next: the
// one behind the last, and the first of later sessions as long as nothing acknowledged lies
// between.
func (q *queue) next(s *source) iter.Seq[progress] {
	return func(yield func(progress) bool) {
		at := q.progress[s]
		if at.session >= 0 {
			now := s.sessions[at.session]
			if at.number+1 < now.sent && !yield(progress{at.number + 1, at.session}) || at.number+1 < now.acked {
				return
			}
		}
		for i := at.session + 1; i < len(s.sessions); i++ {
			now := s.sessions[i]
			if now.first < now.sent && !yield(progress{now.first, i}) || now.first < now.acked {
				return
			}
		}
	}
}

// fresh finds out which record this is if it is received for the first time.
func (q *queue) fresh(value []byte) (entry, progress, error) {
	for _, s := range q.sources {
		if len(value) >= headSize && value[0] != s.index {
			continue
		}
		for next := range q.next(s) {
			if e := (entry{s, next.number}); e.is(value) {
				return e, next, nil
			}
		}
		if len(value) >= headSize {
			e := entry{s, int(binary.LittleEndian.Uint32(value[1:]))}
			if !e.is(value) {
				return e, progress{}, fmt.Errorf("got %d bytes % x…, which should be %v", len(value), value[:headSize], e)
			}
			return e, progress{}, fmt.Errorf("got %v, want one of %v", e, slices.Collect(q.next(s)))
		}
	}
	return entry{}, progress{}, fmt.Errorf("got %d bytes % x…, which no producer has sent next", len(value), value[:min(headSize, len(value))])
}

// end is the number of the next record that is received for the first time.
func (q *queue) end() int { return q.base + len(q.got) }

// reader reads a queue: a consumer, a client that pops, or the test itself that looks at what
// a clean stop has left.
type reader struct {
	queue  *queue
	onDisk bool
	first  int // number of its first record, -1 before that
	next   int // number behind its last record
}

func (q *queue) newReader() *reader { return &reader{queue: q, first: -1} }

// take judges the next record.
func (r *reader) take(value []byte) error {
	q := r.queue
	q.ledger.mu.Lock()
	defer q.ledger.mu.Unlock()
	if r.first < 0 {
		r.first = q.start(value)
		r.next = r.first
		if r.first < 0 {
			return q.blame(value)
		}
	}
	if r.next < q.end() {
		if e := q.got[r.next-q.base]; !e.is(value) {
			return fmt.Errorf("queue %s: got %d bytes % x…, want %v again", q.storage(), len(value), value[:min(headSize, len(value))], e)
		}
	} else {
		e, at, err := q.fresh(value)
		if err != nil {
			return fmt.Errorf("queue %s: %w", q.storage(), err)
		}
		q.got = append(q.got, e)
		q.progress[e.source] = at
	}
	if !r.onDisk {
		q.receive(r.next)
	}
	r.next++
	return nil
}

// receive tells that a client has got the record of that number.
func (q *queue) receive(number int) {
	e := q.got[number-q.base]
	q.received[e.source] = max(q.received[e.source], e.number)
	q.read = true
	if number < q.delivered {
		q.copies++
	}
	q.delivered = max(q.delivered, number+1)
	q.ledger.changed.Broadcast()
}

// start returns where a reader is whose first record this is, or -1.
func (q *queue) start(value []byte) int {
	for at := q.again.from; at <= q.again.to && at < q.end(); at++ {
		if q.again.whole && at > q.again.from && at < q.again.to {
			continue
		}
		if q.got[at-q.base].is(value) {
			return at
		}
	}
	if _, _, err := q.fresh(value); err == nil && q.again.to == q.end() {
		return q.end()
	}
	return -1
}

// blame says what is wrong with the first record of a reader.
func (q *queue) blame(value []byte) error {
	want := "one not received before"
	if q.again.from < q.end() {
		want = fmt.Sprintf("%v or at most the %dth behind it", q.got[q.again.from-q.base], q.again.to-q.again.from)
	}
	e, _, err := q.fresh(value)
	if err == nil {
		return fmt.Errorf("queue %s: a new reader got %v first, want %s", q.storage(), e, want)
	}
	for i, e := range q.got {
		if e.is(value) {
			return fmt.Errorf("queue %s: a new reader got %v first, again, the last but %d; want %s",
				q.storage(), e, len(q.got)-1-i, want)
		}
	}
	return fmt.Errorf("queue %s: a new reader first %w; want %s", q.storage(), err, want)
}

// mayComeAgain tells which of the records that the reader has taken its successor may get
// again, should everything end now.
func (r *reader) mayComeAgain(from, to int) {
	q := r.queue
	q.ledger.mu.Lock()
	defer q.ledger.mu.Unlock()
	q.again.from, q.again.to, q.again.whole = from, to, false
	const slack = 4096 // entries, so that not each call moves memory
	if drop := from - q.base; drop > slack {
		q.got = q.got[:copy(q.got, q.got[drop:])]
		q.base += drop
	}
}

// stopped tells that the node has ended in order: of what a client was sent it knows whether
// the client has got it, but for a neo batch whose confirmation the node may not have read.
// If no client got anything, what may come again is what an earlier end has left.
func (q *queue) stopped(neo bool) {
	q.ledger.mu.Lock()
	defer q.ledger.mu.Unlock()
	if !q.read {
		return
	}
	if !neo {
		q.again.from = q.again.to
	}
	q.again.whole = true
}

// onDisk judges what a clean stop has left of the queue. Exactly that is to come next.
func (q *queue) onDisk(records []string) error {
	r := q.newReader()
	r.onDisk = true
	for _, record := range records {
		if err := r.take([]byte(record)); err != nil {
			return fmt.Errorf("on disk: %w", err)
		}
	}
	if r.first >= 0 {
		r.mayComeAgain(r.first, r.first)
	} else if err := q.empty(); err != nil {
		return fmt.Errorf("on disk: %w", err)
	}
	return q.missing()
}

// empty tells that the queue has turned out to be empty.
func (q *queue) empty() error {
	q.ledger.mu.Lock()
	defer q.ledger.mu.Unlock()
	if q.again.to < q.end() {
		return fmt.Errorf("queue %s is empty, although %v must come again", q.storage(), q.got[q.again.to-q.base])
	}
	q.again.from = q.again.to
	return nil
}

// complete tells that a reader has found the end of the queue.
func (r *reader) complete() error {
	q := r.queue
	if r.first < 0 {
		if err := q.empty(); err != nil {
			return err
		}
	} else if left := q.end() - r.next; left > 0 {
		return fmt.Errorf("queue %s: the last %d records have not come again", q.storage(), left)
	}
	return q.missing()
}

// missing says what has been acknowledged and not received.
func (q *queue) missing() error {
	q.ledger.mu.Lock()
	defer q.ledger.mu.Unlock()
	for _, s := range q.sources {
		at := q.progress[s]
		for i := max(0, at.session); i < len(s.sessions); i++ {
			if now := s.sessions[i]; now.acked > max(now.first, at.number+1) {
				return fmt.Errorf("queue %s: got record %d of producer %d last, although %d was acknowledged",
					q.storage(), at.number, s.index, now.acked-1)
			}
		}
	}
	return nil
}
