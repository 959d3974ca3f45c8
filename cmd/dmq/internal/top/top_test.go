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
		{"started again", []Sample{sample(10, 100, 90)}, []Sample{sample(12, 20, 10)}, "10", "5"},
		{"after an error", []Sample{broken}, []Sample{sample(14, 300, 10)}, "-", "-"},
		{"two nodes", []Sample{sample(10, 0, 0), sample(10, 0, 0)}, []Sample{sample(11, 5, 1), sample(11, 7, 2)}, "12", "3"},
		{"one of two away", []Sample{sample(10, 0, 0), sample(10, 0, 0)}, []Sample{sample(11, 5, 1), broken}, "5", "1"},
	} {
		q := NewState(tc.before, tc.now).Queues[0]
		if rate(q.In) != tc.in || rate(q.Out) != tc.out {
			t.Errorf("%s: got in %s, out %s, want %s, %s", tc.name, rate(q.In), rate(q.Out), tc.in, tc.out)
		}
	}
}

func TestSort(t *testing.T) {
	one, two := 1.0, 2.0
	s := State{Queues: []Queue{
		{Channel: "b", Records: 5, In: &one}, {Channel: "a", Records: 5, Out: &two}, {Channel: "c", Records: 9, Age: 1},
	}}
	for order, want := range []string{"abc", "cab", "bac", "abc", "cab"} {
		s.Sort(Order(order))
		if got := s.Queues[0].Channel + s.Queues[1].Channel + s.Queues[2].Channel; got != want {
			t.Errorf("by %v: got %s, want %s", Order(order), got, want)
		}
	}
}

func TestCells(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 9999: "9999", 10_000: "10.0k", 123_456: "123k", 99_960_000: "100M", 1.5e15: "1500T", 1.5e16: "15.0P"} {
		if got := number(v); got != want {
			t.Errorf("number %v: got %s, want %s", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "-", 0.25: "250ms", 1: "1s", 59: "59s", 90: "2m", 7200: "2h", 200_000: "2d"} {
		if got := age(v); got != want {
			t.Errorf("age %v: got %s, want %s", v, got, want)
		}
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

// stripped removes the escape sequences of styles.
func stripped(text string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(text, "\x1b[") {
		if b.Len() > 0 {
			_, part, _ = strings.Cut(part, "m")
		}
		b.WriteString(part)
	}
	return b.String()
}
