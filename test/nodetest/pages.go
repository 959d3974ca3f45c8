package nodetest

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	names "github.com/prometheus/common/model"
)

// WithHTTP switches the status page on.
var WithHTTP = Set("Http.port", "0")

// StartWithHTTP starts a node and waits until its pages are there, too.
func StartWithHTTP(t *testing.T, options ...Option) *Node {
	t.Helper()
	node := Start(t, append(options, WithHTTP)...)
	Eventually(t, "the node is ready", func() bool {
		status, text := Page(t, node, "/readyz")
		return status == http.StatusOK && text == "serving\n"
	})
	return node
}

// Page gets a page of the node, which must not fail.
func Page(t *testing.T, node *Node, path string) (status int, text string) {
	t.Helper()
	client := http.Client{Timeout: Patience}
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

// Metrics are samples by name and labels, these in alphabetical order:
// dmqnode_connections{protocol=legacy}.
type Metrics map[string]float64

// Scrape reads /metrics as Prometheus does.
func Scrape(t *testing.T, node *Node) (Metrics, map[string]*dto.MetricFamily) {
	t.Helper()
	status, text := Page(t, node, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics: got status %d", status)
	}
	parser := expfmt.NewTextParser(names.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	all := make(Metrics)
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

// WantMetrics waits until metrics have these values: what a client has been told may be
// counted a moment later.
func WantMetrics(t *testing.T, node *Node, when string, want Metrics) {
	t.Helper()
	var wrong []string
	defer func() {
		if t.Failed() {
			t.Logf("%s:\n%s", when, strings.Join(wrong, "\n"))
		}
	}()
	Eventually(t, when+": the metrics", func() bool {
		got, _ := Scrape(t, node)
		wrong = nil
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if value, found := got[name]; !found || value != want[name] {
				wrong = append(wrong, fmt.Sprintf("%s: got %g (there: %v), want %g", name, value, found, want[name]))
			}
		}
		return len(wrong) == 0
	})
}
