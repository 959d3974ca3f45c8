package pages

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/admin"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/figures"
)

// queuePage is the view of a queue.
type queuePage struct {
	*frame
	Name     string
	Queue    queueView
	Spans    []spanLink
	Charts   []chart
	Tiles    []tile
	Clients  []clientView
	Nodes    []nodeQueueView
	MayPeek  bool
	Records  []recordView
	Next     string // link to further records
	Previous string
	From     int // of the records, from 1 on
}

// spanLink leads to the page with charts of another time.
type spanLink struct {
	Text, Link string
	Shown      bool
}

type nodeQueueView struct {
	Address string
	queueView
}

// recordView is a record as it is shown.
type recordView struct {
	Number int
	Size   string
	State  string
	Text   string
	Binary bool // the text is hexadecimal
	Cut    bool
}

const (
	usualPeeked = 10
	mostPeeked  = 1000
)

func (p *pages) queue(r *http.Request, f *frame) (string, any, error) {
	name := r.FormValue("name")
	skip, _, err := peekRange(r)
	if err != nil {
		return "", nil, err
	}
	n, err := p.source.Node(r.Context())
	if err != nil {
		return "", nil, err
	}
	d, err := p.source.Queue(r.Context(), name)
	if err != nil {
		return "", nil, fmt.Errorf("queue %q: %w", name, err)
	}
	var records []admin.Record
	mayPeek := p.mayPeek(r)
	if mayPeek {
		records, err = p.source.Peek(r.Context(), name, skip, usualPeeked)
		if mayPeek = !errors.Is(err, errDenied); mayPeek && err != nil {
			return "", nil, fmt.Errorf("queue %q: %w", name, err)
		}
	}
	f.of(n)
	f.Title = name
	v := &queuePage{frame: f, Name: name, Queue: viewQueue(&d.Queue), Tiles: queueTiles(&d.Queue), From: skip + 1, MayPeek: mayPeek}
	v.chart(d.History, r.FormValue("span"))
	for i := range d.Clients {
		v.Clients = append(v.Clients, viewClient(&d.Clients[i]))
	}
	for i := range d.Nodes {
		v.Nodes = append(v.Nodes, nodeQueueView{d.Nodes[i].Address, viewQueue(&d.Nodes[i].Queue)})
	}
	for i := range records {
		v.Records = append(v.Records, viewRecord(skip+i+1, &records[i]))
	}
	at := func(skip int) string {
		return "queue?" + url.Values{"name": {name}, "span": {r.FormValue("span")}, "skip": {strconv.Itoa(skip)}}.Encode() + "#records"
	}
	if len(records) == usualPeeked {
		v.Next = at(skip + usualPeeked)
	}
	if skip > 0 {
		v.Previous = at(max(0, skip-usualPeeked))
	}
	return "queue.html", v, nil
}

// peekRange is which records of a queue a request wants to see.
func peekRange(r *http.Request) (skip, records int, err error) {
	records = usualPeeked
	for name, number := range map[string]*int{"skip": &skip, "records": &records} {
		if text := r.FormValue(name); text != "" {
			if *number, err = strconv.Atoi(text); err != nil || *number < 0 {
				return 0, 0, fmt.Errorf("%w: %s = %q, want a number from 0 on", errBad, name, text)
			}
		}
	}
	return skip, min(records, mostPeeked), nil
}

// chart draws what the queue was like in the time that is asked for, or in the shortest.
func (v *queuePage) chart(all []History, span string) {
	if len(all) == 0 {
		return
	}
	shown := &all[0]
	for i := range all {
		if strconv.Itoa(all[i].Span) == span {
			shown = &all[i]
		}
	}
	for i := range all {
		text := spanText(time.Duration(all[i].Span) * time.Second)
		v.Spans = append(v.Spans, spanLink{text, "queue?" + url.Values{"name": {v.Name}, "span": {strconv.Itoa(all[i].Span)}}.Encode(), &all[i] == shown})
	}
	get := func(name, class string, value func(*Point) float32) series {
		one := series{name: name, class: class}
		for i := range shown.Points {
			one.values = append(one.values, float64(value(&shown.Points[i])))
		}
		return one
	}
	time, points := time.Duration(shown.Span)*time.Second, shown.Span/max(1, shown.Step)
	v.Charts = []chart{
		newChart("rates", "Records", rate, time, points,
			get("in", "in", func(p *Point) float32 { return p.In }),
			get("out", "out", func(p *Point) float32 { return p.Out })),
		newChart("depth", "Depth", count, time, points,
			get("records", "in", func(p *Point) float32 { return p.Records })),
		newChart("age", "Age of the oldest record", age, time, points,
			get("oldest", "in", func(p *Point) float32 { return p.Oldest })),
		newChart("latency", "Latency of delivery", age, time, points,
			get("from push to delivery", "out", func(p *Point) float32 { return p.Latency })),
	}
}

func queueTiles(q *Queue) []tile {
	dash := func(text string) string {
		if text == "" {
			return "–"
		}
		return text
	}
	v := viewQueue(q)
	consumers := "nobody consumes it"
	if q.Consumers > 0 {
		consumers = fmt.Sprintf("%d waiting for records", q.Waiting)
	}
	unconfirmed := "clients have them"
	if v.UnconfirmedAge != "" {
		unconfirmed = "the oldest for " + v.UnconfirmedAge
	}
	if q.Delayed.Records > 0 {
		unconfirmed += ", " + figures.Count(q.Delayed.Records) + " delayed"
	}
	return []tile{
		{"Records", v.Records, figures.Size(q.Used+q.Spilled.Bytes) + " with their lengths"},
		{"In memory", v.Full, "of " + figures.Size(q.Capacity)},
		{"In the overflow", figures.Count(q.Spilled.Records), figures.Size(q.Spilled.Bytes) + " on the disk"},
		{"Oldest record", dash(v.Oldest), "since it was first seen"},
		{"Latency", dash(v.Latency), "from push to delivery"},
		{"Unconfirmed", figures.Count(q.Unconfirmed.Records), unconfirmed},
		{"Consumers", figures.Count(uint64(q.Consumers)), consumers},
		{"Pushed", figures.Count(q.Pushed.Records), figures.Size(q.Pushed.Bytes) + " since the start"},
		{"Delivered", figures.Count(q.Delivered.Records), figures.Count(q.Redelivered.Records) + " came back"},
		{"Failed", figures.Count(q.Failed.Records), "moved away, " + figures.Count(q.Cleared.Records) + " cleared"},
	}
}

// shownBytes is how much of a record that is not text is shown.
const shownBytes = 256

func viewRecord(number int, r *admin.Record) recordView {
	v := recordView{Number: number, Size: figures.Size(uint64(r.Size)), Text: r.Text, Cut: r.Cut}
	switch {
	case r.Unconfirmed:
		v.State = "unconfirmed"
	case r.Returned:
		v.State = "came back"
	}
	if r.Base64 != nil {
		v.Binary = true
		v.Cut = v.Cut || len(r.Base64) > shownBytes
		v.Text = hex.EncodeToString(r.Base64[:min(len(r.Base64), shownBytes)])
	}
	return v
}
