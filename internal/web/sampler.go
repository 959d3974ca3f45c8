package web

import (
	"sync"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/figures"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/web/pages"
)

const (
	period = time.Second // of sampling

	chartPoints = 300 // of the node, one a period

	trendStep   = 5 // periods between two points of a queue's fullness
	trendPoints = chartPoints / trendStep

	// smoothing is the weight of the newest rate of a queue: an average of some 5 periods.
	smoothing = 1.0 / 3
)

// sampler looks at the figures once a period. It keeps what the page shows of the past, and
// marks the records that have come, for their ages.
type sampler struct {
	sources *stats.Sources
	quit    chan struct{}
	done    sync.WaitGroup

	mu     sync.Mutex
	now    stats.Reading // the newest sample
	rates  trail[pages.Rates]
	cpu    float64 // percent of one CPU, in the last period
	queues map[queueKey]*trend
	kept   int // queues that have a history
	ticks  int
}

type queueKey struct{ channel, subscriber string }

// trend is what the sampler remembers of a queue.
type trend struct {
	before   storage.Counters
	in, out  float64 // records a second, smoothed
	fullness trail[uint8]
	history  *history // nil as long as nothing has happened, or if there are too many
	tick     int      // when it was last seen
}

// trail is the newest values of something, up to a number.
type trail[T any] struct {
	values []T
	next   int // the place of the next one, once all are taken
}

func (t *trail[T]) add(v T, most int) {
	if len(t.values) < most {
		t.values = append(t.values, v)
		return
	}
	t.values[t.next] = v
	t.next = (t.next + 1) % most
}

// all returns the values, oldest first.
func (t *trail[T]) all() []T {
	return append(append([]T(nil), t.values[t.next:]...), t.values[:t.next]...)
}

func startSampler(sources *stats.Sources) *sampler {
	s := &sampler{sources: sources, quit: make(chan struct{}), queues: make(map[queueKey]*trend)}
	s.sample()
	s.done.Go(s.run)
	return s
}

func (s *sampler) stop() {
	if s == nil {
		return
	}
	close(s.quit)
	s.done.Wait()
}

func (s *sampler) run() {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		select {
		case <-s.quit:
			return
		case <-ticker.C:
			s.sample()
		}
	}
}

func (s *sampler) sample() {
	s.sources.Channels.Mark(time.Now())
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.now
	s.now, _ = s.sources.ReadInto(before.Storages) // stats.log tells what is wrong
	s.ticks++
	if s.ticks > 1 {
		s.now.Counters = s.now.AtLeast(before.Counters)
		s.compare(before)
	}
	s.follow(s.now.At.Sub(before.At))
}

// compare notes what has happened to the node since the sample before.
func (s *sampler) compare(before stats.Reading) {
	now := &s.now
	took := now.At.Sub(before.At)
	s.rates.add(pages.Rates{
		Pushed:    figures.PerSecond(before.Pushed.Records, now.Pushed.Records, took),
		Delivered: figures.PerSecond(before.Delivered.Records, now.Delivered.Records, took),
		Received:  figures.PerSecond(before.Received, now.Received, took),
		Sent:      figures.PerSecond(before.Sent, now.Sent, took),
	}, chartPoints)
	used := now.Process.User + now.Process.System - before.Process.User - before.Process.System
	s.cpu = 100 * used.Seconds() / took.Seconds()
}

// follow notes what has happened to each queue, and forgets those that are gone.
func (s *sampler) follow(took time.Duration) {
	for i := range s.now.Storages {
		f := &s.now.Storages[i]
		t := s.queues[queueKey{f.Channel, f.Subscriber}]
		if t == nil || f.Pushed.Records < t.before.Pushed.Records {
			t = &trend{before: f.Counters}
			s.queues[queueKey{f.Channel, f.Subscriber}] = t
		}
		in := figures.PerSecond(t.before.Pushed.Records, f.Pushed.Records, took)
		out := figures.PerSecond(t.before.Delivered.Records, f.Delivered.Records, took)
		t.in += smoothing * (in - t.in)
		t.out += smoothing * (out - t.out)
		s.remember(t, f, in, out)
		t.before, t.tick = f.Counters, s.ticks
		if s.ticks%trendStep == 1 {
			t.fullness.add(uint8(100*stats.Fullness(f)), trendPoints)
		}
	}
	if len(s.queues) > len(s.now.Storages) {
		for key, t := range s.queues {
			if t.tick < s.ticks {
				delete(s.queues, key)
				if t.history != nil {
					s.kept--
				}
			}
		}
	}
}
