package stats

import (
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/logging"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// Sources are where the figures come from. The functions may be called from any goroutine.
type Sources struct {
	Legacy            *Legacy
	Neo               *Neo
	Channels          *storage.Channels
	LegacyConnections func() Connections
	NeoConnections    func() Connections
	Budgets           func() Budgets
	Traffic           func() (received, sent uint64) // bytes of both protocols
	Logged            func() logging.Counts
	Logs              func(logger string) *zap.Logger // for what is wrong

	// MemoryRing is the size of a ring, if rings are in memory and not in files, else 0.
	MemoryRing uint64
}

// Log writes a line to stats.log at every multiple of an interval of the clock.
type Log struct {
	sources  Sources
	file     *logging.File
	collectd *Collectd // or nil
	requests []named
	before   snapshot

	processErrors, collectdErrors *logging.Limited
	tooMuch                       bool // rings, as has been told

	stop chan struct{}
	done sync.WaitGroup
}

// errorPeriod is the shortest time between two messages about the same source or
// destination of figures. Most such errors come again with every line.
const errorPeriod = 10 * time.Minute

// Start starts writing lines to file, and to collectd unless that is nil. The Log closes
// collectd when it is stopped.
func Start(s Sources, file *logging.File, collectd *Collectd, interval time.Duration) *Log {
	l := &Log{
		sources:        s,
		file:           file,
		collectd:       collectd,
		processErrors:  logging.NewLimited(s.Logs("ocean.sys.Stats"), errorPeriod),
		collectdErrors: logging.NewLimited(s.Logs("ocean.util.log.Stats.StatsLog"), errorPeriod),
		stop:           make(chan struct{}),
	}
	l.requests = s.requests()
	l.before = l.snapshot()
	l.checkMemory(&l.before)
	l.before.logged = logging.Counts{} // the first line tells of the start, too
	l.done.Go(func() { l.run(interval) })
	return l
}

// Stop ends writing; no line is written any more.
func (l *Log) Stop() {
	close(l.stop)
	l.done.Wait()
}

func (l *Log) run(interval time.Duration) {
	for {
		timer := time.NewTimer(untilNext(time.Now(), interval))
		select {
		case <-l.stop:
			timer.Stop()
			if l.collectd != nil {
				l.collectd.Close()
			}
			return
		case at := <-timer.C:
			now := l.snapshot()
			l.checkMemory(&now)
			l.write(at, now.line(&l.before, l.requests))
			l.before = now
		}
	}
}

func (l *Log) write(at time.Time, line *line) {
	l.file.WriteLine(at, string(line.text))
	if l.collectd == nil {
		return
	}
	if err := l.collectd.send(at, line); err != nil {
		l.collectdErrors.Log(zapcore.ErrorLevel, "sending to collectd failed", zap.Error(err))
	}
}

// checkMemory warns of rings in memory that cannot be filled: the kernel kills a process that uses
// more memory than it may, without a word.
func (l *Log) checkMemory(now *snapshot) {
	rings := l.sources.MemoryRing
	if rings == 0 || now.Process.Limit == 0 {
		return
	}
	sum := uint64(0)
	for i := range now.Storages {
		sum += now.Storages[i].Capacity
	}
	rings = max(rings, sum)
	tooMuch := rings > now.Process.Limit
	if tooMuch && !l.tooMuch {
		l.sources.Logs("dmqnode.main").Warn("rings are in memory and need more of it, when they are full, than the node may use, which would then be killed: "+
			"make channel_size_limit smaller, allow the node more memory, or set [Storage] ring = file",
			zap.Uint64("rings", rings), zap.Uint64("memory", now.Process.Limit), zap.Bool("control_group", now.Process.Limited()))
	}
	l.tooMuch = tooMuch
}

// earliness is how much before its time a timer may fire, because the clock was set back a
// little, and still count as the one that was due.
const earliness = 100 * time.Millisecond

// untilNext is the time to the next multiple of the interval since 1970. On a multiple
// that is a whole interval.
func untilNext(now time.Time, interval time.Duration) time.Duration {
	wait := interval - time.Duration(now.UnixNano()%int64(interval))
	if wait <= earliness {
		wait += interval
	}
	return wait
}

func (l *Log) snapshot() (s snapshot) {
	var err error
	if s.Reading, err = l.sources.Read(); err != nil {
		l.processErrors.Log(zapcore.ErrorLevel, "the figures of this process cannot be read", zap.Error(err))
	}
	// What a channel has counted that was removed during Read comes with the next line.
	s.Counters = s.AtLeast(l.before.Counters)
	for _, r := range l.requests {
		s.requests = append(s.requests, r.requests.read())
		s.most = append(s.most, r.requests.takeMost())
	}
	s.logged = l.sources.Logged()
	return s
}
