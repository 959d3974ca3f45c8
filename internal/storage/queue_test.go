package storage

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/overflow/overflowtest"
)

// queue is the model of a Storage: a list of records, oldest first, each of which is
// waiting (or waiting again), handed out, or delivered. What is handed out is always the
// oldest record that waits.
type queue struct {
	real     *Storage
	overflow *faultyOverflow
	ringSize int
	name     string

	counters Counters // but for Popped

	records []*record // of those in the ring, and of those in the overflow, the first is not delivered
	runs    int       // that are handed out
	removed bool

	readers []*reader
	idle    []*reader // that wait, longest first
	woken   int
}

type record struct {
	payload    []byte
	state      recordState
	inOverflow bool
	seen       time.Time // by Mark
}

type recordState uint8

const (
	recordWaits recordState = iota
	recordOut
	recordDelivered
)

// appendRecord lays a record out as in a ring.
func appendRecord(dst, payload []byte) []byte {
	return append(binary.LittleEndian.AppendUint64(dst, uint64(len(payload))), payload...)
}

func layout(records []*record) (run []byte) {
	for _, r := range records {
		run = appendRecord(run, r.payload)
	}
	return run
}

// push adds records that have just been pushed to the real storage: the ring is full
// before the overflow gets the first of them.
func (q *queue) push(payloads ...[]byte) {
	inOverflow := 0
	for _, r := range q.records {
		if r.inOverflow {
			inOverflow++
		}
	}
	inOverflow = q.overflow.Held() - inOverflow
	for i, p := range payloads {
		r := &record{payload: p, inOverflow: i >= len(payloads)-inOverflow}
		q.records = append(q.records, r)
		q.counters.Pushed.add(1, len(p))
		if r.inOverflow {
			q.counters.Overflowed.add(1, len(p))
		}
	}
}

func (q *queue) available() (n int) {
	for _, r := range q.records {
		if r.state == recordWaits {
			n++
		}
	}
	return n
}

// bytes is the space that the held records take in a ring.
func (q *queue) bytes() (n int) {
	for _, r := range q.records {
		n += 8 + len(r.payload)
	}
	return n
}

// handOut hands out at most limit records, and none after enough bytes. It fails if it
// can't hand out a record because that lies in an overflow that is broken.
func (q *queue) handOut(enough, limit int, skipEmpty bool) (out []*record, failed bool) {
	reachable := q.available()
	if q.overflow.breakTake {
		reachable = q.real.returned + q.real.ring.Waiting()
	}
	size := 0
	for _, r := range q.records {
		if r.state != recordWaits {
			continue
		}
		if size >= enough || len(out) == limit {
			break
		}
		if reachable == 0 {
			failed = len(out) == 0
			break
		}
		reachable--
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
	return out, failed
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

// trim drops what no longer needs to be held.
func (q *queue) trim() {
	var needed [2]bool // in the ring, in the overflow
	q.records = slices.DeleteFunc(q.records, func(r *record) bool {
		place := &needed[0]
		if r.inOverflow {
			place = &needed[1]
		}
		*place = *place || r.state != recordDelivered
		return !*place
	})
}

var errBroken = errors.New("broken on purpose")

// faultyOverflow is a Memory that fails when told to and watches how it is used.
type faultyOverflow struct {
	overflowtest.Memory
	name      string
	breakPush bool
	breakTake bool
	refused   bool // a push, once
	removed   bool
	misuse    string // the first one

	outSize, outRecords int // handed out and not freed
}

func (o *faultyOverflow) Push(payload []byte) error {
	o.use("Push")
	if o.breakPush {
		o.refused = true
		return errBroken
	}
	return o.Memory.Push(payload)
}

func (o *faultyOverflow) Take(enough, maxRecords int) ([]byte, int, error) {
	o.use("Take")
	if o.breakTake && o.Waiting() > 0 {
		return nil, 0, errBroken
	}
	run, records, err := o.Memory.Take(enough, maxRecords)
	o.outSize += len(run)
	o.outRecords += records
	return run, records, err
}

func (o *faultyOverflow) Free(size, records int) {
	o.use("Free")
	if o.outSize -= size; o.outSize < 0 {
		o.misused("more bytes freed than taken")
	}
	if o.outRecords -= records; o.outRecords < 0 {
		o.misused("more records freed than taken")
	}
	o.Memory.Free(size, records)
}

func (o *faultyOverflow) Rename(storage string) {
	o.use("Rename")
	o.name = storage
	o.Memory.Rename(storage)
}

func (o *faultyOverflow) Remove() {
	o.use("Remove")
	o.removed = true
	o.Memory.Remove()
}

func (o *faultyOverflow) use(call string) {
	if o.removed {
		o.misused(call + " after Remove")
	}
}

func (o *faultyOverflow) misused(how string) {
	if o.misuse == "" {
		o.misuse = how
	}
}
