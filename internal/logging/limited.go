package logging

import (
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Limited logs a message that others can provoke as often as they like, such as
// "connection limit reached": at most a number of times in a period, with the number of those
// left out since the previous line. One Limited belongs to one kind of message. A message whose
// level is off does not use up the period.
type Limited struct {
	log    *zap.Logger
	lines  int
	period time.Duration
	now    func() time.Time

	mu         sync.Mutex
	next       time.Time // when the next period may begin
	left       int       // lines of the period
	suppressed uint64
}

// NewLimited limits what goes to log to one line a period.
func NewLimited(log *zap.Logger, period time.Duration) *Limited { return NewLimitedTo(1, log, period) }

// NewLimitedTo limits what goes to log to so many lines a period.
func NewLimitedTo(lines int, log *zap.Logger, period time.Duration) *Limited {
	return &Limited{log: log, lines: lines, period: period, now: time.Now}
}

// Log logs the message or counts it. A line that stands for more than itself ends with
// suppressed=N.
func (l *Limited) Log(level zapcore.Level, message string, fields ...zap.Field) {
	if !l.log.Core().Enabled(level) {
		return
	}
	suppressed, due := l.take()
	if !due {
		if c, ok := l.log.Core().(*core); ok {
			c.logs.counters.suppressed.Add(1)
		}
		return
	}
	if suppressed > 0 {
		fields = append(fields[:len(fields):len(fields)], zap.Uint64("suppressed", suppressed))
	}
	l.log.Log(level, message, fields...)
}

func (l *Limited) take() (suppressed uint64, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := l.now(); !now.Before(l.next) {
		l.next, l.left = now.Add(l.period), l.lines
	}
	if l.left == 0 {
		l.suppressed++
		return 0, false
	}
	l.left--
	suppressed, l.suppressed = l.suppressed, 0
	return suppressed, true
}
