package logging

import (
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap/zapcore"
)

// message is what a logger was told. The text is escaped and contains the fields; it is
// valid only during the call it is passed to.
type message struct {
	time   time.Time
	level  zapcore.Level
	logger string
	text   []byte
}

// lineWriter takes one line, with its LF, at a time. It must not keep the slice.
type lineWriter interface {
	writeLine(level zapcore.Level, line []byte) error
}

// destination is a place lines go to, shared by all outputs that lead there.
type destination struct {
	name     string
	writer   lineWriter
	queue    *queue       // of one that may take long, so that the others need not wait; nil = none
	failing  atomic.Bool  // the latest write failed
	reported atomic.Int64 // Unix time, in seconds, of the latest report of a failure
}

// reportPeriod is the shortest time between two reports about a destination that works
// for some lines and fails for others.
const reportPeriod = time.Minute

func (d *destination) succeeded() {
	if d.failing.Load() {
		d.failing.Store(false)
	}
}

// failed notes that a write failed and tells whether to report it: only the first failure
// after a success, and not too often.
func (d *destination) failed(at time.Time) bool {
	if !d.failing.CompareAndSwap(false, true) {
		return false
	}
	last, now := d.reported.Load(), at.Unix()
	return now-last >= int64(reportPeriod/time.Second) && d.reported.CompareAndSwap(last, now)
}

// output is a destination and the form in which one logger's messages go there.
type output struct {
	to     *destination
	layout layout
}

func (o output) write(m message) error {
	buf := getBuffer()
	defer putBuffer(buf)
	*buf = append(o.layout(*buf, m), '\n')
	return o.to.writer.writeLine(m.level, *buf)
}

// maxPooled is the largest buffer, in bytes, kept for the next message.
const maxPooled = 64 << 10

var buffers = sync.Pool{New: func() any {
	buf := make([]byte, 0, 512)
	return &buf
}}

func getBuffer() *[]byte {
	return buffers.Get().(*[]byte)
}

func putBuffer(buf *[]byte) {
	if cap(*buf) <= maxPooled {
		*buf = (*buf)[:0]
		buffers.Put(buf)
	}
}
