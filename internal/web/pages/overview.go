package pages

import (
	"net/http"
	"strings"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/figures"
)

// overview is the view of the first page.
type overview struct {
	*frame
	Tiles    []tile
	Charts   []chart
	Nodes    []memberView
	List     *list
	Heads    []head
	Queues   []queueView
	Alone    int // queues that collect while nobody consumes
	Paused   int
	Requests []requestView
	Buckets  []bucketView // what the colours mean
}

// tile is one figure, and a few words on it.
type tile struct{ Label, Value, Note string }

func (p *pages) overview(r *http.Request, f *frame) (string, any, error) {
	n, err := p.source.Node(r.Context())
	if err != nil {
		return "", nil, err
	}
	all, err := p.source.Queues(r.Context())
	if err != nil {
		return "", nil, err
	}
	l, shown, counts, err := listQueues(r, all)
	if err != nil {
		return "", nil, err
	}
	f.of(n)
	f.Section = "overview"
	v := &overview{frame: f, Tiles: tiles(n), Charts: nodeCharts(n), List: &l, Heads: heads(&l, queueColumns),
		Alone: counts["alone"], Paused: counts["paused"]}
	for i := range shown {
		v.Queues = append(v.Queues, viewQueue(&shown[i]))
	}
	for i := range n.Nodes {
		v.Nodes = append(v.Nodes, viewMember(&n.Nodes[i]))
	}
	for i := range n.Requests {
		v.Requests = append(v.Requests, viewRequest(&n.Requests[i]))
	}
	for i, text := range bucketTexts {
		v.Buckets = append(v.Buckets, bucketView{bucketClass(i), text})
	}
	return "overview.html", v, nil
}

// of fills in what the node tells.
func (f *frame) of(n *Node) {
	f.Host, f.Problem, f.Whole = n.Host, n.Problem, len(n.Nodes) > 0
	f.At = n.Time.Format("2006-01-02 15:04:05")
	if !n.Started.IsZero() {
		f.Facts = append(f.Facts, "up "+figures.Age(n.Time.Sub(n.Started)))
	}
	if n.Version != "" {
		f.Facts = append(f.Facts, n.Version)
	}
}

const chartSpan = 5 * time.Minute

func nodeCharts(n *Node) []chart {
	get := func(name, class string, value func(*Rates) float64) series {
		one := series{name: name, class: class}
		for i := range n.Rates {
			one.values = append(one.values, value(&n.Rates[i]))
		}
		return one
	}
	return []chart{
		newChart("records", "Records", rate, chartSpan, 300,
			get("pushed", "in", func(r *Rates) float64 { return r.Pushed }),
			get("delivered", "out", func(r *Rates) float64 { return r.Delivered })),
		newChart("network", "Network", traffic, chartSpan, 300,
			get("received", "in", func(r *Rates) float64 { return r.Received }),
			get("sent", "out", func(r *Rates) float64 { return r.Sent })),
	}
}

func tiles(n *Node) []tile {
	age := tile{"Oldest record", "–", ""}
	if n.OldestQueue != "" {
		age = tile{"Oldest record", since(n.Oldest), "in " + n.OldestQueue}
	}
	memory := tile{"Memory", "–", "not known"}
	if n.MemoryLimit > 0 {
		of := "the machine's"
		if n.Limited {
			of = "the control group's"
		}
		memory = tile{"Memory", figures.Size(n.Memory),
			figures.Percent(float64(n.Memory)/float64(n.MemoryLimit)) + " of " + of + " " + figures.Size(n.MemoryLimit)}
	}
	var open, refused uint64
	var ports []string
	limit := uint64(0)
	for _, c := range n.Connections {
		open += uint64(c.Open)
		refused += uint64(c.Refused)
		ports = append(ports, figures.Count(uint64(c.Open))+" "+c.Protocol)
		limit = max(limit, c.Limit)
	}
	return []tile{
		{"Records", figures.Count(n.Records), figures.Size(n.Bytes) + " in all queues"},
		{"In the overflow", figures.Count(n.Spilled.Records), figures.Size(n.Spilled.Bytes) + " on the disk"},
		age,
		{"Redelivered", figures.Count(n.Redelivered), "of " + figures.Count(n.HandedOut) + " handed out"},
		{"Connections", figures.Count(open), strings.Join(ports, ", ")},
		{"Refused", figures.Count(refused), limitNote(limit)},
		refusedPushes(n.Refused),
		memory,
		{"CPU", figures.Percent(n.CPU / 100), "of one core"},
		{"Queues", figures.Count(uint64(n.Queues)), queueNote(n.QueueLimit)},
	}
}

// refusedPushes tells the reason for which most pushes were refused.
func refusedPushes(refused []Refused) tile {
	var sum uint64
	most := Refused{}
	for _, r := range refused {
		sum += r.Pushes
		if r.Pushes > most.Pushes {
			most = r
		}
	}
	if sum == 0 {
		return tile{"Refused pushes", "0", "none so far"}
	}
	return tile{"Refused pushes", figures.Count(sum), figures.Count(most.Pushes) + " for: " + most.Reason}
}

func limitNote(limit uint64) string {
	if limit == 0 {
		return "no limit of connections"
	}
	return "limit " + figures.Count(limit) + " a port"
}

func queueNote(limit int) string {
	if limit == 0 {
		return "no limit"
	}
	return "limit " + figures.Count(uint64(limit))
}

// memberView is a node of a DMQ as it is shown.
type memberView struct {
	Address, Error                        string
	Up, Version, Problem                  string
	Records, Bytes, Overflow, Connections string
	In, Out, Memory                       string
}

func viewMember(m *Member) memberView {
	v := memberView{Address: m.Address, Error: m.Error}
	if m.Node == nil {
		return v
	}
	v.Up, v.Version, v.Problem = figures.Age(m.Time.Sub(m.Started)), m.Version, m.Problem
	v.Records, v.Bytes, v.Overflow = figures.Count(m.Records), figures.Size(m.Bytes), figures.Count(m.Spilled.Records)
	v.Memory = figures.Size(m.Memory)
	var open uint64
	for _, c := range m.Node.Connections {
		open += uint64(c.Open)
	}
	v.Connections = figures.Count(open)
	if n := len(m.Rates); n > 0 {
		v.In, v.Out = figures.Rate(m.Rates[n-1].Pushed), figures.Rate(m.Rates[n-1].Delivered)
	}
	return v
}

// requestView is a kind of requests as it is shown.
type requestView struct {
	*Request
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

func viewRequest(r *Request) requestView {
	v := requestView{Request: r, Handled: figures.Count(r.Handled)}
	if r.Timed == 0 {
		return v
	}
	v.Mean = duration(r.Seconds / float64(r.Timed))
	from := 0.0
	for i, n := range r.Buckets {
		if n == 0 || i >= len(bucketTexts) {
			continue
		}
		width := 100 * float64(n) / float64(r.Timed)
		v.Segments = append(v.Segments, segment{bucketClass(i), from, width, bucketTexts[i] + ": " + figures.Count(n)})
		from += width
	}
	return v
}

func bucketClass(i int) string { return "b" + string(rune('0'+i)) }
