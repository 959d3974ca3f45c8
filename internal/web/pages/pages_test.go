package pages

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/admin"
)

// fake is a source that tells what a test wants.
type fake struct {
	node    Node
	queues  []Queue
	history []History
	clients []Client
	records []admin.Record
}

func (f *fake) Node(context.Context) (*Node, error) { return &f.node, nil }

func (f *fake) Queues(context.Context) ([]Queue, error) {
	return append([]Queue(nil), f.queues...), nil
}

func (f *fake) Queue(_ context.Context, name string) (*Detail, error) {
	for _, q := range f.queues {
		if q.Name == name {
			return &Detail{Queue: q, History: f.history, Clients: f.clients}, nil
		}
	}
	return nil, ErrUnknown
}

func (f *fake) Peek(_ context.Context, _ string, skip, records int) ([]admin.Record, error) {
	found := f.records[min(skip, len(f.records)):]
	return found[:min(records, len(found))], nil
}

func (f *fake) Clients(context.Context) ([]Client, error) {
	return append([]Client(nil), f.clients...), nil
}

// with returns a source with text in all places that have one.
func with(text string) *fake {
	q := Queue{Fullness: []int{1, 2}}
	q.Name, q.Channel, q.Subscriber, q.Subscribed, q.Records, q.Capacity = text, text, text, true, 3, 100
	c := Client{Node: text}
	c.Name, c.Address, c.Protocol, c.Since = text, text, text, time.Now()
	c.Requests = []admin.Request{{Request: text, Queue: text, Unconfirmed: 2, UnconfirmedSeconds: 3}}
	now := time.Now()
	return &fake{
		node: Node{
			Host: text, Version: text, Go: text, Time: now, Started: now.Add(-time.Hour), Problem: text, OldestQueue: text,
			Connections: []Connections{{Protocol: text, Open: 1}}, Refused: []Refused{{text, 1}},
			Rates:    []Rates{{1, 2, 3, 4}, {5, 6, 7, 8}},
			Requests: []Request{{Protocol: text, Name: text, Handled: 2, Timed: 2, Buckets: []uint64{1, 0, 1, 0, 0, 0}}},
			Nodes:    []Member{{Address: text, Error: text}, {Address: text, Node: &Node{Version: text, Problem: text}}},
		},
		queues:  []Queue{q},
		history: []History{{300, 5, []Point{{1, 2, 3, 4, 5}, {1, 2, 3, 4, 5}}}, {3600, 60, []Point{}}},
		clients: []Client{c},
		records: []admin.Record{{Size: 100, Text: text, Unconfirmed: true}, {Size: 2, Base64: []byte{0, 255}, Returned: true, Cut: true}},
	}
}

func everybody(*http.Request) bool { return true }

// all are the pages.
var all = []string{"/", "/queue?name=q", "/queue?name=q&span=3600", "/clients"}

func open(t *testing.T, h http.Handler, path string) string {
	t.Helper()
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
	if answer.Code != http.StatusOK {
		t.Fatalf("GET %s: got status %d, %s", path, answer.Code, answer.Body)
	}
	return answer.Body.String()
}

// What the browser may run and show is exactly what is in the page.
func TestPolicyAllowsWhatIsInThePages(t *testing.T) {
	h := New(with("q"), Options{Peek: everybody})
	for _, path := range all {
		text := open(t, h, path)
		for _, element := range []string{"style", "script"} {
			found := regexp.MustCompile(`(?s)<`+element+`>(.*)</`+element+`>`).FindAllStringSubmatch(text, -1)
			if len(found) != 1 || !strings.Contains(policy, element+"-src "+hash(found[0][1])) {
				t.Errorf("%s: there are %d elements %s, or one with another hash than the policy's", path, len(found), element)
			}
		}
		text = regexp.MustCompile(`<a href="http://[^"]*" rel="noreferrer">`).ReplaceAllString(text, "") // to the nodes of a DMQ
		if outside := regexp.MustCompile(`(?i)(src|href|url)\s*[=(]\s*["']?\s*(https?:)?//|@import| style=| on[a-z]+=`).FindString(text); outside != "" {
			t.Errorf("%s: the page has %q, which it cannot use", path, outside)
		}
	}
}

func TestPagesAreEscaped(t *testing.T) {
	evil := `"><script>alert(1)</script>`
	h := New(with(evil), Options{Peek: everybody})
	for _, path := range []string{"/", "/queue?name=" + strings.ReplaceAll(evil, "\"", "%22"), "/clients", "/?search=%22%3E%3Cscript%3Ealert"} {
		if text := open(t, h, path); strings.Contains(text, "<script>alert") {
			t.Errorf("%s: a text is not escaped:\n%s", path, text)
		}
	}
}

// The page of a queue shows its history, who consumes it and its records; a record that is not
// text in hexadecimal digits.
func TestQueuePage(t *testing.T) {
	f := with("reports@orders")
	h := New(f, Options{Peek: everybody})
	text := open(t, h, "/queue?name=reports@orders")
	for _, want := range []string{
		`aria-current="true">5 minutes</a>`, `>an hour</a>`, "Latency of delivery", "nobody consumes</span>",
		`<small>100 B, unconfirmed</small></span><pre>reports@orders</pre>`,
		`<small>2 B, came back</small></span><pre class="binary">00ff…</pre>`, "2 unconfirmed for 3 s",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text[strings.Index(text, "<body>"):])
		}
	}
	if text := open(t, h, "/queue?name=reports@orders&span=3600"); !strings.Contains(text, `aria-current="true">an hour</a>`) {
		t.Error("another time is not shown when it is asked for")
	}
	for path, want := range map[string]int{
		"/queue?name=other": 404, "/api/queue?name=other": 404, "/?sort=nonsense": 400, "/?page=0": 400, "/api/queues?per=x": 400,
		"/queue?name=reports@orders&skip=-1": 400, "/api/other": 404,
	} {
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, httptest.NewRequest("GET", path, nil))
		if answer.Code != want {
			t.Errorf("GET %s: got status %d, want %d", path, answer.Code, want)
		}
	}
}

// Who may not see records sees all but these.
func TestRecordsAreNotForEverybody(t *testing.T) {
	f := with("q")
	f.records = []admin.Record{{Size: 6, Text: "secret"}}
	h := New(f, Options{Peek: func(*http.Request) bool { return false }})
	if text := open(t, h, "/queue?name=q"); strings.Contains(text, "secret") || !strings.Contains(text, "[Http] peek") {
		t.Error("the page shows records, or does not say why not")
	}
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequest("GET", "/api/peek?name=q", nil))
	if answer.Code != http.StatusForbidden || strings.Contains(answer.Body.String(), "secret") {
		t.Errorf("/api/peek: got status %d, %s", answer.Code, answer.Body)
	}
}

// Each column sorts, in both directions, and what is equal is in the order of names.
func TestColumnsSort(t *testing.T) {
	f := with("")
	f.queues = nil
	for i, name := range []string{"b", "a", "c"} {
		var q Queue
		q.Name, q.Channel, q.Capacity = name, name, 100
		n := uint64(i + 1)
		q.Records, q.Used, q.Consumers = n, n, i+1
		q.Spilled.Records, q.Unconfirmed.Records, q.OldestSeconds, q.In, q.Out, q.Latency = n, n, float64(n), float64(n), float64(n), float64(n)
		q.Fullness = []int{0, i}
		f.queues = append(f.queues, q)
	}
	h := New(f, Options{Peek: everybody})
	order := func(query string) (names string) {
		var got QueueList
		if err := json.Unmarshal([]byte(open(t, h, "/api/queues?"+query)), &got); err != nil {
			t.Fatal(err)
		}
		for _, q := range got.Queues {
			names += q.Name
		}
		return names
	}
	for _, c := range queueColumns {
		up, down := "bac", "cab"
		if c.name == "name" {
			up, down = "abc", "cba"
		}
		if got := order("sort=" + c.name); got != up {
			t.Errorf("sort=%s: got %s, want %s", c.name, got, up)
		}
		if got := order("sort=-" + c.name); got != down {
			t.Errorf("sort=-%s: got %s, want %s", c.name, got, down)
		}
	}
	for i := range f.queues {
		f.queues[i].Records = 7
	}
	if got := order("sort=-records"); got != "abc" {
		t.Errorf("equal ones: got %s, want abc", got)
	}
}

// Pages are all rows, each once; what is asked for stays when a page or a column is changed.
func TestPagesOfAList(t *testing.T) {
	f := with("")
	f.queues = nil
	for i := range 25 {
		var q Queue
		q.Name = fmt.Sprintf("q%02d", i)
		q.Channel, q.Subscribed, q.Records = q.Name, i%2 == 0, 1
		f.queues = append(f.queues, q)
	}
	h := New(f, Options{Peek: everybody})
	seen := make(map[string]int)
	for page := 1; page <= 3; page++ {
		var got QueueList
		text := open(t, h, fmt.Sprintf("/api/queues?per=10&sort=name&page=%d", page))
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Fatal(err)
		}
		if got.Total != 25 || got.Found != 25 || got.Pages != 3 || got.Page != page {
			t.Errorf("page %d: got %+v", page, got)
		}
		for _, q := range got.Queues {
			seen[q.Name]++
		}
	}
	if len(seen) != 25 {
		t.Errorf("%d of 25 queues are on a page", len(seen))
	}
	text := open(t, h, "/?search=q1&per=3&sort=-name&page=2")
	for _, want := range []string{
		"4 to 6 of 10 found, 25 in all", "page 2 of 4", `?page=3&amp;per=3&amp;search=q1&amp;sort=-name" rel="next"`,
		`aria-sort="descending"><a href="?per=3&amp;search=q1&amp;sort=name">Queue`,
		`?per=3&amp;search=q1&amp;sort=-records">Records`, "13 collecting, nobody consumes",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text[strings.Index(text, `id="queues"`):])
		}
	}
	if text := open(t, h, "/?only=alone&per=100"); strings.Count(text, `<tr class="`) != 13 {
		t.Error("only=alone does not show the 13 queues that nobody consumes")
	}
}
