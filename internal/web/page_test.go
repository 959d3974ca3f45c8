package web

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
)

// sampled returns a page of sources, after some samples.
func sampled(t *testing.T, ringSize uint64, channels ...string) (*statusPage, *sampler) {
	t.Helper()
	sources := newSources(t, ringSize)
	s := &sampler{sources: sources, queues: make(map[queueKey]*trend)}
	s.sample()
	for _, c := range channels {
		push(t, sources, c, "a record", "another record")
	}
	s.sample()
	return &statusPage{sampler: s, sources: sources, build: Build{"v1.2.3", "go1"}, started: time.Now().Add(-time.Hour)}, s
}

func render(t *testing.T, v *view) string {
	t.Helper()
	var text bytes.Buffer
	if err := page.Execute(&text, v); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// What the browser may run and show is exactly what is in the page.
func TestPolicyAllowsWhatIsInThePage(t *testing.T) {
	p, _ := sampled(t, 1000)
	text := render(t, p.view())
	for _, element := range []string{"style", "script"} {
		found := regexp.MustCompile(`(?s)<`+element+`>(.*)</`+element+`>`).FindAllStringSubmatch(text, -1)
		if len(found) != 1 || !strings.Contains(pagePolicy, element+"-src "+hash(found[0][1])) {
			t.Errorf("there are %d elements %s, or one with another hash than the policy's", len(found), element)
		}
	}
	if outside := regexp.MustCompile(`(?i)(src|href|url)\s*[=(]\s*["']?\s*(https?:)?//|@import| style=| on[a-z]+=`).FindString(text); outside != "" {
		t.Errorf("the page has %q, which it cannot use", outside)
	}
}

func TestPageIsEscaped(t *testing.T) {
	p, _ := sampled(t, 1000)
	v := p.view()
	evil := `"><script>alert(1)</script>`
	v.Host, v.Up, v.Time, v.Build.Version = evil, evil, evil, evil
	v.Tiles = []tile{{evil, evil, evil}}
	v.Queues = []queueView{{Channel: evil, Subscriber: evil, Level: evil, Trend: evil, TrendArea: evil, Oldest: evil}}
	for i := range v.Charts {
		v.Charts[i].Title, v.Charts[i].Lines[0].Name, v.Charts[i].TopLabel = evil, evil, evil
	}
	if text := render(t, v); strings.Contains(text, "<script>alert") {
		t.Errorf("a name is not escaped:\n%s", text)
	}
}

func TestPageShowsTheFigures(t *testing.T) {
	p, s := sampled(t, 50, "orders", "clicks")
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
	text := render(t, p.view())
	for _, want := range []string{
		"<title>dmqnode", "v1.2.3", "up 1 h 0 min",
		"<dt>Records</dt><dd><b>5</b>", "<dt>In the overflow</dt><dd><b>1</b><small>40 B on the disk",
		"<dt>Connections</dt><dd><b>7</b><small>3 legacy, 4 neo", "<dt>Refused</dt><dd><b>2</b><small>limit 5,000 a port",
		"<dt>Refused pushes</dt><dd><b>1</b><small>1 for: queue",
		`<th scope="row">orders</th>`, `<th scope="row">clicks <span class="subscriber">reports</span></th>`,
		"<b>76 %</b>", `class="overflow">1</td>`, `data-label="unconfirmed">1 <small>for `, "</b>/s pushed",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text[strings.Index(text, "<body>"):])
		}
	}
	if strings.Index(text, ">orders<") > strings.Index(text, ">clicks ") {
		t.Error("the fuller queue does not come first")
	}
}

func TestPageOfThousandsOfChannels(t *testing.T) {
	var names []string
	for i := range 2000 {
		names = append(names, fmt.Sprintf("channel%d", i))
	}
	p, s := sampled(t, 1000, names...)
	push(t, p.sources, "channel1234", "one more")
	s.sample()
	text := render(t, p.view())
	if !strings.Contains(text, "the 50 fullest of 2000") {
		t.Error("the page does not say how many queues there are")
	}
	if n := strings.Count(text, `<tr class="`); n != mostQueues {
		t.Errorf("%d queues shown, want %d", n, mostQueues)
	}
	if !strings.Contains(text, ">channel1234<") {
		t.Error("the fullest queue is not shown")
	}
}

func TestRatesAndTrends(t *testing.T) {
	_, s := sampled(t, 1000, "a")
	s.now.At = s.now.At.Add(-time.Second) // the sample is a second old
	push(t, s.sources, "a", "1", "2", "3")
	s.sample()
	if got := s.rates.all()[len(s.rates.values)-1].pushed; got <= 0 || got > 3 {
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

func TestFormats(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{formatShort(13 * time.Microsecond), "13 µs"}, {formatShort(1500 * time.Microsecond), "1.5 ms"}, {formatShort(2 * time.Second), "2.0 s"},
		{fmt.Sprint(nice(0.1), nice(1), nice(3), nice(4.1), nice(99), nice(101)), "1 1 4 10 100 200"},
		{fmt.Sprint(powerOfTwo(10), powerOfTwo(1024), powerOfTwo(1025)), "16 1024 2048"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

func TestPath(t *testing.T) {
	line, area := path([]float64{0, 5, 20}, 5, 100, 10, 10)
	if line != "M50 10L75 5L100 0" || area != line+"V10H50Z" {
		t.Errorf("got %s, %s", line, area)
	}
	if line, area = path(nil, 5, 100, 10, 10); line != "" || area != "" {
		t.Errorf("of nothing: got %q, %q", line, area)
	}
}
