package logging

import (
	"sync/atomic"

	"go.uber.org/zap/zapcore"
)

// Counts are numbers of messages since the start that reached at least one output, by
// level (operations spec §8.4). They only grow; the figures of an interval are
// differences. Loggers with collect_stats = false are not in them.
type Counts struct {
	Trace uint64
	Info  uint64
	Warn  uint64
	Error uint64
	Fatal uint64

	Suppressed uint64 // not logged, because there were many of their kind: see Limited
	Dropped    uint64 // not written, because they came faster than that was possible; one for each destination
}

// Counts reads the counters; each is exact, together they are not one moment's.
func (l *Logs) Counts() Counts {
	return l.counters.read()
}

type counters struct {
	trace, info, warn, error, fatal atomic.Uint64
	suppressed, dropped             atomic.Uint64
}

func (c *counters) read() Counts {
	return Counts{
		Trace: c.trace.Load(),
		Info:  c.info.Load(),
		Warn:  c.warn.Load(),
		Error: c.error.Load(),
		Fatal: c.fatal.Load(),

		Suppressed: c.suppressed.Load(),
		Dropped:    c.dropped.Load(),
	}
}

func (c *counters) count(level zapcore.Level) {
	switch level {
	case zapcore.DebugLevel:
		c.trace.Add(1)
	case zapcore.InfoLevel:
		c.info.Add(1)
	case zapcore.WarnLevel:
		c.warn.Add(1)
	case zapcore.ErrorLevel:
		c.error.Add(1)
	default:
		c.fatal.Add(1)
	}
}
