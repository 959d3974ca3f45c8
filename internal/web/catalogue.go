package web

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/logging"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// Here are all metrics of the node. docs/metrics.md lists them, too; a test compares.

var buildInfo = prometheus.NewDesc("dmqnode_build_info",
	"Always 1; the labels say what is running.", []string{"version", "go"}, nil)

var (
	node = maker[stats.Reading]{}

	nodeMetrics = []metric[stats.Reading]{
		node.metric("cpu_seconds_total", "CPU time of the process.", prometheus.Labels{"mode": "user"}, prometheus.CounterValue,
			func(r *stats.Reading) float64 { return r.Process.User.Seconds() }),
		node.metric("cpu_seconds_total", "CPU time of the process.", prometheus.Labels{"mode": "system"}, prometheus.CounterValue,
			func(r *stats.Reading) float64 { return r.Process.System.Seconds() }),
		node.gauge("machine_memory_bytes", "Memory of the machine; 0 if it is not known.",
			func(r *stats.Reading) float64 { return float64(r.Process.Machine) }),
		node.gauge("memory_limit_bytes", "Memory that the node may use: the limit of its control group, or the memory of the machine; 0 if it is not known.",
			func(r *stats.Reading) float64 { return float64(r.Process.Limit) }),
		node.counter("received_bytes_total", "Bytes received from clients of both protocols.",
			func(r *stats.Reading) float64 { return float64(r.Received) }),
		node.counter("sent_bytes_total", "Bytes sent to clients of both protocols.",
			func(r *stats.Reading) float64 { return float64(r.Sent) }),
		node.gauge("channels", "Channels that exist.",
			func(r *stats.Reading) float64 { return float64(countChannels(r.Storages)) }),
		node.gauge("records", "Records in all queues, in memory and in the overflow.",
			func(r *stats.Reading) float64 { records, _ := r.Stored(); return float64(records) }),
		node.gauge("bytes", "Size of the records in all queues: in memory with 8 bytes for each, in the overflow without.",
			func(r *stats.Reading) float64 { _, bytes := r.Stored(); return float64(bytes) }),
		node.counter("pushed_records_total", "Records put into queues; one for each queue that a record was put into.",
			func(r *stats.Reading) float64 { return float64(r.Pushed.Records) }),
		node.counter("pushed_bytes_total", "Size of the records put into queues.",
			func(r *stats.Reading) float64 { return float64(r.Pushed.Bytes) }),
		node.counter("popped_records_total", "Records handed out to clients, by Pop and Consume, for the first time.",
			func(r *stats.Reading) float64 { return float64(r.Popped.Records) }),
		node.counter("popped_bytes_total", "Size of the records handed out for the first time.",
			func(r *stats.Reading) float64 { return float64(r.Popped.Bytes) }),
		node.counter("delivered_records_total", "Records delivered to clients, and gone.",
			func(r *stats.Reading) float64 { return float64(r.Delivered.Records) }),
		node.counter("delivered_bytes_total", "Size of the records delivered.",
			func(r *stats.Reading) float64 { return float64(r.Delivered.Bytes) }),
		node.counter("redelivered_records_total", "Records that came back from a client that did not take them, for another delivery.",
			func(r *stats.Reading) float64 { return float64(r.Redelivered.Records) }),
		node.counter("failed_records_total", "Records that were delivered in vain too often, and moved to the failed channel.",
			func(r *stats.Reading) float64 { return float64(r.Failed.Records) }),
		node.counter("overflowed_records_total", "Records put into queues that went to the overflow on the disk.",
			func(r *stats.Reading) float64 { return float64(r.Overflowed.Records) }),
		node.counter("cleared_records_total", "Records dropped by an operator.",
			func(r *stats.Reading) float64 { return float64(r.Cleared.Records) }),
		node.counter("cleared_bytes_total", "Size of the records dropped by an operator.",
			func(r *stats.Reading) float64 { return float64(r.Cleared.Bytes) }),
		node.gauge("queues", "Queues that exist: channels without subscribers, and subscribers.",
			func(r *stats.Reading) float64 { return float64(r.Budgets.Queues) }),
		node.gauge("queues_limit", "Queues that there may be.",
			func(r *stats.Reading) float64 { return float64(r.Budgets.QueueLimit) }),
		node.gauge("input_memory_bytes", "Memory that unfinished requests of all connections take.",
			func(r *stats.Reading) float64 { return float64(r.Budgets.Input) }),
		node.gauge("input_memory_limit_bytes", "Memory that they may take: [Limits] input_memory.",
			func(r *stats.Reading) float64 { return float64(r.Budgets.InputLimit) }),
		node.gauge("output_memory_bytes", "Memory that replies take which wait for their clients.",
			func(r *stats.Reading) float64 { return float64(r.Budgets.Output) }),
		node.gauge("output_memory_limit_bytes", "Memory that they may take: [Limits] output_memory.",
			func(r *stats.Reading) float64 { return float64(r.Budgets.OutputLimit) }),
		node.gauge("connections_waiting_for_memory", "Connections whose large request waits for memory.",
			func(r *stats.Reading) float64 { return float64(r.Budgets.Waiting) }),
		node.counter("requests_put_off_total", "Times that a connection had more to do than its turn allowed, so that others came first.",
			func(r *stats.Reading) float64 { return float64(r.Budgets.PutOff) }),
		node.metric("ended_connections_total", "Connections ended by the node for the sake of others.", prometheus.Labels{"reason": "memory"}, prometheus.CounterValue,
			func(r *stats.Reading) float64 { return float64(r.Budgets.Reaped) }),
		node.metric("ended_connections_total", "Connections ended by the node for the sake of others.", prometheus.Labels{"reason": "idle"}, prometheus.CounterValue,
			func(r *stats.Reading) float64 { return float64(r.Budgets.Idled) }),
	}
)

var (
	refusal = maker[uint64]{[]string{"reason"}}

	refusalMetrics = []metric[uint64]{
		refusal.counter("refused_pushes_total", "Requests to push records that were refused.",
			func(n *uint64) float64 { return float64(*n) }),
	}
)

// countChannels counts channels; storages of a channel are neighbours.
func countChannels(storages []storage.Figures) (n int) {
	for i := range storages {
		if i == 0 || storages[i].Channel != storages[i-1].Channel {
			n++
		}
	}
	return n
}

var (
	connections = connectionMaker{maker[stats.Connections]{[]string{"protocol"}}}

	connectionMetrics = []metric[stats.Connections]{
		connections.gauge("connections", "Open connections of clients.",
			func(c *stats.Connections) float64 { return float64(c.Open) }),
		connections.gauge("connection_limit", "Connections that may be open; 0 = no limit.",
			func(c *stats.Connections) float64 { return float64(c.Limit) }),
		connections.refused("limit", func(c *stats.Connections) int64 { return c.Refused }),
		connections.refused("address", func(c *stats.Connections) int64 { return c.RefusedAddress }),
		connections.refused("network", func(c *stats.Connections) int64 { return c.RefusedNetwork }),
		connections.refused("descriptors", func(c *stats.Connections) int64 { return c.RefusedDescriptors }),
	}
)

// connectionMaker makes metrics of a listener.
type connectionMaker struct{ maker[stats.Connections] }

func (m connectionMaker) refused(reason string, value func(*stats.Connections) int64) metric[stats.Connections] {
	return m.metric("refused_connections_total", "Connections closed at once.", prometheus.Labels{"reason": reason}, prometheus.CounterValue,
		func(c *stats.Connections) float64 { return float64(value(c)) })
}

// storageReading is the figures of a queue at a moment.
type storageReading struct {
	*storage.Figures
	of *stats.Reading
}

// age is that of the oldest record in seconds, 0 if there is none.
func (s *storageReading) age() float64 {
	if s.Oldest.IsZero() {
		return 0
	}
	return max(0, s.of.At.Sub(s.Oldest).Seconds())
}

// queueMetrics are those of each queue.
var queueMetrics = []queueMetric{
	{"queue_records", "Records in the queue.", "memory", false,
		func(s *storageReading) float64 { return float64(s.MemoryRecords) }},
	{"queue_records", "Records in the queue.", "overflow", false,
		func(s *storageReading) float64 { return float64(s.OverflowRecords) }},
	{"queue_bytes", "Size of the records: in memory with 8 bytes for each, in the overflow without.", "memory", false,
		func(s *storageReading) float64 { return float64(s.MemoryBytes) }},
	{"queue_bytes", "Size of the records: in memory with 8 bytes for each, in the overflow without.", "overflow", false,
		func(s *storageReading) float64 { return float64(s.OverflowBytes) }},
	{"queue_capacity_bytes", "Room in memory (channel_size_limit); what does not fit goes to the overflow.", "", false,
		func(s *storageReading) float64 { return float64(s.Capacity) }},
	{"queue_fullness_ratio", "Part of the room in memory that is taken, 0 to 1.", "", false,
		func(s *storageReading) float64 { return stats.Fullness(s.Figures) }},
	{"queue_pushed_records_total", "Records put into the queue.", "", true,
		func(s *storageReading) float64 { return float64(s.Pushed.Records) }},
	{"queue_pushed_bytes_total", "Size of the records put into the queue.", "", true,
		func(s *storageReading) float64 { return float64(s.Pushed.Bytes) }},
	{"queue_delivered_records_total", "Records delivered to clients, and gone.", "", true,
		func(s *storageReading) float64 { return float64(s.Delivered.Records) }},
	{"queue_delivered_bytes_total", "Size of the records delivered.", "", true,
		func(s *storageReading) float64 { return float64(s.Delivered.Bytes) }},
	{"queue_redelivered_records_total", "Records that came back from a client that did not take them, for another delivery.", "", true,
		func(s *storageReading) float64 { return float64(s.Redelivered.Records) }},
	{"queue_failed_records_total", "Records that were delivered in vain too often, and moved to the failed channel.", "", true,
		func(s *storageReading) float64 { return float64(s.Failed.Records) }},
	{"queue_delayed_records", "Records of the queue that consumers have returned to be delivered later.", "", false,
		func(s *storageReading) float64 { return float64(s.Delayed.Records) }},
	{"queue_overflowed_records_total", "Records put into the queue that went to the overflow on the disk.", "", true,
		func(s *storageReading) float64 { return float64(s.Overflowed.Records) }},
	{"queue_cleared_records_total", "Records dropped by an operator.", "", true,
		func(s *storageReading) float64 { return float64(s.Cleared.Records) }},
	{"queue_paused", "1 if the queue is paused and hands out nothing, else 0.", "", false,
		func(s *storageReading) float64 { return map[bool]float64{true: 1}[s.Paused] }},
	{"queue_oldest_record_age_seconds", "Age of the oldest record, at the earliest since the start of the node; 0 if there is none.", "", false,
		(*storageReading).age},
	{"queue_unconfirmed_records", "Records of the queue that clients have got, or are getting, and have not confirmed.", "", false,
		func(s *storageReading) float64 { return float64(s.Unsettled.Records) }},
	{"queue_unconfirmed_bytes", "Size of the records that are not confirmed.", "", false,
		func(s *storageReading) float64 { return float64(s.Unsettled.Bytes) }},
	{"queue_unconfirmed_age_seconds", "How long ago the oldest record that is not confirmed was handed out; 0 if there is none.", "", false,
		func(s *storageReading) float64 { return s.of.UnconfirmedAge(s.Figures).Seconds() }},
	{"queue_delivery_latency_seconds", "How long the last record of those that are measured, one a second, took from push to delivery.", "", false,
		func(s *storageReading) float64 { return s.Latency.Seconds() }},
	{"queue_consumers", "Consumers of the queue.", "", false,
		func(s *storageReading) float64 { return float64(s.Consumers) }},
	{"queue_consumers_waiting", "Consumers that wait for a record.", "", false,
		func(s *storageReading) float64 { return float64(s.Waiting) }},
}

// logLevels are the levels of log messages.
var logLevels = []struct {
	name  string
	count func(*logging.Counts) float64
}{
	{"trace", func(c *logging.Counts) float64 { return float64(c.Trace) }},
	{"info", func(c *logging.Counts) float64 { return float64(c.Info) }},
	{"warn", func(c *logging.Counts) float64 { return float64(c.Warn) }},
	{"error", func(c *logging.Counts) float64 { return float64(c.Error) }},
	{"fatal", func(c *logging.Counts) float64 { return float64(c.Fatal) }},
}

var logMetrics = func() (all []metric[logging.Counts]) {
	for _, level := range logLevels {
		all = append(all, maker[logging.Counts]{}.metric("log_messages_total", "Messages logged.",
			prometheus.Labels{"level": level.name}, prometheus.CounterValue, level.count))
	}
	for _, left := range []struct {
		reason string
		count  func(*logging.Counts) float64
	}{
		{"frequent", func(c *logging.Counts) float64 { return float64(c.Suppressed) }},
		{"slow", func(c *logging.Counts) float64 { return float64(c.Dropped) }},
	} {
		all = append(all, maker[logging.Counts]{}.metric("log_messages_left_out_total", "Messages that were not logged.",
			prometheus.Labels{"reason": left.reason}, prometheus.CounterValue, left.count))
	}
	return all
}()

var (
	requestLabels = []string{"protocol", "request"}
	request       = maker[stats.RequestReading]{requestLabels}

	requestMetrics = []metric[stats.RequestReading]{
		request.gauge("requests_active", "Requests that are being handled.",
			func(r *stats.RequestReading) float64 { return float64(r.Active) }),
		request.gauge("requests_most_active", "Most requests handled at once since the last line of stats.log.",
			func(r *stats.RequestReading) float64 { return float64(r.MostActive) }),
		request.counter("requests_handled_total", "Requests handled, successful or not.",
			func(r *stats.RequestReading) float64 { return float64(r.Handled) }),
	}

	requestDuration = prometheus.NewDesc("dmqnode_request_duration_seconds",
		"How long requests took, streams excepted.", requestLabels, nil)
)
