package logging

import (
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap/zapcore"
)

// queue is messages on their way to where they are written, by a goroutine of its own: who logs
// waits for nobody. It is bounded: what does not fit is dropped and counted, errors last.
type queue struct {
	name    string
	write   func(queued)
	dropped atomic.Uint64  // since that was last told
	leftOut *atomic.Uint64 // all that were dropped, also by others

	mu      sync.Mutex
	changed sync.Cond // there is a message, all have been written, or the queue is closed
	waiting []queued
	bytes   int  // of the messages that are not written
	writing bool // some of them
	closed  bool
}

// queued is a message with a text of its own, and where it goes.
type queued struct {
	message
	outputs []output
	collect bool // count it when it has reached one
}

const (
	// queueLimit is the bytes that may wait, besides one message. Warnings are dropped from three
	// quarters of it on, what is less from half of it on.
	queueLimit = 1 << 20
	// messageOverhead is about what a message takes besides its text.
	messageOverhead = 128
)

// startQueue starts the goroutine that calls write for each message.
func startQueue(name string, leftOut *atomic.Uint64, write func(queued)) *queue {
	q := &queue{name: name, leftOut: leftOut, write: write}
	q.changed.L = &q.mu
	go q.run()
	return q
}

// add takes a message over, or drops it. What is of that importance is dropped like messages of
// that level.
func (q *queue) add(m queued, importance zapcore.Level) {
	limit := queueLimit
	switch {
	case importance < zapcore.WarnLevel:
		limit = queueLimit / 2
	case importance < zapcore.ErrorLevel:
		limit = queueLimit * 3 / 4
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	if q.bytes >= limit {
		q.dropped.Add(1)
		q.leftOut.Add(1)
		return
	}
	q.waiting = append(q.waiting, m)
	q.bytes += len(m.text) + messageOverhead
	q.changed.Broadcast()
}

func (q *queue) run() {
	for batch := q.take(); len(batch) > 0; batch = q.take() {
		for _, m := range batch {
			q.write(m)
			q.mu.Lock()
			q.bytes -= len(m.text) + messageOverhead
			q.mu.Unlock()
		}
	}
}

// take waits for messages. It returns none when the queue is closed and empty.
func (q *queue) take() (batch []queued) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.writing = false
	q.changed.Broadcast()
	for len(q.waiting) == 0 && !q.closed {
		q.changed.Wait()
	}
	batch, q.waiting = q.waiting, nil
	q.writing = len(batch) > 0
	return batch
}

// half tells that no more than half of what may wait does.
func (q *queue) half() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes <= queueLimit/2
}

// flush waits until everything is written, but not longer than that. It reports whether it is.
func (q *queue) flush(most time.Duration) bool {
	late := false
	timer := time.AfterFunc(most, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		late = true
		q.changed.Broadcast()
	})
	defer timer.Stop()
	q.mu.Lock()
	defer q.mu.Unlock()
	for (q.writing || len(q.waiting) > 0) && !late {
		q.changed.Wait()
	}
	return !q.writing && len(q.waiting) == 0
}

// close drops what comes later, and lets the goroutine end when it has written the rest.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Broadcast()
}
