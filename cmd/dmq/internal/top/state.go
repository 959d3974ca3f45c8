package top

import (
	"cmp"
	"slices"
)

// State is what is shown.
type State struct {
	Nodes  []Node  `json:"nodes"`
	Queues []Queue `json:"queues"`
}

// Node is a node in a State. Rates are nil before the second sample of it.
type Node struct {
	Node        string   `json:"node"` // address of its HTTP page
	Error       string   `json:"error,omitempty"`
	Connections float64  `json:"connections"`
	Records     float64  `json:"records"`
	Bytes       float64  `json:"bytes"`
	In          *float64 `json:"in_per_second,omitempty"`  // records
	Out         *float64 `json:"out_per_second,omitempty"` // records
}

// Queue is a queue in a State, the sum over all nodes, but the largest fullness and ages.
type Queue struct {
	Channel    string   `json:"channel"`
	Subscriber string   `json:"subscriber"`
	Records    float64  `json:"records"`
	Overflow   float64  `json:"overflow_records"` // of the records
	Bytes      float64  `json:"bytes"`
	Fullness   float64  `json:"fullness_ratio"`
	In         *float64 `json:"in_per_second,omitempty"`
	Out        *float64 `json:"out_per_second,omitempty"`
	Age        float64  `json:"oldest_record_age_seconds"`
	Consumers  float64  `json:"consumers"`
	// Unconfirmed is of the records those that clients have and have not confirmed.
	Unconfirmed    float64 `json:"unconfirmed_records"`
	UnconfirmedAge float64 `json:"unconfirmed_age_seconds"`
}

func (q *Queue) name() string { return Name{q.Channel, q.Subscriber}.String() }

// NewState makes a State of samples, and the samples before them of the same nodes, which may
// be nil. The queues are in the order of their names.
func NewState(before, now []Sample) State {
	s := State{Nodes: make([]Node, len(now)), Queues: []Queue{}}
	queues := map[Name]*Queue{}
	for i, sample := range now {
		var last Sample
		if i < len(before) {
			last = before[i]
		}
		s.Nodes[i] = Node{Node: sample.Node, Connections: sample.Connections}
		if sample.Err != nil {
			s.Nodes[i].Error = sample.Err.Error()
		}
		for name, f := range sample.Queues {
			if queues[name] == nil {
				queues[name] = &Queue{Channel: name.Channel, Subscriber: name.Subscriber}
			}
			q, n := queues[name], &s.Nodes[i]
			q.add(f)
			n.Records += f.Records
			n.Bytes += f.Bytes
			if in, out, ok := rates(name, last, sample); ok {
				q.In, q.Out = plus(q.In, in), plus(q.Out, out)
				n.In, n.Out = plus(n.In, in), plus(n.Out, out)
			}
		}
	}
	for _, q := range queues {
		s.Queues = append(s.Queues, *q)
	}
	s.Sort(ByName)
	return s
}

func (q *Queue) add(f Figures) {
	q.Records += f.Records
	q.Overflow += f.Overflow
	q.Bytes += f.Bytes
	q.Fullness = max(q.Fullness, f.Fullness)
	q.Age = max(q.Age, f.Age)
	q.Consumers += f.Consumers
	q.Unconfirmed += f.Unconfirmed
	q.UnconfirmedAge = max(q.UnconfirmedAge, f.UnconfirmedAge)
}

// rates returns the records a second that went in and out between two samples. A queue that
// was made since, or whose node has started again, has counted from 0.
func rates(name Name, last, now Sample) (in, out float64, ok bool) {
	seconds := now.At.Sub(last.At).Seconds()
	if last.At.IsZero() || last.Err != nil || seconds <= 0 {
		return 0, 0, false
	}
	rate := func(before, after float64) float64 {
		if after < before {
			before = 0
		}
		return (after - before) / seconds
	}
	before, after := last.Queues[name], now.Queues[name]
	return rate(before.Pushed, after.Pushed), rate(before.Delivered, after.Delivered), true
}

func plus(sum *float64, more float64) *float64 {
	if sum != nil {
		more += *sum
	}
	return &more
}

// Order is what queues are sorted by.
type Order int

// Orders.
const (
	ByName Order = iota
	ByRecords
	ByIn
	ByOut
	ByAge
	orders
)

var orderNames = [...]string{"name", "records", "in/s", "out/s", "age"}

func (o Order) String() string { return orderNames[o] }

// Sort sorts the queues: by name, or by a figure, the largest first.
func (s State) Sort(by Order) {
	figure := func(q Queue) float64 {
		switch by {
		case ByRecords:
			return q.Records
		case ByIn:
			return orZero(q.In)
		case ByOut:
			return orZero(q.Out)
		case ByAge:
			return q.Age
		}
		return 0
	}
	slices.SortFunc(s.Queues, func(a, b Queue) int {
		return cmp.Or(cmp.Compare(figure(b), figure(a)), cmp.Compare(a.Channel, b.Channel), cmp.Compare(a.Subscriber, b.Subscriber))
	})
}

func orZero(rate *float64) float64 {
	if rate == nil {
		return 0
	}
	return *rate
}
