package web

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
)

// The metrics of queues, which no registry has checked, are what Prometheus wants.
func TestMetricsOfQueues(t *testing.T) {
	sources := newSources(t, 50)
	push(t, sources, "orders", "a record", "another record", strings.Repeat("x", 40)) // the last one goes to the overflow
	push(t, sources, "clicks")
	handler := newMetrics(sources, Build{"v1", "go1"}, nil)
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	text := answer.Body.String()
	for _, want := range []string{
		"# HELP dmqnode_queue_records Records in the queue.\n# TYPE dmqnode_queue_records gauge\n" +
			`dmqnode_queue_records{channel="orders",place="memory",subscriber=""} 2` + "\n" +
			`dmqnode_queue_records{channel="clicks",place="memory",subscriber=""} 0` + "\n" +
			`dmqnode_queue_records{channel="orders",place="overflow",subscriber=""} 1` + "\n" +
			`dmqnode_queue_records{channel="clicks",place="overflow",subscriber=""} 0` + "\n",
		"# TYPE dmqnode_queue_pushed_records_total counter\n" +
			`dmqnode_queue_pushed_records_total{channel="orders",subscriber=""} 3` + "\n",
		"\ndmqnode_channels 2\n", "\ndmqnode_records 3\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		if name, found := strings.CutPrefix(line, "# TYPE "); found {
			if seen[name] {
				t.Errorf("%s twice", name)
			}
			seen[name] = true
		}
	}
	if len(seen) < 30 {
		t.Errorf("got %d metrics, want more", len(seen))
	}
}

// Without queues there is no family without metrics, which would be an error.
func TestMetricsWithoutQueues(t *testing.T) {
	answer := httptest.NewRecorder()
	newMetrics(newSources(t, 50), Build{}, nil).ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	if text := answer.Body.String(); answer.Code != 200 || strings.Contains(text, "dmqnode_queue_") || !strings.Contains(text, "dmqnode_channels 0\n") {
		t.Errorf("got status %d,\n%s", answer.Code, text)
	}
}

func BenchmarkScrape(b *testing.B) {
	sources := newSources(b, 50)
	for i := range 12_000 {
		push(b, sources, fmt.Sprintf("channel%d", i), "a record")
	}
	handler := newMetrics(sources, Build{}, nil)
	for b.Loop() {
		answer := httptest.NewRecorder()
		answer.Body = nil
		handler.ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	}
}
