// Package dmqprometheus gives the figures of a client to Prometheus.
//
//	requests := dmqprometheus.NewRequests(nil)
//	c, err := client.New(client.Options{…, OnRequest: requests.OnRequest})
//	…
//	prometheus.MustRegister(requests, dmqprometheus.NewNodes(c, nil))
//
// It works with the clients of both protocols. Labels are node, request and outcome; never the
// channel, of which there may be any number.
package dmqprometheus

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/dmq"
)

// Nodes is a collector of what a client has counted for each node.
type Nodes struct {
	client  dmq.Client
	figures []figure
}

// figure is a value of a node.
type figure struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(dmq.NodeState) float64
}

// NewNodes returns a collector for c. labels are added to each figure; they tell several clients
// of a process apart.
func NewNodes(c dmq.Client, labels prometheus.Labels) *Nodes {
	n := &Nodes{client: c}
	add := func(name, help string, kind prometheus.ValueType, value func(dmq.NodeState) float64) {
		desc := prometheus.NewDesc("dmq_client_"+name, help, []string{"node"}, labels)
		n.figures = append(n.figures, figure{desc, kind, value})
	}
	add("node_connected", "Whether the client is connected to the node.", prometheus.GaugeValue, func(s dmq.NodeState) float64 {
		if s.State == dmq.Connected {
			return 1
		}
		return 0
	})
	add("requests_in_flight", "Requests waiting for the node.", prometheus.GaugeValue, func(s dmq.NodeState) float64 { return float64(s.InFlight) })
	add("connects_total", "Connections made.", prometheus.CounterValue, func(s dmq.NodeState) float64 { return float64(s.Connects) })
	add("records_pushed_total", "Records that the node has confirmed.", prometheus.CounterValue, func(s dmq.NodeState) float64 { return float64(s.Pushed) })
	add("records_popped_total", "Records got with Pop.", prometheus.CounterValue, func(s dmq.NodeState) float64 { return float64(s.Popped) })
	add("records_consumed_total", "Records received by consumers.", prometheus.CounterValue, func(s dmq.NodeState) float64 { return float64(s.Consumed) })
	add("requests_failed_total", "Requests that failed at the node.", prometheus.CounterValue, func(s dmq.NodeState) float64 { return float64(s.Failed) })
	return n
}

// Describe implements [prometheus.Collector].
func (n *Nodes) Describe(descs chan<- *prometheus.Desc) {
	for _, f := range n.figures {
		descs <- f.desc
	}
}

// Collect implements [prometheus.Collector].
func (n *Nodes) Collect(metrics chan<- prometheus.Metric) {
	for _, state := range n.client.Nodes() {
		for _, f := range n.figures {
			metrics <- prometheus.MustNewConstMetric(f.desc, f.kind, f.value(state), state.Address)
		}
	}
}

// Requests measures how long requests take.
type Requests struct {
	*prometheus.HistogramVec
}

// NewRequests returns a collector; OnRequest belongs into the options of a client.
func NewRequests(labels prometheus.Labels) *Requests {
	return &Requests{prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:        "dmq_client_request_seconds",
		Help:        "How long requests have taken: Push, Pop, Flush of a producer, Handle of a record by the program.",
		Buckets:     prometheus.ExponentialBuckets(0.0001, 4, 10),
		ConstLabels: labels,
	}, []string{"request", "outcome"})}
}

// OnRequest is for [dmq.Options].
func (r *Requests) OnRequest(ctx context.Context, request dmq.Request) (context.Context, func(error)) {
	start := time.Now()
	return ctx, func(err error) {
		r.WithLabelValues(request.Name, outcome(err)).Observe(time.Since(start).Seconds())
	}
}

// outcome is a word for an error.
func outcome(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, dmq.ErrUncertain):
		return "uncertain"
	case errors.Is(err, dmq.ErrEmpty):
		return "empty"
	}
	return "failed"
}
