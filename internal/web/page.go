package web

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed" // the page
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/figures"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

var (
	//go:embed page/page.html
	pageText string
	//go:embed page/page.css
	pageStyle string
	//go:embed page/page.js
	pageScript string

	page = template.Must(template.New("page").Parse(pageText))

	// pagePolicy lets the browser use what is in the page, and nothing else.
	pagePolicy = "default-src 'none'; connect-src 'self'; style-src " + hash(pageStyle) + "; script-src " + hash(pageScript) +
		"; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// mostQueues is how many queues the page shows: the fullest.
const mostQueues = 50

// statusPage is the handler of the page. The script in it gets the page again every now and
// then and puts the new figures in the place of the old ones.
type statusPage struct {
	sampler *sampler
	sources *stats.Sources
	build   Build
	started time.Time
}

func (p *statusPage) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	var text bytes.Buffer
	if err := page.Execute(&text, p.view()); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Referrer-Policy", "no-referrer")
	w.Write(text.Bytes())
}

// view is what the page shows.
type view struct {
	Style    template.CSS
	Script   template.JS
	Host     string
	Build    Build
	Up, Time string

	Tiles    []tile
	Charts   []chart
	Queues   []queueView // the fullest
	Total    int         // queues
	Requests []requestView
	Buckets  []bucketView // what the colours mean
}

// tile is one figure, and a few words on it.
type tile struct{ Label, Value, Note string }

// queueView is a queue as it is shown.
type queueView struct {
	Channel, Subscriber string
	Percent             int    // of the room in memory: the bar
	Full                string // the same in words
	Level               string // class: calm, high or full
	Trend, TrendArea    string // SVG path data of the fullness
	Records             string
	Bytes               string // "" for none
	Overflow            string // records; "" for none
	Unconfirmed         string // records; "" for none
	UnconfirmedAge      string // "" if it is not known
	In, Out             string // a second
	Oldest              string // age; "" if there is none
	Waiting, Consumers  int
}

// requestView is a kind of requests as it is shown.
type requestView struct {
	stats.RequestReading
	Handled  string
	Mean     string // "" if there is none
	Segments []segment
}

// segment is the part of the requests in a bucket, in percent of a bar.
type segment struct {
	Class       string
	From, Width float64
	Text        string
}

type bucketView struct{ Class, Text string }

var bucketTexts = []string{"10 µs", "100 µs", "1 ms", "10 ms", "100 ms", "longer"}

func (p *statusPage) view() *view {
	s := p.sampler
	s.mu.Lock()
	defer s.mu.Unlock()
	host, _ := os.Hostname()
	v := &view{
		Style: template.CSS(pageStyle), Script: template.JS(pageScript),
		Host: host, Build: p.build,
		Up: figures.Age(s.now.At.Sub(p.started)), Time: s.now.At.Format("2006-01-02 15:04:05"),
		Charts: s.charts(),
		Total:  len(s.now.Storages),
	}
	v.Tiles = s.tiles()
	for _, f := range fullest(s.now.Storages, mostQueues) {
		v.Queues = append(v.Queues, s.viewQueue(f))
	}
	for _, r := range p.sources.ReadRequests() {
		v.Requests = append(v.Requests, viewRequest(r))
	}
	for i, text := range bucketTexts {
		v.Buckets = append(v.Buckets, bucketView{bucketClass(i), text})
	}
	return v
}

func (s *sampler) charts() []chart {
	all := s.rates.all()
	get := func(name, class string, value func(rates) float64) series {
		one := series{name: name, class: class}
		for _, r := range all {
			one.values = append(one.values, value(r))
		}
		return one
	}
	return []chart{
		newChart("records", "Records", decimal,
			get("pushed", "in", func(r rates) float64 { return r.pushed }),
			get("delivered", "out", func(r rates) float64 { return r.delivered })),
		newChart("network", "Network", binary,
			get("received", "in", func(r rates) float64 { return r.received }),
			get("sent", "out", func(r rates) float64 { return r.sent })),
	}
}

func (s *sampler) tiles() []tile {
	now := &s.now
	records, size := now.Stored()
	var overflowed, overflowBytes uint64
	oldest, where := now.At, ""
	for i := range now.Storages {
		f := &now.Storages[i]
		overflowed += f.OverflowRecords
		overflowBytes += f.OverflowBytes
		if !f.Oldest.IsZero() && f.Oldest.Before(oldest) {
			oldest, where = f.Oldest, f.Channel
		}
	}
	age := "–"
	if where != "" {
		age, where = figures.Age(now.At.Sub(oldest)), "in "+where
	}
	memory := tile{"Memory", "–", "not known"}
	if p := now.Process; p.Limit > 0 {
		of := "the machine's"
		if p.Limited() {
			of = "the control group's"
		}
		memory = tile{"Memory", figures.Size(p.RSS), figures.Percent(p.MemoryPercent()/100) + " of " + of + " " + figures.Size(p.Limit)}
	}
	return []tile{
		{"Records", figures.Count(records), figures.Size(size) + " in all queues"},
		{"In the overflow", figures.Count(overflowed), figures.Size(overflowBytes) + " on the disk"},
		{"Oldest record", age, where},
		{"Redelivered", figures.Count(now.Redelivered.Records), "of " + figures.Count(now.Popped.Records) + " handed out"},
		{"Connections", figures.Count(uint64(now.Legacy.Open + now.Neo.Open)),
			figures.Count(uint64(now.Legacy.Open)) + " legacy, " + figures.Count(uint64(now.Neo.Open)) + " neo"},
		{"Refused", figures.Count(uint64(now.Legacy.AllRefused() + now.Neo.AllRefused())), limitNote(now.Legacy.Limit)},
		{"Refused pushes", figures.Count(now.Refused.Sum()), refusedNote(now.Refused)},
		memory,
		{"CPU", figures.Percent(s.cpu / 100), "of one core"},
	}
}

// refusedNote tells the reason for which most pushes were refused.
func refusedNote(refused stats.Refused) string {
	most := 0
	for why, n := range refused {
		if n > refused[most] {
			most = why
		}
	}
	if refused[most] == 0 {
		return "none so far"
	}
	return figures.Count(refused[most]) + " for: " + stats.Refusal(most).String()
}

func limitNote(limit uint32) string {
	if limit == 0 {
		return "no limit of connections"
	}
	return "limit " + figures.Count(uint64(limit)) + " a port"
}

// fullest returns the fullest of the queues, those first. Records in the overflow count, too.
func fullest(all []storage.Figures, most int) []*storage.Figures {
	sorted := make([]*storage.Figures, len(all))
	for i := range all {
		sorted[i] = &all[i]
	}
	slices.SortFunc(sorted, func(a, b *storage.Figures) int {
		return cmp.Or(
			cmp.Compare(load(b), load(a)),
			cmp.Compare(b.MemoryRecords, a.MemoryRecords),
			cmp.Compare(a.Channel, b.Channel),
			cmp.Compare(a.Subscriber, b.Subscriber),
		)
	})
	return sorted[:min(most, len(sorted))]
}

// load is the size of what a queue holds, relative to its room in memory.
func load(f *storage.Figures) float64 {
	return float64(f.MemoryBytes+f.OverflowBytes) / float64(max(1, f.Capacity))
}

func (s *sampler) viewQueue(f *storage.Figures) queueView {
	q := queueView{
		Channel: f.Channel, Subscriber: f.Subscriber,
		Percent: int(100 * stats.Fullness(f)), Full: figures.Percent(stats.Fullness(f)),
		Level:   "calm",
		Records: figures.Count(f.MemoryRecords + f.OverflowRecords),
		Waiting: f.Waiting, Consumers: f.Consumers,
	}
	if f.MemoryRecords+f.OverflowRecords > 0 {
		q.Bytes = figures.Size(f.MemoryBytes + f.OverflowBytes)
	}
	switch {
	case f.OverflowRecords > 0:
		q.Level, q.Overflow = "full", figures.Count(f.OverflowRecords)
	case q.Percent >= 75:
		q.Level = "high"
	}
	if f.Unsettled.Records > 0 {
		q.Unconfirmed = figures.Count(f.Unsettled.Records)
		if !f.UnsettledSince.IsZero() {
			q.UnconfirmedAge = figures.Age(s.now.UnconfirmedAge(f))
		}
	}
	if !f.Oldest.IsZero() {
		q.Oldest = figures.Age(s.now.At.Sub(f.Oldest))
	}
	if t := s.queues[queueKey{f.Channel, f.Subscriber}]; t != nil {
		q.In, q.Out = figures.Rate(t.in), figures.Rate(t.out)
		var values []float64
		for _, v := range t.fullness.all() {
			values = append(values, float64(v))
		}
		q.Trend, q.TrendArea = path(values, trendPoints, trendWidth, trendHeight, 100)
	}
	return q
}

// The box of a queue's trend.
const (
	trendWidth  = 100
	trendHeight = 24
)

func viewRequest(r stats.RequestReading) requestView {
	v := requestView{RequestReading: r, Handled: figures.Count(r.Handled)}
	if r.Timed == 0 {
		return v
	}
	v.Mean = formatShort(r.Took / time.Duration(r.Timed))
	from := 0.0
	for i, n := range r.InBucket {
		if n == 0 {
			continue
		}
		width := 100 * float64(n) / float64(r.Timed)
		v.Segments = append(v.Segments, segment{bucketClass(i), from, width, bucketTexts[i] + ": " + figures.Count(n)})
		from += width
	}
	return v
}

// formatShort tells the time that a request takes.
func formatShort(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%.0f µs", float64(d)/1e3)
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func bucketClass(i int) string { return "b" + string(rune('0'+i)) }
