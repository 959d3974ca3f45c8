package stats

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/internal/logging"
	"github.com/sociomantic-tsunami/dmqnode/internal/storage"
)

// Sources are what the lines of stats.log are made of. The functions are called from a
// goroutine of the Log.
type Sources struct {
	Legacy            *Legacy
	Neo               *Neo
	Channels          *storage.Channels
	LegacyConnections func() Connections
	NeoConnections    func() Connections
	Traffic           func() (received, sent uint64) // bytes of both protocols
	Logged            func() logging.Counts
	Log               *zap.Logger // ocean.sys.Stats: what is wrong
}

// Log writes a line to stats.log at every multiple of an interval of the clock.
type Log struct {
	sources  Sources
	file     *logging.File
	requests []named
	before   snapshot

	stop chan struct{}
	done sync.WaitGroup
}

// Start starts writing lines to file.
func Start(s Sources, file *logging.File, interval time.Duration) *Log {
	l := &Log{sources: s, file: file, stop: make(chan struct{})}
	// In the order of the original's lines.
	l.requests = []named{
		{key: "request/Produce", requests: &s.Legacy.Produce, timed: true},
		{key: "request/Consume", requests: &s.Legacy.Consume, timed: true},
		{key: "request/PushMulti", requests: &s.Legacy.PushMulti, timed: true},
		{key: "request/ProduceMulti", requests: &s.Legacy.ProduceMulti, timed: true},
		{key: "request/Push", requests: &s.Legacy.Push, timed: true},
		{key: "request/Pop", requests: &s.Legacy.Pop, timed: true},
		{key: "neo_request/push", requests: &s.Neo.Push, timed: true},
		{key: "neo_request/consume", requests: &s.Neo.Consume},
		{key: "neo_request/pop", requests: &s.Neo.Pop, timed: true},
	}
	l.before = l.snapshot()
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
			return
		case at := <-timer.C:
			now := l.snapshot()
			l.file.WriteLine(at, now.text(&l.before, l.requests))
			l.before = now
		}
	}
}

// untilNext is the time to the next multiple of the interval since 1970. On a multiple
// that is a whole interval.
func untilNext(now time.Time, interval time.Duration) time.Duration {
	return interval - time.Duration(now.UnixNano()%int64(interval))
}

func (l *Log) snapshot() snapshot {
	s := snapshot{at: time.Now()}
	var err error
	if s.process, err = readProcess(); err != nil {
		l.sources.Log.Error("the figures of this process cannot be read", zap.Error(err))
	}
	s.received, s.sent = l.sources.Traffic()
	s.legacy, s.neo = l.sources.LegacyConnections(), l.sources.NeoConnections()
	s.pushed, s.popped = l.sources.Channels.Removed()
	s.storages = l.sources.Channels.Figures()
	for _, f := range s.storages {
		s.pushed = sum(s.pushed, f.Pushed)
		s.popped = sum(s.popped, f.Popped)
	}
	// What a channel counted that was removed just now comes with the next line.
	s.pushed = atLeast(s.pushed, l.before.pushed)
	s.popped = atLeast(s.popped, l.before.popped)
	for _, r := range l.requests {
		s.requests = append(s.requests, r.requests.read())
		s.most = append(s.most, r.requests.takeMost())
	}
	s.logged = l.sources.Logged()
	return s
}

func sum(a, b storage.Moved) storage.Moved {
	return storage.Moved{Records: a.Records + b.Records, Bytes: a.Bytes + b.Bytes}
}

func atLeast(a, b storage.Moved) storage.Moved {
	return storage.Moved{Records: max(a.Records, b.Records), Bytes: max(a.Bytes, b.Bytes)}
}
