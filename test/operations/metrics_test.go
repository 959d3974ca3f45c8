package operations

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// What clients of both protocols do is in the metrics.
func TestMetrics(t *testing.T) {
	t.Parallel()
	node := nodetest.StartWithHTTP(t, nodetest.Set("Server.channel_size_limit", "500"))
	legacy, other := clients.Legacy(t, node), clients.Neo(t, node)
	for number := range 30 {
		legacy.MustPush("orders", clients.Record(number, 100))
	}
	legacy.WantPop("orders", clients.Record(0, 100))
	other.WantPop("orders", clients.Record(1, 100))
	other.MustPush("hello", "clicks", "views")
	nodetest.WantMetrics(t, node, "pushed and popped", nodetest.Metrics{
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
	got, _ := nodetest.Scrape(t, node)
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
	lost := clients.Neo(t, node)
	k := lost.MustConsume("orders", "")
	if batch := k.Batch(); len(batch) == 0 {
		t.Fatal("no records")
	}
	idle := clients.Neo(t, node)
	idle.MustConsume("clicks", "reports").WantBatch("hello")
	waiting := clients.Neo(t, node)
	waiting.MustConsume("nothing", "reports")
	nodetest.WantMetrics(t, node, "consuming", nodetest.Metrics{
		"dmqnode_queue_consumers{channel=orders,subscriber=}":                 1,
		"dmqnode_queue_consumers_waiting{channel=orders,subscriber=}":         0,
		"dmqnode_queue_consumers{channel=nothing,subscriber=reports}":         1,
		"dmqnode_queue_consumers_waiting{channel=nothing,subscriber=reports}": 1,
		"dmqnode_requests_active{protocol=neo,request=consume}":               3,
		"dmqnode_queue_delivered_records_total{channel=orders,subscriber=}":   2,
	})
	lost.Must(lost.Close())
	nodetest.WantMetrics(t, node, "a consumer was lost", nodetest.Metrics{
		"dmqnode_queue_redelivered_records_total{channel=orders,subscriber=}": 28,
		"dmqnode_redelivered_records_total":                                   28,
		"dmqnode_queue_delivered_records_total{channel=orders,subscriber=}":   2,
		"dmqnode_queue_consumers{channel=orders,subscriber=}":                 0,
	})

	nodetest.Eventually(t, "the oldest record grows old", func() bool {
		got, _ := nodetest.Scrape(t, node)
		return got["dmqnode_queue_oldest_record_age_seconds{channel=orders,subscriber=}"] > 0
	})
	if got, _ := nodetest.Scrape(t, node); got["dmqnode_queue_oldest_record_age_seconds{channel=nothing,subscriber=reports}"] != 0 {
		t.Error("a queue without records has an age")
	}

	// Totals outlive the channel.
	legacy.MustRemove("orders")
	nodetest.WantMetrics(t, node, "a channel was removed", nodetest.Metrics{
		"dmqnode_pushed_records_total":      32,
		"dmqnode_redelivered_records_total": 28,
		"dmqnode_records":                   2, // of which one is on its way
	})
	if got, _ := nodetest.Scrape(t, node); slices.ContainsFunc(slices.Collect(maps.Keys(got)), func(name string) bool { return strings.Contains(name, "channel=orders") }) {
		t.Error("a channel that was removed is still there")
	}
}

// Metrics do not disturb stats.log, nor the other way round: nothing is reset.
func TestMetricsGoOnGrowing(t *testing.T) {
	t.Parallel()
	node := nodetest.StartWithHTTP(t, nodetest.Set("STATS.interval", "1"))
	c := clients.Legacy(t, node)
	c.MustPush("c", "one")
	line := regexp.MustCompile(`\n[^\n]* action/pushed/records:0 [^\n]*\n`)
	nodetest.Eventually(t, "a line that tells of no push", func() bool {
		nodetest.Scrape(t, node)
		text, _ := os.ReadFile(node.Path("log/stats.log"))
		return line.Match(text)
	})
	c.MustPush("c", "two")
	nodetest.WantMetrics(t, node, "after lines of stats.log", nodetest.Metrics{
		"dmqnode_pushed_records_total":                                 2,
		"dmqnode_requests_handled_total{protocol=legacy,request=Push}": 2,
	})
}

// Every metric is described in docs/metrics.md, and no other.
func TestMetricsManualIsComplete(t *testing.T) {
	t.Parallel()
	node := nodetest.StartWithHTTP(t)
	clients.Legacy(t, node).MustPush("c", "record")
	_, families := nodetest.Scrape(t, node)
	manual, err := os.ReadFile("../../docs/metrics.md")
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
	node := nodetest.StartWithHTTP(t)
	clients.Legacy(t, node).MustPush("c", "record")
	_, families := nodetest.Scrape(t, node)
	for _, file := range []string{"grafana-dashboard.json", "prometheus-alerts.yml"} {
		text, err := os.ReadFile("../../deploy/monitoring/" + file)
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
	node := nodetest.StartWithHTTP(t)
	c := clients.Legacy(t, node)
	c.MustPush("orders", "first")
	c.MustPush("orders", "second")
	var text string
	nodetest.Eventually(t, "the page shows what was pushed", func() bool {
		_, text = nodetest.Page(t, node, "/")
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
	node := nodetest.StartWithHTTP(t)
	if status, text := nodetest.Page(t, node, "/healthz"); status != http.StatusOK || text != "alive\n" {
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
	clients.Legacy(t, node).Alive()
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
	node := nodetest.StartWithHTTP(t, nodetest.Set("Server.channel_size_limit", "500"), nodetest.Set("Storage.ring", "memory"))
	c := clients.Legacy(t, node)
	var requests []byte
	for i := range channels {
		requests = append(requests, legacyclient.Request(legacyclient.Push, fmt.Sprintf("channel%d", i), "record")...)
	}
	go c.Send(requests)
	for range channels {
		c.WantStatus(legacyclient.Ok)
	}
	_, families := nodetest.Scrape(t, node)
	if n := len(families["dmqnode_queue_pushed_records_total"].GetMetric()); n != channels {
		t.Errorf("metrics of %d queues, want %d", n, channels)
	}
	nodetest.Eventually(t, "the page tells how many", func() bool {
		_, text := nodetest.Page(t, node, "/")
		return strings.Contains(text, fmt.Sprintf("1 to 50 of %d", channels))
	})
}
