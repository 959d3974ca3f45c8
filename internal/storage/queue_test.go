package storage

import (
	"slices"
	"time"
)

// queue is the model of a Storage: a list of records, oldest first, each of which is waiting, or
// waiting again, or handed out. What is handed out is always the oldest record that waits.
type queue struct {
	real     *Storage
	ringSize int
	name     string

	counters Counters // but for Popped

	records []*record // that are not delivered
	runs    int       // that are handed out
	removed bool

	readers []*reader
	idle    []*reader // that wait, longest first
	woken   int
}

type record struct {
	payload []byte
	state   recordState
	tries   int
	seen    time.Time // by Mark
}

type recordState uint8

const (
	recordWaits recordState = iota
	recordOut
	recordDelayed
	recordDelivered
)

func layout(records []*record) (run []byte) {
	for _, r := range records {
		run = appendRecord(run, r.payload)
	}
	return run
}

// push adds records that have just been pushed to the real storage, of which the last ones have
// spilled.
func (q *queue) push(spilled int, payloads ...[]byte) {
	for i, p := range payloads {
		q.records = append(q.records, &record{payload: p})
		q.counters.Pushed.add(1, len(p))
		if i >= len(payloads)-spilled {
			q.counters.Overflowed.add(1, len(p))
		}
	}
}

// count returns the records in a state, and their bytes.
func (q *queue) count(state recordState) (n Moved) {
	for _, r := range q.records {
		if r.state == state {
			n.add(1, len(r.payload))
		}
	}
	return n
}

func (q *queue) available() int { return int(q.count(recordWaits).Records) }

// handOut hands out at most limit records, and none after enough bytes.
func (q *queue) handOut(enough, limit int, skipEmpty bool) (out []*record) {
	size := 0
	for _, r := range q.records {
		if r.state != recordWaits {
			continue
		}
		if size >= enough || len(out) == limit {
			break
		}
		if skipEmpty && len(r.payload) == 0 {
			r.state = recordDelivered
			q.counters.Delivered.add(1, 0)
			continue
		}
		r.state = recordOut
		out = append(out, r)
		size += 8 + len(r.payload)
	}
	q.trim()
	return out
}

// settle ends a handing-out: the records that lie completely in the first sent bytes are
// delivered, the others wait again.
func (q *queue) settle(records []*record, sent int) {
	for _, r := range records {
		sent -= 8 + len(r.payload)
		if sent >= 0 {
			r.state = recordDelivered
			q.counters.Delivered.add(1, len(r.payload))
		} else {
			r.state = recordWaits
			q.counters.Redelivered.add(1, len(r.payload))
		}
	}
	q.trim()
}

func (q *queue) trim() {
	q.records = slices.DeleteFunc(q.records, func(r *record) bool { return r.state == recordDelivered })
}
