package web

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
)

// Metrics of queues, of which there may be many thousand. A registry of the Prometheus library
// makes, checks and sorts each metric by itself, which took seconds; here the families are made at
// one go. That they are right by themselves is clear: names and labels are constants, and no two
// queues have the same names.

// queueMetric is one metric of a queue.
type queueMetric struct {
	name, help string
	place      string // a label, if it is not ""
	counts     bool   // a counter, else a gauge
	value      func(*storageReading) float64
}

// queueFamilies are the metrics of all queues. Metrics of one name are neighbours in queueMetrics.
func queueFamilies(r *stats.Reading) (all []*dto.MetricFamily) {
	if len(r.Storages) == 0 {
		return nil // a family has to have a metric
	}
	var labels queueLabels
	for i := range queueMetrics {
		m := &queueMetrics[i]
		if i == 0 || m.name != queueMetrics[i-1].name {
			all = append(all, m.family())
		}
		family := all[len(all)-1]
		family.Metric = append(family.Metric, m.metrics(r, labels.with(r, m.place))...)
	}
	return all
}

func (m *queueMetric) family() *dto.MetricFamily {
	name, kind := "dmqnode_"+m.name, dto.MetricType_GAUGE
	if m.counts {
		kind = dto.MetricType_COUNTER
	}
	return &dto.MetricFamily{Name: &name, Help: &m.help, Type: &kind}
}

// metrics makes the metrics of all queues from a few allocations.
func (m *queueMetric) metrics(r *stats.Reading, labels [][]*dto.LabelPair) []*dto.Metric {
	n := len(r.Storages)
	all, metrics, values := make([]*dto.Metric, n), make([]dto.Metric, n), make([]float64, n)
	counters, gauges := make([]dto.Counter, 0, n), make([]dto.Gauge, 0, n)
	for i := range r.Storages {
		values[i] = m.value(&storageReading{&r.Storages[i], r})
		metrics[i].Label = labels[i]
		if m.counts {
			counters = counters[:i+1]
			counters[i].Value = &values[i]
			metrics[i].Counter = &counters[i]
		} else {
			gauges = gauges[:i+1]
			gauges[i].Value = &values[i]
			metrics[i].Gauge = &gauges[i]
		}
		all[i] = &metrics[i]
	}
	return all
}

// queueLabels are the labels of all queues, by place; metrics share them.
type queueLabels map[string][][]*dto.LabelPair

func (l *queueLabels) with(r *stats.Reading, place string) [][]*dto.LabelPair {
	if all := (*l)[place]; all != nil {
		return all
	}
	if *l == nil {
		*l = queueLabels{}
	}
	all := make([][]*dto.LabelPair, len(r.Storages))
	for i := range r.Storages {
		f := &r.Storages[i]
		all[i] = append(all[i], label("channel", &f.Channel)) // in the order of their names
		if place != "" {
			all[i] = append(all[i], label("place", &place))
		}
		all[i] = append(all[i], label("subscriber", &f.Subscriber))
	}
	(*l)[place] = all
	return all
}

func label(name string, value *string) *dto.LabelPair {
	return &dto.LabelPair{Name: &name, Value: value}
}

// gatherer gathers the metrics of the registry and those of queues, all of one moment.
type gatherer struct {
	registry  *prometheus.Registry
	collector *collector
}

// Gather is not called twice at once: see CoalesceGather.
func (g *gatherer) Gather() ([]*dto.MetricFamily, error) {
	g.collector.read()
	families, err := g.registry.Gather()
	return append(families, queueFamilies(&g.collector.reading)...), err
}
