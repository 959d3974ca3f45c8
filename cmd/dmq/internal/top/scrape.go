// Package top shows what the nodes of a DMQ are doing, from the metrics of their HTTP pages:
// the sums over all nodes for each queue, and the rates since the sample before.
//
//	/metrics of each node ──▶ Sample ──┐
//	                       the one before ├──▶ State ──▶ table, JSON, live view
//
// Of this module it imports internal/figures.
package top

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// maxPage is the largest page that is read, in bytes.
const maxPage = 64 << 20

// Sample is what a node said at a moment.
type Sample struct {
	Node        string
	Err         error // if it said nothing
	At          time.Time
	Connections float64
	Queues      map[Name]Figures
}

// Name is the name of a queue.
type Name struct{ Channel, Subscriber string }

// String is the name as the log and the data directory of a node have it. The queue of a
// channel that has no subscribers, and that of the subscriber without a name, look alike.
func (n Name) String() string {
	if n.Subscriber == "" {
		return n.Channel
	}
	return n.Subscriber + "@" + n.Channel
}

// Figures are those of a queue at a node.
type Figures struct {
	Records, Overflow float64 // Overflow: of the records those on disk
	Bytes             float64
	Fullness          float64 // of the memory, 0 to 1
	Pushed, Delivered float64 // records since the node has started
	Age               float64 // of the oldest record, seconds
	Unconfirmed       float64 // of the records those that clients have and have not confirmed
	UnconfirmedAge    float64 // of the oldest delivery of these, seconds
	Consumers         float64
}

// Rescrape asks those nodes again that have answered before, and keeps the errors of the
// others.
func Rescrape(ctx context.Context, before []Sample) []Sample {
	var answering []string
	for _, s := range before {
		if s.Err == nil {
			answering = append(answering, s.Node)
		}
	}
	again := Scrape(ctx, answering)
	samples := slices.Clone(before)
	for i := range samples {
		if samples[i].Err == nil {
			samples[i], again = again[0], again[1:]
		}
	}
	return samples
}

// Scrape asks all nodes at once. A node that does not answer has an error in its sample.
func Scrape(ctx context.Context, nodes []string) []Sample {
	samples := make([]Sample, len(nodes))
	var group sync.WaitGroup
	for i, node := range nodes {
		group.Go(func() {
			samples[i] = Sample{Node: node}
			families, err := fetch(ctx, node)
			samples[i].At = time.Now()
			if err != nil {
				samples[i].Err = err
				return
			}
			samples[i].read(families)
		})
	}
	group.Wait()
	return samples
}

func fetch(ctx context.Context, node string) (map[string]*dto.MetricFamily, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+node+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // the address is known
		}
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("/metrics: %s", response.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(response.Body, maxPage))
	if err != nil {
		return nil, fmt.Errorf("/metrics: %w", err)
	}
	if families["dmqnode_records"] == nil {
		return nil, errors.New("/metrics: not those of a node")
	}
	return families, nil
}

// read takes what top shows out of the metrics.
func (s *Sample) read(families map[string]*dto.MetricFamily) {
	for _, m := range families["dmqnode_connections"].GetMetric() {
		s.Connections += value(m)
	}
	s.Queues = map[Name]Figures{}
	for metric, take := range map[string]func(f *Figures, place string, value float64){
		"records": func(f *Figures, place string, value float64) {
			f.Records += value
			if place == "overflow" {
				f.Overflow = value
			}
		},
		"bytes":                   func(f *Figures, _ string, value float64) { f.Bytes += value },
		"fullness_ratio":          func(f *Figures, _ string, value float64) { f.Fullness = value },
		"pushed_records_total":    func(f *Figures, _ string, value float64) { f.Pushed = value },
		"delivered_records_total": func(f *Figures, _ string, value float64) { f.Delivered = value },
		"oldest_record_age_seconds": func(f *Figures, _ string, value float64) {
			f.Age = value
		},
		"unconfirmed_records":     func(f *Figures, _ string, value float64) { f.Unconfirmed = value },
		"unconfirmed_age_seconds": func(f *Figures, _ string, value float64) { f.UnconfirmedAge = value },
		"consumers":               func(f *Figures, _ string, value float64) { f.Consumers = value },
	} {
		for _, m := range families["dmqnode_queue_"+metric].GetMetric() {
			name := Name{label(m, "channel"), label(m, "subscriber")}
			f := s.Queues[name]
			take(&f, label(m, "place"), value(m))
			s.Queues[name] = f
		}
	}
}

// value returns the value of a gauge or counter.
func value(m *dto.Metric) float64 {
	if m.Counter != nil {
		return m.GetCounter().GetValue()
	}
	return m.GetGauge().GetValue()
}

func label(m *dto.Metric, name string) string {
	for _, pair := range m.GetLabel() {
		if pair.GetName() == name {
			return pair.GetValue()
		}
	}
	return ""
}
