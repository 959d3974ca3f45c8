package logging

import (
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Limited logs a message that others can provoke as often as they like, such as
// "connection limit reached": at most once a period, with the number of those left out
// since the previous line. One Limited belongs to one place in the code. A message whose
// level is off does not use up the period.
type Limited struct {
	log    *zap.Logger
	period time.Duration
	now    func() time.Time

	mu         sync.Mutex
	next       time.Time // earliest time of the next line
	suppressed uint64
}

// NewLimited limits what goes to log to one line a period.
func NewLimited(log *zap.Logger, period time.Duration) *Limited {
	return &Limited{log: log, period: period, now: time.Now}
}

// Log logs the message or counts it. A line that stands for more than itself ends with
// suppressed=N.
func (l *Limited) Log(level zapcore.Level, message string, fields ...zap.Field) {
	if !l.log.Core().Enabled(level) {
		return
	}
	suppressed, due := l.take()
	if !due {
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
	now := l.now()
	if now.Before(l.next) {
		l.suppressed++
		return 0, false
	}
	suppressed, l.suppressed = l.suppressed, 0
	l.next = now.Add(l.period)
	return suppressed, true
}
