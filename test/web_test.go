package test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	names "github.com/prometheus/common/model"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// withHTTP switches the status page on.
var withHTTP = nodetest.Set("Http.port", "0")

// startWithHTTP starts a node and waits until its pages are there, too.
func startWithHTTP(t *testing.T, options ...nodetest.Option) *nodetest.Node {
	t.Helper()
	node := nodetest.Start(t, append(options, withHTTP)...)
	eventually(t, "the node is ready", func() bool {
		status, text := page(t, node, "/readyz")
		return status == http.StatusOK && text == "serving\n"
	})
	return node
}

// page gets a page of the node, which must not fail.
func page(t *testing.T, node *nodetest.Node, path string) (status int, text string) {
	t.Helper()
	client := http.Client{Timeout: nodetest.Patience}
	defer client.CloseIdleConnections()
	reply, err := client.Get("http://" + node.HTTP() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply.StatusCode, string(body)
}

// metrics are samples by name and labels, these in alphabetical order:
// dmqnode_connections{protocol=legacy}.
type metrics map[string]float64

// scrape reads /metrics as Prometheus does.
func scrape(t *testing.T, node *nodetest.Node) (metrics, map[string]*dto.MetricFamily) {
	t.Helper()
	status, text := page(t, node, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics: got status %d", status)
	}
	parser := expfmt.NewTextParser(names.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	all := make(metrics)
	for name, family := range families {
		for _, m := range family.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			slices.Sort(labels)
			suffix := ""
			if len(labels) > 0 {
				suffix = "{" + strings.Join(labels, ",") + "}"
			}
			switch {
			case m.Counter != nil:
				all[name+suffix] = m.Counter.GetValue()
			case m.Gauge != nil:
				all[name+suffix] = m.Gauge.GetValue()
			case m.Histogram != nil:
				all[name+"_count"+suffix] = float64(m.Histogram.GetSampleCount())
				all[name+"_sum"+suffix] = m.Histogram.GetSampleSum()
			}
		}
	}
	return all, families
}

// wantMetrics waits until metrics have these values: what a client has been told may be
// counted a moment later.
func wantMetrics(t *testing.T, node *nodetest.Node, when string, want metrics) {
	t.Helper()
	var wrong []string
	defer func() {
		if t.Failed() {
			t.Logf("%s:\n%s", when, strings.Join(wrong, "\n"))
		}
	}()
	eventually(t, when+": the metrics", func() bool {
		got, _ := scrape(t, node)
		wrong = nil
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if value, found := got[name]; !found || value != want[name] {
				wrong = append(wrong, fmt.Sprintf("%s: got %g (there: %v), want %g", name, value, found, want[name]))
			}
		}
		return len(wrong) == 0
	})
}

// What clients of both protocols do is in the metrics.
func TestMetrics(t *testing.T) {
	t.Parallel()
	node := startWithHTTP(t, nodetest.Set("Server.channel_size_limit", "500"))
	legacy, other := dial(t, node), connect(t, node)
	for number := range 30 {
		legacy.push("orders", record(number, 100))
	}
	legacy.wantPop("orders", record(0, 100))
	other.wantPop("orders", record(1, 100))
	other.push("hello", "clicks", "views")
	wantMetrics(t, node, "pushed and popped", metrics{
		"dmqnode_queue_records{channel=orders,place=memory,subscriber=}":      2,
		"dmqnode_queue_records{channel=orders,place=overflow,subscriber=}":    26,
		"dmqnode_queue_bytes{channel=orders,place=memory,subscriber=}":        216,
		"dmqnode_queue_bytes{channel=orders,place=overflow,subscriber=}":      2600,
		"dmqnode_queue_capacity_bytes{channel=orders,subscriber=}":            500,
		"dmqnode_queue_fullness_ratio{channel=orders,subscriber=}":            0.432,
		"dmqnode_queue_pushed_records_total{channel=orders,subscriber=}":      30,
		"dmqnode_queue_pushed_bytes_total{channel=orders,subscriber=}":        3000,
		"dmqnode_queue_overflowed_records_total{channel=orders,subscriber=}":  26,
		"dmqnode_queue_delivered_records_total{channel=orders,subscriber=}":   2,
		"dmqnode_queue_delivered_bytes_total{channel=orders,subscriber=}":     200,
		"dmqnode_queue_redelivered_records_total{channel=orders,subscriber=}": 0,
		"dmqnode_queue_consumers{channel=orders,subscriber=}":                 0,
		"dmqnode_queue_records{channel=views,place=memory,subscriber=}":       1,
		"dmqnode_channels":                                                     3,
		"dmqnode_records":                                                      30,
		"dmqnode_bytes":                                                        2842,
		"dmqnode_pushed_records_total":                                         32,
		"dmqnode_pushed_bytes_total":                                           3010,
		"dmqnode_popped_records_total":                                         2,
		"dmqnode_delivered_records_total":                                      2,
		"dmqnode_overflowed_records_total":                                     26,
		"dmqnode_connections{protocol=legacy}":                                 1,
		"dmqnode_connections{protocol=neo}":                                    1,
		"dmqnode_connection_limit{protocol=neo}":                               5000,
		"dmqnode_refused_connections_total{protocol=neo,reason=limit}":         0,
		"dmqnode_requests_handled_total{protocol=legacy,request=Push}":         30,
		"dmqnode_request_duration_seconds_count{protocol=legacy,request=Push}": 30,
		"dmqnode_requests_handled_total{protocol=legacy,request=Pop}":          1,
		"dmqnode_requests_handled_total{protocol=neo,request=pop}":             1,
		"dmqnode_requests_handled_total{protocol=neo,request=push}":            1,
		"dmqnode_requests_active{protocol=legacy,request=Push}":                0,
		"dmqnode_log_messages_total{level=error}":                              0,
	})
	got, _ := scrape(t, node)
	for _, name := range []string{
		"dmqnode_received_bytes_total", "dmqnode_sent_bytes_total", "dmqnode_log_messages_total{level=info}",
		"dmqnode_request_duration_seconds_sum{protocol=legacy,request=Push}", "dmqnode_machine_memory_bytes",
		"process_resident_memory_bytes", "process_open_fds", "go_goroutines",
	} {
		if got[name] <= 0 {
			t.Errorf("%s: got %g, want more than 0", name, got[name])
		}
	}
	if _, found := got["dmqnode_request_duration_seconds_count{protocol=neo,request=consume}"]; found {
		t.Error("a stream has durations")
	}

	// What a client did not confirm comes back.
	lost := connect(t, node)
	k := lost.consume("orders", "")
	if batch := k.batch(); len(batch) == 0 {
		t.Fatal("no records")
	}
	idle := connect(t, node)
	idle.consume("clicks", "reports").wantBatch("hello")
	waiting := connect(t, node)
	waiting.consume("nothing", "reports")
	wantMetrics(t, node, "consuming", metrics{
		"dmqnode_queue_consumers{channel=orders,subscriber=}":                 1,
		"dmqnode_queue_consumers_waiting{channel=orders,subscriber=}":         0,
		"dmqnode_queue_consumers{channel=nothing,subscriber=reports}":         1,
		"dmqnode_queue_consumers_waiting{channel=nothing,subscriber=reports}": 1,
		"dmqnode_requests_active{protocol=neo,request=consume}":               3,
		"dmqnode_queue_delivered_records_total{channel=orders,subscriber=}":   2,
	})
	lost.must(lost.Close())
	wantMetrics(t, node, "a consumer was lost", metrics{
		"dmqnode_queue_redelivered_records_total{channel=orders,subscriber=}": 28,
		"dmqnode_redelivered_records_total":                                   28,
		"dmqnode_queue_delivered_records_total{channel=orders,subscriber=}":   2,
		"dmqnode_queue_consumers{channel=orders,subscriber=}":                 0,
	})

	eventually(t, "the oldest record grows old", func() bool {
		got, _ := scrape(t, node)
		return got["dmqnode_queue_oldest_record_age_seconds{channel=orders,subscriber=}"] > 0
	})
	if got, _ := scrape(t, node); got["dmqnode_queue_oldest_record_age_seconds{channel=nothing,subscriber=reports}"] != 0 {
		t.Error("a queue without records has an age")
	}

	// Totals outlive the channel.
	legacy.remove("orders")
	wantMetrics(t, node, "a channel was removed", metrics{
		"dmqnode_pushed_records_total":      32,
		"dmqnode_redelivered_records_total": 28,
		"dmqnode_records":                   2, // of which one is on its way
	})
	if got, _ := scrape(t, node); slices.ContainsFunc(slices.Collect(maps.Keys(got)), func(name string) bool { return strings.Contains(name, "channel=orders") }) {
		t.Error("a channel that was removed is still there")
	}
}

// Metrics do not disturb stats.log, nor the other way round: nothing is reset.
func TestMetricsGoOnGrowing(t *testing.T) {
	t.Parallel()
	node := startWithHTTP(t, nodetest.Set("STATS.interval", "1"))
	c := dial(t, node)
	c.push("c", "one")
	line := regexp.MustCompile(`\n[^\n]* action/pushed/records:0 [^\n]*\n`)
	eventually(t, "a line that tells of no push", func() bool {
		scrape(t, node)
		text, _ := os.ReadFile(node.Path("log/stats.log"))
		return line.Match(text)
	})
	c.push("c", "two")
	wantMetrics(t, node, "after lines of stats.log", metrics{
		"dmqnode_pushed_records_total":                                 2,
		"dmqnode_requests_handled_total{protocol=legacy,request=Push}": 2,
	})
}

// Every metric is described in docs/metrics.md, and no other.
func TestMetricsManualIsComplete(t *testing.T) {
	t.Parallel()
	node := startWithHTTP(t)
	dial(t, node).push("c", "record")
	_, families := scrape(t, node)
	manual, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	described := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(dmqnode_[a-z_]+)`").FindAllSubmatch(manual, -1) {
		described[string(row[1])] = true
	}
	for name := range families {
		if strings.HasPrefix(name, "dmqnode_") && !described[name] {
			t.Errorf("%s is not described", name)
		}
		delete(described, name)
	}
	for name := range described {
		t.Errorf("%s is described, but not there", name)
	}
}

// Whatever dashboard and alerts ask for is there.
func TestDashboardAndAlertsNameMetrics(t *testing.T) {
	t.Parallel()
	node := startWithHTTP(t)
	dial(t, node).push("c", "record")
	_, families := scrape(t, node)
	for _, file := range []string{"grafana-dashboard.json", "prometheus-alerts.yml"} {
		text, err := os.ReadFile("../deploy/monitoring/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(file, ".json") && !json.Valid(text) {
			t.Errorf("%s is not JSON", file)
		}
		names := regexp.MustCompile(`\b(?:dmqnode|process|go)_[a-z0-9_]+\b`).FindAllString(string(text), -1)
		if len(names) == 0 {
			t.Errorf("%s: no metrics", file)
		}
		for _, name := range names {
			histogram := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
			if families[name] == nil && families[histogram].GetType() != dto.MetricType_HISTOGRAM {
				t.Errorf("%s: there is no metric %s", file, name)
			}
		}
	}
}

// The page has the figures without the help of a script, and what a browser needs to trust it.
func TestStatusPage(t *testing.T) {
	t.Parallel()
	node := startWithHTTP(t)
	c := dial(t, node)
	c.push("orders", "first")
	c.push("orders", "second")
	var text string
	eventually(t, "the page shows what was pushed", func() bool {
		_, text = page(t, node, "/")
		return strings.Contains(text, `<th scope="row"><a href="queue?name=orders">orders</a></th>`)
	})
	for _, want := range []string{"<dt>Records</dt><dd><b>2</b><small>27 B in all queues", "1 legacy, 0 neo", "Push"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestHealthFromStartToStop(t *testing.T) {
	t.Parallel()
	node := startWithHTTP(t)
	if status, text := page(t, node, "/healthz"); status != http.StatusOK || text != "alive\n" {
		t.Errorf("/healthz: got status %d, %q", status, text)
	}
	address := node.HTTP()
	idle, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	if status := node.Stop(); status != 0 {
		t.Errorf("got exit status %d with a connection open, want 0", status)
	}
	if _, err := net.Dial("tcp", address); err == nil {
		t.Error("somebody still listens")
	}
}

func TestStatusPageIsOffByDefault(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	dial(t, node).alive()
	if strings.Contains(node.Console(), "HTTP") {
		t.Error("the node listens for HTTP clients")
	}
}

func TestStatusPagePortInUse(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	node := nodetest.Prepare(t, nodetest.Set("Http.port", port))
	node.Launch()
	if status := node.Wait(); status != 1 {
		t.Errorf("got exit status %d, want 1", status)
	}
	if want := "[Http] address, port: listen tcp4 " + taken.Addr().String() + ": bind: address already in use"; !strings.Contains(node.Console(), want) {
		t.Errorf("no %q in %s", want, node.Console())
	}
}

// Thousands of channels are all in the metrics.
func TestMetricsOfThousandsOfChannels(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("slow")
	}
	const channels = 3000
	node := startWithHTTP(t, nodetest.Set("Server.channel_size_limit", "500"), nodetest.Set("Storage.ring", "memory"))
	c := dial(t, node)
	var requests []byte
	for i := range channels {
		requests = append(requests, legacyclient.Request(legacyclient.Push, fmt.Sprintf("channel%d", i), "record")...)
	}
	go c.Send(requests)
	for range channels {
		c.wantStatus(legacyclient.Ok)
	}
	_, families := scrape(t, node)
	if n := len(families["dmqnode_queue_pushed_records_total"].GetMetric()); n != channels {
		t.Errorf("metrics of %d queues, want %d", n, channels)
	}
	eventually(t, "the page tells how many", func() bool {
		_, text := page(t, node, "/")
		return strings.Contains(text, fmt.Sprintf("1 to 50 of %d", channels))
	})
}
