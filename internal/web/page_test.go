package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/web/pages"
)

// sampled returns the source of the pages, after some samples.
func sampled(t *testing.T, ringSize uint64, channels ...string) *source {
	t.Helper()
	sources := newSources(t, ringSize)
	s := &sampler{sources: sources, queues: make(map[queueKey]*trend)}
	s.sample()
	for _, c := range channels {
		push(t, sources, c, "a record", "another record")
	}
	s.sample()
	return &source{s, sources, newOperations(sources), Build{"v1.2.3", "go1"}, time.Now().Add(-time.Hour), func() error { return nil }}
}

// render returns a page.
func render(t *testing.T, from *source, path string) string {
	t.Helper()
	answer := httptest.NewRecorder()
	pages.New(from, pages.Options{Peek: All.may}).ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
	if answer.Code != http.StatusOK {
		t.Fatalf("GET %s: got status %d, %s", path, answer.Code, answer.Body)
	}
	return answer.Body.String()
}

func TestPageShowsTheFigures(t *testing.T) {
	p := sampled(t, 50, "orders", "clicks")
	s := p.sampler
	push(t, p.sources, "orders", strings.Repeat("x", 40)) // goes to the overflow
	c := p.sources.Channels.Find([]byte("clicks"))
	c.Lock()
	if _, err := c.Subscribe("reports"); err != nil {
		t.Fatal(err)
	}
	c.Commit()
	s.sample() // from now on, time is known
	c = p.sources.Channels.Find([]byte("orders"))
	c.Lock()
	run, err := c.Pop(false)
	c.Commit()
	if err != nil {
		t.Fatal(err)
	}
	defer run.Deliver()
	p.sources.Legacy.Refused.Count(stats.RefusedQueue)
	s.sample()
	text := render(t, p, "/")
	for _, want := range []string{
		"<title>dmqnode", "v1.2.3", "up 1 h 0 min",
		"<dt>Records</dt><dd><b>5</b>", "<dt>In the overflow</dt><dd><b>1</b><small>40 B on the disk",
		"<dt>Connections</dt><dd><b>7</b><small>3 legacy, 4 neo", "<dt>Refused</dt><dd><b>2</b><small>limit 5,000 a port",
		"<dt>Refused pushes</dt><dd><b>1</b><small>1 for: queue",
		`<th scope="row"><a href="queue?name=orders">orders</a></th>`,
		`<a href="queue?name=reports%40clicks">clicks</a> <span class="subscriber">reports</span> <span class="badge alone">nobody consumes</span></th>`,
		"<b>76 %</b>", `class="overflow">1</td>`, `data-label="unconfirmed">1 <small>for `, "</b>/s pushed",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text[strings.Index(text, "<body>"):])
		}
	}
	if strings.Index(text, ">orders<") > strings.Index(text, ">clicks<") {
		t.Error("the fuller queue does not come first")
	}
}

func TestPageOfThousandsOfChannels(t *testing.T) {
	var names []string
	for i := range 2000 {
		names = append(names, fmt.Sprintf("channel%d", i))
	}
	p := sampled(t, 1000, names...)
	push(t, p.sources, "channel1234", "one more")
	p.sampler.sample()
	text := render(t, p, "/")
	if !strings.Contains(text, "1 to 50 of 2000") {
		t.Error("the page does not say how many queues there are")
	}
	if n := strings.Count(text, `<tr class="`); n != 50 {
		t.Errorf("%d queues shown, want 50", n)
	}
	if !strings.Contains(text, ">channel1234<") {
		t.Error("the fullest queue is not shown")
	}
}

func TestRatesAndTrends(t *testing.T) {
	s := sampled(t, 1000, "a").sampler
	s.now.At = s.now.At.Add(-time.Second) // the sample is a second old
	push(t, s.sources, "a", "1", "2", "3")
	s.sample()
	if got := s.rates.all()[len(s.rates.values)-1].Pushed; got <= 0 || got > 3 {
		t.Errorf("3 records in a second or more: got a rate of %g", got)
	}
	q := s.queues[queueKey{"a", ""}]
	if q == nil || q.in <= 0 || q.out != 0 {
		t.Errorf("got trend %+v, want records that come in, and none that go", q)
	}
	s.sources.Channels.Remove([]byte("a"))
	s.sample()
	if len(s.queues) > 0 {
		t.Errorf("%d queues are remembered after their channel was removed", len(s.queues))
	}
	for range 2 * chartPoints {
		s.sample()
	}
	if n := len(s.rates.all()); n != chartPoints {
		t.Errorf("%d points of the chart are kept, want %d", n, chartPoints)
	}
}

func TestTrailKeepsTheNewest(t *testing.T) {
	var all trail[int]
	for i := range 10 {
		all.add(i, 4)
	}
	if got := fmt.Sprint(all.all()); got != "[6 7 8 9]" {
		t.Errorf("got %s", got)
	}
}

// Every queue can be reached: by its name, by a search, or page after page.
func TestEveryQueueIsReachable(t *testing.T) {
	var names []string
	for i := range 120 {
		names = append(names, fmt.Sprintf("channel%03d", i))
	}
	p := sampled(t, 1000, names...)
	seen := make(map[string]bool)
	for page := 1; page <= 3; page++ {
		text := render(t, p, fmt.Sprintf("/?sort=name&page=%d", page))
		for _, name := range names {
			if strings.Contains(text, ">"+name+"<") {
				seen[name] = true
			}
		}
	}
	if len(seen) != len(names) {
		t.Errorf("%d of %d queues are on some page", len(seen), len(names))
	}
	if text := render(t, p, "/?search=NEL077"); !strings.Contains(text, ">channel077<") || strings.Count(text, `<tr class="`) != 1 {
		t.Error("a search does not find the queue, or others")
	}
	if text := render(t, p, "/queue?name=channel077"); !strings.Contains(text, "another record") {
		t.Errorf("the page of the queue does not show its records:\n%s", text)
	}
}

// A history has five minutes, an hour and a day, in ever larger steps, and the memory of all of them
// is bounded.
func TestHistory(t *testing.T) {
	h := new(history)
	day := levels[0].of * levels[1].of * levels[2].of * levels[2].kept
	for i := range 2 * day {
		h.add(pages.Point{In: 2, Records: float32(i)})
	}
	for i, want := range []struct{ span, step, points int }{{300, 5, 60}, {3600, 60, 60}, {86400, 900, 96}} {
		got := h.all()[i]
		if got.Span != want.span || got.Step != want.step || len(got.Points) != want.points {
			t.Errorf("got %d points, one each %d s, for %d s, want %+v", len(got.Points), got.Step, got.Span, want)
		}
		last := got.Points[len(got.Points)-1]
		if last.In != 2 || last.Records != float32(2*day-1) {
			t.Errorf("step %d s: got %+v, want the mean rate and the most records", got.Step, last)
		}
	}
}

// A queue in which nothing ever happens has no history, and when there are too many further ones
// have none.
func TestHistoriesAreBounded(t *testing.T) {
	p := sampled(t, 1000, "a")
	s := p.sampler
	c, err := p.sources.Channels.Open([]byte("quiet"))
	if err != nil {
		t.Fatal(err)
	}
	c.Commit()
	s.sample()
	if s.kept != 1 || s.queues[queueKey{"quiet", ""}].history != nil {
		t.Errorf("%d queues have a history, want the one with records", s.kept)
	}
	s.kept = mostHistories
	push(t, p.sources, "late", "a record")
	s.sample()
	if s.queues[queueKey{"late", ""}].history != nil {
		t.Error("there are more histories than there may be")
	}
	s.sources.Channels.Remove([]byte("a"))
	s.sample()
	if s.kept != mostHistories-1 {
		t.Errorf("a history that is gone still counts: %d", s.kept)
	}
}
