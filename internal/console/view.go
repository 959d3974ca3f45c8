package console

import (
	"cmp"
	"slices"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/figures"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// view is what there is to show of a reading, and what has changed since earlier ones.
type view struct {
	stats.Reading
	in, out float64 // records pushed and popped per second
	queues  []queue // the fullest first
}

// queue is a storage.
type queue struct {
	name    string
	in, out float64 // records per second
	storage.Figures
	unconfirmed time.Duration // age of the oldest of these records; 0 = not known
}

// rates keeps the readings that rates are made of.
type rates struct {
	history []stats.Reading // of the latest seconds, oldest first
	before  map[string]storage.Figures
}

// average is the number of periods over which the rates of the node are averaged.
const average = 5

// view compares a reading to the earlier ones.
func (r *rates) view(now stats.Reading) *view {
	v := &view{Reading: now}
	if len(r.history) > 0 {
		oldest, newest := r.history[0], r.history[len(r.history)-1]
		// A reading may miss a channel that is removed meanwhile; the next one has it.
		v.Counters = v.AtLeast(newest.Counters)
		took := now.At.Sub(oldest.At)
		v.in = figures.PerSecond(oldest.Pushed.Records, v.Pushed.Records, took)
		v.out = figures.PerSecond(oldest.Popped.Records, v.Popped.Records, took)
	}
	v.queues = r.queues(now)
	r.history = append(r.history, stats.Reading{At: now.At, Counters: v.Counters})
	r.history = r.history[max(0, len(r.history)-average):]
	return v
}

func (r *rates) queues(now stats.Reading) (all []queue) {
	var took time.Duration
	if len(r.history) > 0 {
		took = now.At.Sub(r.history[len(r.history)-1].At)
	}
	known := make(map[string]storage.Figures, len(now.Storages))
	for _, f := range now.Storages {
		q := queue{name: f.Channel, Figures: f, unconfirmed: now.UnconfirmedAge(&f)}
		if f.Subscriber != "" {
			q.name = names.Storage(f.Subscriber, f.Channel, true)
		}
		if before, found := r.before[q.name]; found {
			q.in = figures.PerSecond(before.Pushed.Records, f.Pushed.Records, took)
			q.out = figures.PerSecond(before.Popped.Records, f.Popped.Records, took)
		}
		known[q.name] = f
		all = append(all, q)
	}
	r.before = known
	slices.SortStableFunc(all, func(a, b queue) int {
		return cmp.Or(
			cmp.Compare(b.fullness(), a.fullness()),
			cmp.Compare(b.OverflowBytes, a.OverflowBytes),
			cmp.Compare(a.name, b.name))
	})
	return all
}

// fullness is the share of the ring that is in use.
func (q *queue) fullness() float64 { return stats.Fullness(&q.Figures) }
