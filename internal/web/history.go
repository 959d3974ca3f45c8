package web

import (
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/web/pages"
)

// history is what a queue was like: five minutes, an hour and a day, in ever larger steps. Each
// step is made of some of those before it.
type history [3]level

// levels are the steps of a history: of how many of those before they are made, periods first, and
// how many are kept.
var levels = [3]struct{ of, kept int }{{5, 60}, {12, 60}, {15, 96}}

// mostHistories bounds the memory that histories take, which is 4.3 KB each: queues that are made when
// there are so many have none.
const mostHistories = 10_000

// level is the newest points of a step, and the one that is being made.
type level struct {
	points trail[pages.Point]
	next   pages.Point
	parts  int // that are in it
}

// add adds a point of the smallest step.
func (h *history) add(p pages.Point) {
	for i := range h {
		l := &h[i]
		l.next.In += p.In
		l.next.Out += p.Out
		l.next.Records = max(l.next.Records, p.Records)
		l.next.Oldest = max(l.next.Oldest, p.Oldest)
		l.next.Latency = max(l.next.Latency, p.Latency)
		if l.parts++; l.parts < levels[i].of {
			return
		}
		p = l.unfinished()
		l.points.add(p, levels[i].kept)
		l.next, l.parts = pages.Point{}, 0
	}
}

// unfinished is the point that is being made.
func (l *level) unfinished() pages.Point {
	p := l.next
	p.In /= float32(l.parts)
	p.Out /= float32(l.parts)
	return p
}

// all returns what is known of a queue.
func (h *history) all() (all []pages.History) {
	step := period
	for i := range h {
		step *= time.Duration(levels[i].of)
		span := step * time.Duration(levels[i].kept)
		points := h[i].points.all()
		if h[i].parts > 0 {
			points = append(points[max(0, len(points)+1-levels[i].kept):], h[i].unfinished())
		}
		all = append(all, pages.History{Span: int(span.Seconds()), Step: int(step.Seconds()), Points: append([]pages.Point{}, points...)})
	}
	return all
}

// remember notes what has happened to a queue in the last period.
func (s *sampler) remember(t *trend, f *storage.Figures, in, out float64) {
	p := pages.Point{
		In: float32(in), Out: float32(out),
		Records: float32(f.MemoryRecords + f.OverflowRecords),
		Latency: float32(f.Latency.Seconds()),
	}
	if !f.Oldest.IsZero() {
		p.Oldest = float32(max(0, s.now.At.Sub(f.Oldest).Seconds()))
	}
	if f.Delivered.Records == t.before.Delivered.Records {
		p.Latency = 0 // that was measured before
	}
	if t.history == nil {
		if p == (pages.Point{}) || s.kept >= mostHistories {
			return
		}
		t.history = new(history)
		s.kept++
	}
	t.history.add(p)
}
