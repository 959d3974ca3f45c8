package pages

import (
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/admin"
)

// Node is how a node is, or all nodes of a DMQ together.
type Node struct {
	Host    string    `json:"host"`
	Version string    `json:"version"`
	Go      string    `json:"go"`
	Time    time.Time `json:"time"`
	Started time.Time `json:"started"`
	Problem string    `json:"problem,omitempty"` // why clients should not store records there

	Records     uint64        `json:"records"` // in all queues
	Bytes       uint64        `json:"bytes"`
	Spilled     admin.Amount  `json:"spilled"`
	Oldest      float64       `json:"oldest_seconds"` // age of the oldest record
	OldestQueue string        `json:"oldest_queue,omitempty"`
	HandedOut   uint64        `json:"handed_out_records"` // for the first time
	Redelivered uint64        `json:"redelivered_records"`
	Queues      int           `json:"queues"`
	QueueLimit  int           `json:"queue_limit"` // 0 = none
	Connections []Connections `json:"connections"`
	Refused     []Refused     `json:"refused_pushes"`

	Memory      uint64  `json:"memory_bytes"`       // resident
	MemoryLimit uint64  `json:"memory_limit_bytes"` // 0 = not known
	Limited     bool    `json:"memory_limited"`     // by a control group
	CPU         float64 `json:"cpu_percent"`        // of one CPU

	Rates    []Rates   `json:"rates"` // of the last five minutes, one a second, the newest last
	Requests []Request `json:"requests"`

	Nodes []Member `json:"nodes,omitempty"` // of a DMQ
}

// Member is one of the nodes of a DMQ.
type Member struct {
	Address string `json:"address"`
	Error   string `json:"error,omitempty"` // why nothing is known of it
	*Node
}

// Connections is how many connections a port has.
type Connections struct {
	Protocol string `json:"protocol"`
	Open     int64  `json:"open"`
	Limit    uint64 `json:"limit"` // 0 = none
	Refused  int64  `json:"refused"`
}

// Refused is how many pushes were refused for a reason.
type Refused struct {
	Reason string `json:"reason"`
	Pushes uint64 `json:"pushes"`
}

// Rates are events a second.
type Rates struct {
	Pushed    float64 `json:"pushed"`
	Delivered float64 `json:"delivered"`
	Received  float64 `json:"received_bytes"`
	Sent      float64 `json:"sent_bytes"`
}

// Request is a kind of requests.
type Request struct {
	Protocol string   `json:"protocol"`
	Name     string   `json:"request"`
	Stream   bool     `json:"stream"` // has no durations
	Active   int64    `json:"active"`
	Handled  uint64   `json:"handled"`
	Timed    uint64   `json:"timed"` // those of them that have a duration
	Seconds  float64  `json:"seconds"`
	Buckets  []uint64 `json:"buckets"` // by duration: up to 10 µs, 100 µs, 1 ms, 10 ms, 100 ms, longer
}

// Queue is a queue, with what only somebody can tell who looks again and again.
type Queue struct {
	admin.Queue
	In       float64 `json:"in_per_second"`
	Out      float64 `json:"out_per_second"`
	Latency  float64 `json:"latency_seconds"`  // of delivery, see Point
	Fullness []int   `json:"fullness_percent"` // of the ring, in the last five minutes
}

// Detail is all there is to tell of a queue.
type Detail struct {
	Queue
	History []History   `json:"history"`
	Clients []Client    `json:"clients"` // that consume it
	Nodes   []NodeQueue `json:"nodes,omitempty"`
}

// NodeQueue is the part of a queue that is at one node of a DMQ.
type NodeQueue struct {
	Address string `json:"address"`
	Queue
}

// History is what a queue was like over a time, newest point last.
type History struct {
	Span   int     `json:"span_seconds"`
	Step   int     `json:"step_seconds"` // between two points
	Points []Point `json:"points"`
}

// Point is what a queue was like for the time of a step.
type Point struct {
	In      float32 `json:"in_per_second"`
	Out     float32 `json:"out_per_second"`
	Records float32 `json:"records"`         // the most
	Oldest  float32 `json:"oldest_seconds"`  // the highest age of the oldest record
	Latency float32 `json:"latency_seconds"` // the longest time from push to delivery that was measured, once a second
}

// Client is a connection.
type Client struct {
	Node string `json:"node,omitempty"` // of a DMQ
	admin.Client
}
