package storage

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand"
	"sync"
)

// A ledger knows which records have been pushed to the channels of a node and which have
// been received from their queues, while the node is killed and started again, and decides
// whether what comes next is allowed:
//
//   - What was acknowledged is received.
//   - What was not may be missing, but then also all that its producer sent behind it on the
//     same connection: of each connection a queue gets the first records, up to the last
//     acknowledged one or a later one.
//   - Each record is received once per queue, in the order of its producer; apart from what
//     was in flight when the node or the connection ended. That comes again in the old order,
//     before anything else. How much that can be is known exactly: see queue.again.
//
// Everything in it is guarded by one lock.
type ledger struct {
	mu      sync.Mutex
	changed *sync.Cond // records were received, or the round has ended
	ended   bool       // no more records are to be sent

	pattern []byte // what payloads consist of
	sources []*source
	queues  []*queue
}

// source is a producer: it sends each of its records to all of its channels.
type source struct {
	ledger   *ledger
	index    byte
	channels []string
	queues   []*queue // of these channels
	short    bool     // most records have one byte
	sessions []session
}

// session is what a source has sent on one connection: the records first to sent-1. Those
// before acked are acknowledged.
type session struct{ first, acked, sent int }

// entry is a record in a queue.
type entry struct {
	source *source
	number int
}

func newLedger(random *rand.Rand) *ledger {
	l := &ledger{pattern: make([]byte, 1<<17)}
	l.changed = sync.NewCond(&l.mu)
	random.Read(l.pattern)
	return l
}

// addQueue adds the queue of a plain channel, or that of a subscriber.
func (l *ledger) addQueue(channel string, subscriber ...string) *queue {
	q := &queue{ledger: l, channel: channel, progress: map[*source]progress{}, received: map[*source]int{}}
	if len(subscriber) > 0 {
		q.subscriber, q.subscribed = subscriber[0], true
	}
	l.queues = append(l.queues, q)
	return q
}

// addSource adds a producer to channels, whose queues are all known.
func (l *ledger) addSource(channels ...string) *source {
	s := &source{ledger: l, index: byte(len(l.sources)), channels: channels}
	for _, q := range l.queues {
		for _, channel := range channels {
			if q.channel == channel {
				s.queues = append(s.queues, q)
				q.sources = append(q.sources, s)
				q.progress[s] = progress{-1, -1}
				q.received[s] = -1
			}
		}
	}
	l.sources = append(l.sources, s)
	return s
}

// headSize is how many bytes tell whose record it is. Shorter ones tell it by where they are.
const headSize = 5

// mostBehind is how many records a producer may be ahead of the slowest queue.
const mostBehind = 2000

// payload returns a record, which is the same whenever it is asked for.
func (e entry) payload() []byte {
	size, offset := e.shape()
	b := bytes.Clone(e.source.ledger.pattern[offset : offset+size])
	e.mark(b)
	return b
}

// mark writes the head of a record.
func (e entry) mark(b []byte) {
	if len(b) < headSize {
		b[0] = byte(e.number)
		return
	}
	b[0] = e.source.index
	binary.LittleEndian.PutUint32(b[1:], uint32(e.number))
}

// shape returns the size of a record and where in the pattern its bytes are: most are small,
// some larger than any ring.
func (e entry) shape() (size, offset int) {
	x := uint32(e.number)*2654435761 ^ uint32(e.source.index)*40503
	x ^= x >> 15
	x *= 2246822519
	x ^= x >> 13
	spread := int(x >> 8 & 0xffff)
	switch kind := int(x & 0xff); {
	case e.source.short && e.number%8 != 0:
		size = 1 + spread%4
	case kind < 150:
		size = headSize + spread%60
	case kind < 230:
		size = headSize + spread%1000
	case kind < 250:
		size = headSize + spread%8000
	default:
		size = 30_000 + spread%30_000
	}
	return size, e.number % 1000
}

// is tells whether this is the record.
func (e entry) is(value []byte) bool {
	size, offset := e.shape()
	if len(value) != size {
		return false
	}
	var head [headSize]byte
	n := min(size, headSize)
	if copy(head[:n], e.source.ledger.pattern[offset:]); size < headSize {
		n = 1
	}
	if e.mark(head[:min(size, headSize)]); !bytes.Equal(value[:n], head[:n]) {
		return false
	}
	return bytes.Equal(value[n:], e.source.ledger.pattern[offset+n:offset+size])
}

func (e entry) String() string {
	return fmt.Sprintf("record %d of producer %d", e.number, e.source.index)
}

// connected begins a session.
func (s *source) connected() {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	next := 0
	if n := len(s.sessions); n > 0 {
		next = s.sessions[n-1].sent
	}
	s.sessions = append(s.sessions, session{next, next, next})
}

// send waits until the queues are not too far behind and returns the payloads of the next
// records, which from now on may be received; none if the round has ended.
func (s *source) send(count int) (payloads [][]byte) {
	l := s.ledger
	l.mu.Lock()
	now := &s.sessions[len(s.sessions)-1]
	for !l.ended && s.ahead() > mostBehind {
		l.changed.Wait()
	}
	if l.ended {
		l.mu.Unlock()
		return nil
	}
	first := now.sent
	now.sent += count
	l.mu.Unlock()
	for i := range count {
		payloads = append(payloads, entry{s, first + i}.payload())
	}
	return payloads
}

// ahead is by how many records the source is ahead of the slowest queue. What earlier sessions
// sent does not count: it may be lost.
func (s *source) ahead() (records int) {
	now := s.sessions[len(s.sessions)-1]
	for _, q := range s.queues {
		records = max(records, now.sent-max(now.first, q.received[s]+1))
	}
	return records
}

// acknowledged tells that the next records are acknowledged.
func (s *source) acknowledged(count int) {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	s.sessions[len(s.sessions)-1].acked += count
}

// begin tells that the node has been started.
func (l *ledger) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = false
	for _, q := range l.queues {
		q.read = false
	}
}

// end makes producers stop.
func (l *ledger) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.changed.Broadcast()
}
