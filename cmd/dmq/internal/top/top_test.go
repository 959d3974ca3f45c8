package top

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
)

// page is the metrics of a node with two queues.
const page = `# HELP dmqnode_records Records in all queues.
# TYPE dmqnode_records gauge
dmqnode_records 30
# TYPE dmqnode_connections gauge
dmqnode_connections{protocol="legacy"} 3
dmqnode_connections{protocol="neo"} 4
# TYPE dmqnode_queue_records gauge
dmqnode_queue_records{channel="hits",subscriber="audit",place="memory"} 10
dmqnode_queue_records{channel="hits",subscriber="audit",place="overflow"} 15
dmqnode_queue_records{channel="jobs",subscriber="",place="memory"} 5
# TYPE dmqnode_queue_bytes gauge
dmqnode_queue_bytes{channel="hits",subscriber="audit",place="memory"} 2000
dmqnode_queue_bytes{channel="hits",subscriber="audit",place="overflow"} 3000
# TYPE dmqnode_queue_fullness_ratio gauge
dmqnode_queue_fullness_ratio{channel="hits",subscriber="audit"} 0.5
# TYPE dmqnode_queue_pushed_records_total counter
dmqnode_queue_pushed_records_total{channel="hits",subscriber="audit"} 100
# TYPE dmqnode_queue_delivered_records_total counter
dmqnode_queue_delivered_records_total{channel="hits",subscriber="audit"} 75
# TYPE dmqnode_queue_oldest_record_age_seconds gauge
dmqnode_queue_oldest_record_age_seconds{channel="hits",subscriber="audit"} 90
# TYPE dmqnode_queue_unconfirmed_records gauge
dmqnode_queue_unconfirmed_records{channel="hits",subscriber="audit"} 8
# TYPE dmqnode_queue_unconfirmed_age_seconds gauge
dmqnode_queue_unconfirmed_age_seconds{channel="hits",subscriber="audit"} 61
# TYPE dmqnode_queue_consumers gauge
dmqnode_queue_consumers{channel="hits",subscriber="audit"} 2
`

// serve serves a page at /metrics, and returns its host:port.
func serve(t *testing.T, page string) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, page)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestScrape(t *testing.T) {
	nodes := []string{serve(t, page), serve(t, "up 1\n"), serve(t, "<html>"), "127.0.0.1:1"}
	samples := Scrape(t.Context(), nodes)
	if s := samples[0]; s.Err != nil || s.Connections != 7 || len(s.Queues) != 2 {
		t.Errorf("got %+v, want 7 connections and 2 queues", s)
	}
	want := Figures{Records: 25, Overflow: 15, Bytes: 5000, Fullness: 0.5, Pushed: 100, Delivered: 75, Age: 90, Unconfirmed: 8, UnconfirmedAge: 61, Consumers: 2}
	if got := samples[0].Queues[Name{"hits", "audit"}]; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for i, want := range []string{"not those of a node", "/metrics: text format", "refused"} {
		if err := samples[i+1].Err; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want it to contain %q", nodes[i+1], err, want)
		}
	}
}

// sample is a node with a queue of which so many records were pushed and delivered.
func sample(at int, pushed, delivered float64) Sample {
	return Sample{Node: "n", At: time.Unix(int64(at), 0), Queues: map[Name]Figures{
		{"jobs", ""}: {Records: pushed - delivered, Pushed: pushed, Delivered: delivered, Age: 1, Fullness: 0.1},
	}}
}

func TestRates(t *testing.T) {
	broken := Sample{Node: "n", At: time.Unix(12, 0), Err: errors.New("away")}
	for _, tc := range []struct {
		name        string
		before, now []Sample
		in, out     string
	}{
		{"first", nil, []Sample{sample(10, 100, 0)}, "-", "-"},
		{"second", []Sample{sample(10, 100, 0)}, []Sample{sample(12, 300, 10)}, "100", "5"},
		{"started again", []Sample{sample(10, 100, 90)}, []Sample{sample(12, 20, 10)}, "0", "0"},
		{"after an error", []Sample{broken}, []Sample{sample(14, 300, 10)}, "-", "-"},
		{"two nodes", []Sample{sample(10, 0, 0), sample(10, 0, 0)}, []Sample{sample(11, 5, 1), sample(11, 7, 2)}, "12", "3"},
		{"one of two away", []Sample{sample(10, 0, 0), sample(10, 0, 0)}, []Sample{sample(11, 5, 1), broken}, "5", "1"},
	} {
		q := NewState(tc.before, tc.now).Queues[0]
		if rate(q.In, 7) != tc.in || rate(q.Out, 7) != tc.out {
			t.Errorf("%s: got in %s, out %s, want %s, %s", tc.name, rate(q.In, 7), rate(q.Out, 7), tc.in, tc.out)
		}
	}
}

func TestSort(t *testing.T) {
	one, two := 1.0, 2.0
	s := State{Queues: []Queue{
		{Channel: "b", Records: 5, In: &one, Fullness: 0.5}, {Channel: "a", Records: 5, Out: &two, Overflow: 1, Consumers: 1}, {Channel: "c", Records: 9, Age: 1, Bytes: 1},
	}}
	for order, want := range []string{"abc", "cab", "abc", "cab", "bac", "bac", "abc", "cab", "abc"} {
		s.Sort(Order(order))
		if got := s.Queues[0].Channel + s.Queues[1].Channel + s.Queues[2].Channel; got != want {
			t.Errorf("by %v: got %s, want %s", Order(order), got, want)
		}
	}
	if len(Orders) != int(orders) {
		t.Errorf("there are %d names for %d orders", len(Orders), orders)
	}
}

func TestFilterAndTotal(t *testing.T) {
	one := 1.0
	s := State{Queues: []Queue{
		{Channel: "hits", Subscriber: "Audit", Records: 5, Bytes: 10, In: &one, Out: &one, Fullness: 0.5, Age: 3, Consumers: 1},
		{Channel: "audits", Records: 7, Bytes: 20, In: &one, Out: &one, Fullness: 0.25, Age: 9, Consumers: 2},
		{Channel: "jobs", Records: 100},
	}}
	filtered := s.Filter("auDit")
	total := filtered.Total()
	if len(filtered.Queues) != 2 || len(s.Queues) != 3 || total.Records != 12 || total.Bytes != 30 || *total.In != 2 ||
		total.Fullness != 0.5 || total.Age != 9 || total.Consumers != 3 {
		t.Errorf("got %+v with total %+v of %+v", filtered, total, s)
	}
}

// Whatever the size of the screen, nothing is wider or higher than it.
func TestViewFitsTheScreen(t *testing.T) {
	m := &live{ctx: t.Context(), nodes: []string{"a", "b"}}
	queues := map[Name]Figures{}
	for i := range 50 {
		queues[Name{fmt.Sprintf("a-rather-long-channel-%d", i), "subscriber\x1b"}] = Figures{Records: 1e6}
	}
	m.Update(sampled{{Node: "a", Queues: queues}, {Node: "b", Err: errors.New("the node is away\x1b[2J")}})
	for _, size := range []struct{ width, height int }{{80, 24}, {200, 60}, {40, 10}, {20, 5}, {5, 3}, {1, 1}} {
		m.Update(tea.WindowSizeMsg{Width: size.width, Height: size.height})
		for range 60 {
			lines := strings.Split(stripped(m.View().Content), "\n")
			if len(lines) > max(size.height, 4) {
				t.Fatalf("%v: %d lines", size, len(lines))
			}
			for _, line := range lines {
				if width := len([]rune(line)); width > size.width {
					t.Fatalf("%v: a line of %d: %q", size, width, line)
				}
			}
			m.key("down")
		}
		if last := max(0, 50-m.rows()); m.top != last {
			t.Errorf("%v: scrolled to %d, want %d", size, m.top, last)
		}
		m.key("home")
	}
}

// screen returns the lines that are shown.
func (m *live) screen() []string { return strings.Split(stripped(m.View().Content), "\n") }

// press types keys, one after the other.
func (m *live) press(keys string) {
	for _, key := range keys {
		m.Update(tea.KeyPressMsg{Code: key, Text: string(key)})
	}
}

// With more nodes than there is room for it is said how many there are, and who is away.
func TestManyNodes(t *testing.T) {
	m := &live{ctx: t.Context(), width: 80, height: 24}
	var samples sampled
	for i := range 31 {
		samples = append(samples, Sample{Node: fmt.Sprintf("node-%02d", i), Connections: 100, Queues: map[Name]Figures{{"jobs", ""}: {Records: 1}}})
	}
	samples[30].Err = errors.New("the node is away")
	samples[30].Connections = 0
	m.Update(samples)
	screen := m.screen()
	if want := "31 nodes, 1 of them away, 3,000 connections: n shows them"; screen[0] != want {
		t.Errorf("got %q, want %q", screen[0], want)
	}
	if want := "node-30  the node is away"; screen[1] != want {
		t.Errorf("got %q, want %q", screen[1], want)
	}
	if !strings.HasPrefix(screen[2], "QUEUE") || !strings.HasPrefix(screen[3], "1 queue ") || !strings.HasPrefix(screen[4], "jobs ") {
		t.Errorf("got %q, want head, total and queue", screen[2:5])
	}
	m.press("n")
	m.key("end")
	if screen := m.screen(); !strings.HasPrefix(screen[22], "node-29 ") || !strings.HasPrefix(screen[23], "11-31 of 31 ") {
		t.Errorf("got %q at the end of the nodes", screen[22:])
	}
}

func TestKeys(t *testing.T) {
	m := &live{ctx: t.Context(), width: 80, height: 24}
	m.Update(sampled{{Node: "a", Queues: map[Name]Figures{{"jobs", ""}: {Records: 5, Overflow: 2}, {"hits", ""}: {Records: 9, Overflow: 1}, {"news", ""}: {}}}})
	list := func() (names string) {
		for _, line := range m.screen()[4:] {
			if name, _, ok := strings.Cut(line, " "); ok && strings.TrimSpace(line[len(name):]) != "" {
				names += name + " "
			}
		}
		return names
	}
	for _, step := range []struct{ keys, want string }{
		{"", "hits jobs news 1-3 "},
		{"s", "hits jobs news 1-3 "},
		{"s", "jobs hits news 1-3 "}, // by disk
		{"S", "hits jobs news 1-3 "},
		{"/ob", "jobs show "},
		{"\x7f\x7fNE", "news show "},
		{"\r", "news 1-1 "},
		{"s", "news 1-1 "},
		{"\x1b", "jobs hits news 1-3 "},
	} {
		for _, key := range step.keys {
			if name, special := map[rune]rune{'\x7f': tea.KeyBackspace, '\r': tea.KeyEnter, '\x1b': tea.KeyEscape}[key]; special {
				m.Update(tea.KeyPressMsg{Code: name})
			} else {
				m.press(string(key))
			}
		}
		if got := list(); got != step.want {
			t.Errorf("after %q: got %q, want %q", step.keys, got, step.want)
		}
	}
	m.press("?")
	if screen := m.screen(); !strings.HasPrefix(screen[0], "q  ") || len(screen) != 24 {
		t.Errorf("got %q, want the help", screen)
	}
	m.press("x")
	if got := list(); got != "jobs hits news 1-3 " {
		t.Errorf("after the help: got %q", got)
	}
}

// On no screen is a figure cut.
func TestFiguresAreNeverCut(t *testing.T) {
	large, rate := 123_456_789_012.0, 1_234_567.8
	q := Queue{Channel: strings.Repeat("c", 251), Records: large, Overflow: large, Bytes: 1023, Fullness: 1, In: &rate, Out: &rate, Age: 1e7, Consumers: large}
	n := Node{Node: strings.Repeat("n", 251), Records: large, Bytes: 1023 << 20, In: &rate, Out: &rate, Connections: large}
	for width := 1; width < 200; width++ {
		for _, row := range []string{q.row(width), n.row(width)} {
			fields := strings.Fields(row)
			if len([]rune(row)) != width || !strings.HasSuffix(fields[0], "…") {
				t.Fatalf("%d columns: got %q", width, row)
			}
			for _, field := range fields[1:] {
				if strings.Contains(field, "…") || len(field) > 9 {
					t.Errorf("%d columns: got %q", width, row)
				}
			}
		}
	}
}

// A node that did not answer the first time costs no time again.
func TestRescrape(t *testing.T) {
	before := Scrape(t.Context(), []string{serve(t, "<html>"), serve(t, page)})
	again := Rescrape(t.Context(), before)
	if len(again) != 2 || again[0].Err == nil || again[0].At != before[0].At || again[1].Err != nil || !again[1].At.After(before[1].At) {
		t.Errorf("got %+v after %+v", again, before)
	}
}

// stripped removes the escape sequences of styles.
func stripped(text string) string {
	var b strings.Builder
	for i, part := range strings.Split(text, "\x1b[") {
		if i > 0 {
			_, part, _ = strings.Cut(part, "m")
		}
		b.WriteString(part)
	}
	return b.String()
}
