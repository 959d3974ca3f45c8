package pages

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/figures"
)

// queueColumns are those of the table of queues.
var queueColumns = []column[Queue]{
	{"name", "Queue", "", func(a, b *Queue) int { return cmp.Compare(a.Channel, b.Channel) }, false},
	{"fullness", "Fullness", "full", func(a, b *Queue) int { return cmp.Compare(load(a), load(b)) }, true},
	{"trend", "Last 5 min", "wide", func(a, b *Queue) int { return cmp.Compare(growth(a), growth(b)) }, true},
	{"records", "Records", "", func(a, b *Queue) int { return cmp.Compare(a.Records, b.Records) }, true},
	{"overflow", "Overflow", "", func(a, b *Queue) int { return cmp.Compare(a.Spilled.Records, b.Spilled.Records) }, true},
	{"in", "In/s", "", func(a, b *Queue) int { return cmp.Compare(a.In, b.In) }, true},
	{"out", "Out/s", "", func(a, b *Queue) int { return cmp.Compare(a.Out, b.Out) }, true},
	{"oldest", "Oldest", "", func(a, b *Queue) int { return cmp.Compare(a.OldestSeconds, b.OldestSeconds) }, true},
	{"latency", "Latency", "", func(a, b *Queue) int { return cmp.Compare(a.Latency, b.Latency) }, true},
	{"unconfirmed", "Unconfirmed", "", func(a, b *Queue) int { return cmp.Compare(a.Unconfirmed.Records, b.Unconfirmed.Records) }, true},
	{"consumers", "Consumers", "", func(a, b *Queue) int { return cmp.Compare(a.Consumers, b.Consumers) }, true},
}

// load is the size of what a queue holds, relative to its room in memory; among those without any
// load, the ones with records are first.
func load(q *Queue) float64 {
	return float64(q.Used+q.Spilled.Bytes) / float64(max(1, q.Capacity))
}

// growth is how much fuller a queue has become.
func growth(q *Queue) int {
	if len(q.Fullness) == 0 {
		return 0
	}
	return int(q.Fullness[len(q.Fullness)-1]) - int(q.Fullness[0])
}

// alone tells that a subscriber collects records while nobody consumes them.
func alone(q *Queue) bool { return q.Subscribed && q.Records > 0 && q.Consumers == 0 }

// paused tells that a queue hands out nothing.
func paused(q *Queue) bool { return q.Paused }

// kinds are those of which a list can show only some.
var kinds = map[string]func(*Queue) bool{"alone": alone, "paused": paused}

// keep leaves the queues of a kind in a list.
func keep(all []Queue, kind string) []Queue {
	is := kinds[kind]
	if is == nil {
		return all
	}
	return slices.DeleteFunc(all, func(q Queue) bool { return !is(&q) })
}

// listQueues returns the queues that a request wants to see, and how many there are of each kind.
func listQueues(r *http.Request, all []Queue) (l list, shown []Queue, counts map[string]int, err error) {
	l, err = newList(r, queueColumns, "fullness", true)
	if err != nil {
		return l, nil, nil, err
	}
	counts = make(map[string]int)
	for i := range all {
		for kind, is := range kinds {
			if is(&all[i]) {
				counts[kind]++
			}
		}
	}
	total := len(all)
	shown = of(&l, keep(all, l.only), queueColumns, func(q *Queue) string { return q.Name })
	l.Total = total
	return l, shown, counts, nil
}

// queueView is a queue as it is shown.
type queueView struct {
	Link                string
	Channel, Subscriber string
	Default             bool   // it is that of the subscriber with the empty name
	Percent             int    // of the room in memory: the bar
	Full                string // the same in words
	Level               string // class: calm, high or full
	Alone, Paused       bool
	Trend, TrendArea    string // SVG path data of the fullness
	Records             string
	Bytes               string // "" for none
	Overflow            string // records; "" for none
	Unconfirmed         string // records; "" for none
	UnconfirmedAge      string // "" if it is not known
	In, Out             string // a second
	Oldest              string // age; "" if there is none
	Latency             string // "" if none was measured
	Waiting, Consumers  int
}

func viewQueue(q *Queue) queueView {
	fullness := fullness(q)
	v := queueView{
		Link:    "queue?" + url.Values{"name": {q.Name}}.Encode(),
		Channel: q.Channel, Subscriber: q.Subscriber, Default: q.Subscribed && q.Subscriber == "",
		Percent: int(100 * min(1, fullness)), Full: figures.Percent(fullness),
		Level: "calm", Alone: alone(q), Paused: q.Paused,
		Records: figures.Count(q.Records),
		In:      figures.Rate(q.In), Out: figures.Rate(q.Out),
		Waiting: q.Waiting, Consumers: q.Consumers,
	}
	if q.Records > 0 {
		v.Bytes = figures.Size(q.Used + q.Spilled.Bytes)
	}
	switch {
	case q.Spilled.Records > 0:
		v.Level, v.Overflow = "full", figures.Count(q.Spilled.Records)
	case v.Percent >= 75:
		v.Level = "high"
	}
	if q.Unconfirmed.Records > 0 {
		v.Unconfirmed = figures.Count(q.Unconfirmed.Records)
		if q.UnconfirmedSeconds > 0 {
			v.UnconfirmedAge = since(q.UnconfirmedSeconds)
		}
	}
	if q.OldestSeconds > 0 {
		v.Oldest = since(q.OldestSeconds)
	}
	if q.Latency > 0 {
		v.Latency = duration(q.Latency)
	}
	var values []float64
	for _, percent := range q.Fullness {
		values = append(values, float64(percent))
	}
	v.Trend, v.TrendArea = path(values, trendPoints, trendWidth, trendHeight, 100)
	return v
}

// The box of a queue's trend, and the points of five minutes in it.
const (
	trendWidth  = 100
	trendHeight = 24
	trendPoints = 60
)

// fullness is the part of a queue's room in memory that is taken.
func fullness(q *Queue) float64 {
	switch {
	case q.Records == 0:
		return 0
	case q.Capacity == 0:
		return 1
	}
	return float64(q.Used) / float64(q.Capacity)
}

func since(seconds float64) string {
	return figures.Age(time.Duration(seconds * float64(time.Second)))
}
