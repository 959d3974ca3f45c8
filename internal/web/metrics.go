package web

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
)

// newMetrics returns the handler of /metrics.
func newMetrics(sources *stats.Sources, build Build, errorLog *log.Logger) http.Handler {
	registry := prometheus.NewRegistry()
	node := &collector{sources: sources, build: build}
	registry.MustRegister(
		node,
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewGoCollector(),
	)
	return &scraped{registry: registry, node: node, errorLog: errorLog}
}

// scraped answers with the metrics of the registry and those of queues, all of one moment.
type scraped struct {
	errorLog *log.Logger

	mu       sync.Mutex // held while figures are gathered, not while they are sent
	registry *prometheus.Registry
	node     *collector
}

func (s *scraped) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	families, reading, err := s.gather()
	if err != nil {
		s.errorLog.Print("metrics: ", err)
		http.Error(w, fmt.Sprint("metrics: ", err), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", string(expfmt.NewFormat(expfmt.TypeTextPlain)))
	w.Header().Set("Vary", "Accept-Encoding")
	body := io.Writer(w)
	if takesGzip(r.Header.Get("Accept-Encoding")) {
		w.Header().Set("Content-Encoding", "gzip")
		compressed, _ := gzip.NewWriterLevel(w, gzip.BestSpeed) // which is a level that there is
		defer compressed.Close()
		body = compressed
	}
	// If writing fails, the peer is gone.
	out := bufio.NewWriterSize(body, 64<<10)
	for _, family := range families {
		expfmt.MetricFamilyToText(out, family)
	}
	writeQueues(out, reading)
	out.Flush()
}

func (s *scraped) gather() ([]*dto.MetricFamily, *stats.Reading, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.node.read()
	families, err := s.registry.Gather()
	reading := s.node.reading
	return families, &reading, err
}

// takesGzip reads the header in which a peer says what it can decompress.
func takesGzip(accepted string) bool {
	for one := range strings.SplitSeq(accepted, ",") {
		name, quality, _ := strings.Cut(strings.ReplaceAll(one, " ", ""), ";")
		if name == "gzip" {
			return quality != "q=0"
		}
	}
	return false
}

// collector turns the figures of the node into metrics.
type collector struct {
	sources *stats.Sources
	build   Build
	reading stats.Reading // what is to be told
}

// read looks at the figures. A channel that is removed meanwhile is in none of them: Prometheus
// would take counters that shrink for those of a new node.
func (c *collector) read() {
	now, _ := c.sources.Read() // stats.log tells what is wrong with those of the process
	now.Counters = c.reading.AtLeast(now.Counters)
	c.reading = now
}

// Describe tells all metrics.
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	descs <- buildInfo
	describe(descs, nodeMetrics)
	describe(descs, refusalMetrics)
	describe(descs, connectionMetrics)
	describe(descs, logMetrics)
	describe(descs, requestMetrics)
	descs <- requestDuration
}

// Collect tells their values.
func (c *collector) Collect(metrics chan<- prometheus.Metric) {
	r := &c.reading
	metrics <- prometheus.MustNewConstMetric(buildInfo, prometheus.GaugeValue, 1, c.build.Version, c.build.Go)
	send(metrics, nodeMetrics, r)
	for why, n := range r.Refused {
		send(metrics, refusalMetrics, &n, stats.Refusal(why).String())
	}
	send(metrics, connectionMetrics, &r.Legacy, "legacy")
	send(metrics, connectionMetrics, &r.Neo, "neo")
	logged := c.sources.Logged()
	send(metrics, logMetrics, &logged)
	for _, k := range c.sources.ReadRequests() {
		send(metrics, requestMetrics, &k, k.Protocol, k.Name)
		if !k.Stream {
			metrics <- histogram(k)
		}
	}
}

func histogram(k stats.RequestReading) prometheus.Metric {
	upTo := make(map[float64]uint64, len(stats.Limits))
	sum := uint64(0)
	for i, limit := range stats.Limits {
		sum += k.InBucket[i]
		upTo[limit.Seconds()] = sum
	}
	return prometheus.MustNewConstHistogram(requestDuration, k.Timed, k.Took.Seconds(), upTo, k.Protocol, k.Name)
}

// metric is one metric of a thing T.
type metric[T any] struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*T) float64
}

func describe[T any](descs chan<- *prometheus.Desc, all []metric[T]) {
	for _, m := range all {
		descs <- m.desc
	}
}

func send[T any](metrics chan<- prometheus.Metric, all []metric[T], of *T, labels ...string) {
	for _, m := range all {
		metrics <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(of), labels...)
	}
}

// maker makes the metrics of a thing that has these labels.
type maker[T any] struct{ labels []string }

func (k maker[T]) gauge(name, help string, value func(*T) float64) metric[T] {
	return k.metric(name, help, nil, prometheus.GaugeValue, value)
}

func (k maker[T]) counter(name, help string, value func(*T) float64) metric[T] {
	return k.metric(name, help, nil, prometheus.CounterValue, value)
}

// metric makes one that shares its name with others, from which a constant label tells it.
func (k maker[T]) metric(name, help string, constant prometheus.Labels, kind prometheus.ValueType, value func(*T) float64) metric[T] {
	return metric[T]{prometheus.NewDesc("dmqnode_"+name, help, k.labels, constant), kind, value}
}
