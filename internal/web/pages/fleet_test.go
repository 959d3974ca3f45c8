package pages

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/admin"
)

// serve makes a node of a source, and returns its address.
func serve(t *testing.T, from Source) string {
	t.Helper()
	s := httptest.NewServer(New(from, Options{Peek: everybody}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

// gone is an address at which nobody answers.
func gone(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	return strings.TrimPrefix(s.URL, "http://")
}

func queueOf(name string, records uint64, consumers int) (q Queue) {
	q.Name, q.Channel, q.Records, q.Consumers = name, name, records, consumers
	for _, amount := range []*admin.Amount{&q.InRing, &q.Spilled, &q.Unconfirmed, &q.Pushed, &q.Delivered, &q.Redelivered, &q.Overflowed, &q.Cleared, &q.Failed, &q.Delayed} {
		*amount = admin.Amount{Records: records, Bytes: 10 * records}
	}
	q.OldestSeconds, q.In, q.Latency = float64(records), float64(records), float64(records)
	q.Fullness = []int{int(records)}
	return q
}

const patience = 2 * time.Minute

// What nodes tell is added up, with what each of them has beside it.
func TestFleet(t *testing.T) {
	one, two := with("one"), with("two")
	one.queues = []Queue{queueOf("both", 3, 0), queueOf("first", 1, 1)}
	two.queues = []Queue{queueOf("both", 4, 2)}
	two.queues[0].Fullness = []int{9, 1}
	one.history = []History{{300, 5, []Point{{In: 1}, {In: 2, Oldest: 5}}}}
	two.history = []History{{300, 5, []Point{{In: 10, Oldest: 3}}}}
	one.node.Records, two.node.Records = 4, 4
	one.node.Problem, two.node.Problem = "", ""
	one.node.Rates, two.node.Rates = []Rates{{Pushed: 1}, {Pushed: 2}}, []Rates{{Pushed: 10}}
	for _, f := range []*fake{one, two} {
		f.node.Connections[0].Protocol, f.node.Requests[0].Name, f.node.Requests[0].Protocol = "neo", "push", "neo"
	}
	first, second := serve(t, one), serve(t, two)
	f := NewFleet([]string{first, second}, patience)
	ctx := context.Background()

	n, err := f.Node(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if n.Records != 8 || n.Connections[0].Open != 2 || len(n.Requests) != 1 || n.Requests[0].Handled != 4 || len(n.Nodes) != 2 {
		t.Errorf("got %+v", n)
	}
	if want := []Rates{{Pushed: 1}, {Pushed: 12}}; !reflect.DeepEqual(n.Rates, want) {
		t.Errorf("rates: got %v, want %v, the newest ones added", n.Rates, want)
	}

	queues, err := f.Queues(ctx)
	if err != nil || len(queues) != 2 {
		t.Fatalf("got %+v, error %v, want both and first", queues, err)
	}
	both := queues[0]
	if both.Name != "both" || both.Records != 7 || both.Consumers != 2 || both.Pushed.Bytes != 70 || both.OldestSeconds != 4 || both.In != 7 || both.Latency != 4 ||
		!reflect.DeepEqual(both.Fullness, []int{9, 3}) {
		t.Errorf("got %+v", both)
	}

	sums := reflect.ValueOf(both.Queue)
	for i := range sums.NumField() {
		if amount, ok := sums.Field(i).Interface().(admin.Amount); ok && amount != (admin.Amount{Records: 7, Bytes: 70}) {
			t.Errorf("%s: got %v, want the sums", sums.Type().Field(i).Name, amount)
		}
	}

	d, err := f.Queue(ctx, "both")
	if err != nil {
		t.Fatal(err)
	}
	if want := []Point{{In: 1}, {In: 12, Oldest: 5}}; d.Records != 7 || !reflect.DeepEqual(d.History[0].Points, want) {
		t.Errorf("got %+v, want points %v", d, want)
	}
	if len(d.Nodes) != 2 || d.Nodes[0].Address != first || d.Nodes[0].Records != 3 || d.Nodes[1].Records != 4 {
		t.Errorf("by node: got %+v", d.Nodes)
	}
	if len(d.Clients) != 2 || d.Clients[0].Node != first || d.Clients[1].Node != second {
		t.Errorf("clients: got %+v", d.Clients)
	}
	if d, err := f.Queue(ctx, "first"); err != nil || d.Records != 1 || len(d.Nodes) != 1 {
		t.Errorf("a queue of one node: got %+v, error %v", d, err)
	}
	if _, err := f.Queue(ctx, "none"); !errors.Is(err, ErrUnknown) {
		t.Errorf("a queue of no node: got error %v", err)
	}
	if clients, err := f.Clients(ctx); err != nil || len(clients) != 2 {
		t.Errorf("clients: got %+v, error %v", clients, err)
	}
}

// Records are those of one node behind those of the other.
func TestFleetPeeks(t *testing.T) {
	one, two := with("q"), with("q")
	one.queues, two.queues = []Queue{queueOf("q", 3, 0)}, []Queue{queueOf("q", 2, 0)}
	records := func(texts ...string) (all []admin.Record) {
		for _, text := range texts {
			all = append(all, admin.Record{Text: text, Size: len(text)})
		}
		return all
	}
	one.records, two.records = records("a", "b", "c"), records("d", "e")
	f := NewFleet([]string{serve(t, one), serve(t, two)}, patience)
	for _, c := range []struct {
		skip, records int
		want          string
	}{{0, 2, "ab"}, {0, 10, "abcde"}, {2, 2, "cd"}, {3, 1, "d"}, {4, 10, "e"}, {5, 10, ""}} {
		got, err := f.Peek(context.Background(), "q", c.skip, c.records)
		text := ""
		for _, r := range got {
			text += r.Text
		}
		if err != nil || text != c.want {
			t.Errorf("skip %d, %d records: got %q, error %v, want %q", c.skip, c.records, text, err, c.want)
		}
	}
}

// A node that does not answer is shown as such, and the others are there; if none answers, that is
// the answer.
func TestFleetWithNodesThatDoNotAnswer(t *testing.T) {
	one := with("q")
	away := gone(t)
	h := New(NewFleet([]string{away, serve(t, one)}, patience), Options{Peek: everybody})
	text := open(t, h, "/")
	for _, want := range []string{away + " does not answer", "connection refused", "2 nodes"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text[strings.Index(text, "<body>"):])
		}
	}
	for _, path := range all {
		open(t, h, path)
	}
	answer := httptest.NewRecorder()
	New(NewFleet([]string{away}, patience), Options{Peek: everybody}).ServeHTTP(answer, httptest.NewRequest("GET", "/api/node", nil))
	if answer.Code != http.StatusBadGateway || !strings.Contains(answer.Body.String(), away) {
		t.Errorf("none answers: got status %d, %s", answer.Code, answer.Body)
	}
}

// A DMQ whose nodes do not show their records to others has all the rest of the page.
func TestFleetOfNodesThatKeepTheirRecords(t *testing.T) {
	s := httptest.NewServer(New(with("q"), Options{Peek: func(*http.Request) bool { return false }}))
	t.Cleanup(s.Close)
	h := New(NewFleet([]string{strings.TrimPrefix(s.URL, "http://")}, patience), Options{Peek: everybody})
	if text := open(t, h, "/queue?name=q"); !strings.Contains(text, "[Http] peek says who may see them") {
		t.Errorf("the page does not say why there are no records:\n%s", text)
	}
}
