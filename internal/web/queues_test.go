package web

import (
	"compress/gzip"
	"fmt"
	"io"
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

// Who can decompress gets what others get, compressed.
func TestMetricsAreCompressed(t *testing.T) {
	sources := newSources(t, 50)
	push(t, sources, "orders", "a record")
	handler := newMetrics(sources, Build{}, nil)
	for accepted, want := range map[string]string{
		"": "", "br": "", "gzip;q=0, br": "", "gzip; q=0": "",
		"gzip": "gzip", "zstd, gzip;q=0.5": "gzip", "br;q=1.0 , gzip": "gzip",
	} {
		request := httptest.NewRequest("GET", "/metrics", nil)
		request.Header.Set("Accept-Encoding", accepted)
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		if got := answer.Header().Get("Content-Encoding"); got != want {
			t.Errorf("%q: encoding %q, want %q", accepted, got, want)
		}
		body := io.Reader(answer.Body)
		if want == "gzip" {
			var err error
			if body, err = gzip.NewReader(body); err != nil {
				t.Fatal(err)
			}
		}
		text, err := io.ReadAll(body)
		if err != nil || !strings.Contains(string(text), "\ndmqnode_channels 1\n") ||
			!strings.HasSuffix(string(text), `dmqnode_queue_consumers_waiting{channel="orders",subscriber=""} 0`+"\n") {
			t.Errorf("%q: error %v, text\n%s", accepted, err, text)
		}
	}
}

// Names are quoted as Prometheus wants.
func TestLabelsAreEscaped(t *testing.T) {
	if got, want := string(appendLabel(nil, "channel", "a\\b\"c\nd")), `channel="a\\b\"c\nd"`; got != want {
		t.Errorf("got %s, want %s", got, want)
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
