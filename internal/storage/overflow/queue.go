package overflow

import (
	"math"
	"sync/atomic"

	"go.uber.org/zap"
)

// Queue is the overflow of one storage: its chain of records in the data file. Its owner
// serialises all calls.
type Queue struct {
	file    *File
	name    string // written with file.mu too
	state   State
	removed bool

	// The record that the next one is linked to. It outlives the last record in state
	// until an empty State has been published: should that never happen, what is pushed
	// now must be found as the continuation of the published chain.
	newest       int64 // logical position, 0 if there is none
	newestEnd    int64
	newestLength uint64

	// keep is the position of the oldest record that a published State may need, or
	// nothing. Written by the owner, from and to nothing with file.mu.
	keep atomic.Int64

	// Records that are read but not freed, oldest first. Only the last block has records
	// that are not handed out.
	blocks []*block
	ahead  int   // records in the last block that are not handed out
	unread int   // records behind the blocks
	next   int64 // position of the first of them
	pace   pace

	delivered int // records from there on that are marked as delivered

	miscounted bool // the counters were wrong, and that was logged
}

// nothing is the value of Queue.keep if no record is needed.
const nothing = math.MaxInt64

func newQueue(f *File, name string, id uint32) *Queue {
	q := &Queue{file: f, name: name, state: State{ID: id}, pace: newPace()}
	q.keep.Store(nothing)
	return q
}

// State returns what must survive a crash now: see the package comment.
func (q *Queue) State() State { return q.state }

// Published tells that State, as it is now, will survive a crash. The owner calls it after
// every batch of operations, also after Remove. The file then forgets what no published
// State needs: if that was the last record of all, it is emptied.
func (q *Queue) Published() {
	if q.state.Records > 0 {
		q.keep.Store(q.state.First)
		return
	}
	if q.keep.Load() == nothing && !q.removed {
		return
	}
	f := q.file
	f.mu.Lock()
	defer f.mu.Unlock()
	if q.keep.Swap(nothing) != nothing {
		f.busy--
	}
	q.newest = 0
	if q.removed {
		delete(f.queues, q.state.ID)
	}
	if f.busy == 0 && f.end > f.base && f.held == nil {
		f.reset()
	}
}

// Held is the number of records, those handed out included.
func (q *Queue) Held() int { return int(q.state.Records) }

// Waiting is the number of records not handed out.
func (q *Queue) Waiting() int { return q.ahead + q.unread }

// PayloadBytes is the sum of the payload lengths of the held records.
func (q *Queue) PayloadBytes() uint64 { return q.state.Bytes }

// Rename gives the storage a new name; its records stay.
func (q *Queue) Rename(storage string) {
	f := q.file
	f.mu.Lock()
	defer f.mu.Unlock()
	f.log.Info("overflow channel renamed", zap.Uint32("id", q.state.ID),
		zap.String("from", q.name), zap.String("to", storage))
	q.name = storage
}

// Remove drops all records and forgets the storage, with Published. Runs that are handed
// out stay readable.
func (q *Queue) Remove() {
	for _, c := range q.blocks {
		q.file.blocks.drop(c)
	}
	q.state = State{ID: q.state.ID}
	q.blocks, q.ahead, q.unread, q.next = nil, 0, 0, 0
	q.removed = true
}

// Free drops the oldest handed-out records: size bytes, as returned by one or several
// calls of Take in that order.
func (q *Queue) Free(size, records int) {
	q.state.Records -= uint64(records)
	q.state.Bytes -= min(q.state.Bytes, uint64(size-records*lengthSize))
	for records > 0 && len(q.blocks) > 0 {
		c := q.blocks[0]
		n := min(records, c.records-c.freed)
		c.freed += n
		records -= n
		if c.freed == c.records {
			if c.retained {
				q.file.blocks.drop(c)
			} else {
				q.file.blocks.put(c)
			}
			q.blocks = append(q.blocks[:0], q.blocks[1:]...)
		}
	}
	q.settle()
}

// Retain keeps the bytes of the oldest handed-out run valid when it is freed, for somebody who
// still reads them.
func (q *Queue) Retain() { q.blocks[0].retained = true }

// settle makes State.First the oldest record that is held.
func (q *Queue) settle() {
	switch {
	case q.state.Records == 0:
		q.state = State{ID: q.state.ID}
	case len(q.blocks) > 0:
		c := q.blocks[0] // if it was released, all of it is to be freed: see Mark
		q.state.First = c.starts[min(c.freed, len(c.starts)-1)]
	default:
		q.state.First = q.next
	}
}
