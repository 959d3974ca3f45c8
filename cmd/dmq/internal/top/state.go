package top

import (
	"cmp"
	"slices"
	"strings"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/figures"
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

// rates returns the records a second that went in and out between two samples.
func rates(name Name, last, now Sample) (in, out float64, ok bool) {
	took := now.At.Sub(last.At)
	if last.At.IsZero() || last.Err != nil || took <= 0 {
		return 0, 0, false
	}
	before, after := last.Queues[name], now.Queues[name]
	in = figures.PerSecond(uint64(before.Pushed), uint64(after.Pushed), took)
	return in, figures.PerSecond(uint64(before.Delivered), uint64(after.Delivered), took), true
}

func plus(sum *float64, more float64) *float64 {
	if sum != nil {
		more += *sum
	}
	return &more
}

// Total is all queues together: the sums, but the largest fullness and age.
func (s *State) Total() (total Queue) {
	for i := range s.Queues {
		q := &s.Queues[i]
		total.add(Figures{Records: q.Records, Overflow: q.Overflow, Bytes: q.Bytes, Fullness: q.Fullness, Age: q.Age,
			Unconfirmed: q.Unconfirmed, UnconfirmedAge: q.UnconfirmedAge, Consumers: q.Consumers})
		if q.In != nil && q.Out != nil {
			total.In, total.Out = plus(total.In, *q.In), plus(total.Out, *q.Out)
		}
	}
	return total
}

// Filter leaves the queues whose names have a text in them, in upper or lower case.
func (s State) Filter(text string) State {
	text = strings.ToLower(text)
	s.Queues = slices.DeleteFunc(slices.Clone(s.Queues), func(q Queue) bool {
		return !strings.Contains(strings.ToLower(q.name()), text)
	})
	return s
}

// Order is what queues are sorted by.
type Order int

// Orders.
const (
	ByName Order = iota
	ByRecords
	ByDisk
	ByBytes
	ByFullness
	ByIn
	ByOut
	ByAge
	ByConsumers
	orders
)

// Orders are the names of the orders.
var Orders = []string{"name", "records", "disk", "bytes", "full", "in", "out", "age", "consumers"}

func (o Order) String() string { return Orders[o] }

// Sort sorts the queues: by name, or by a figure, the largest first.
func (s State) Sort(by Order) {
	figure := func(q Queue) float64 {
		switch by {
		case ByRecords:
			return q.Records
		case ByDisk:
			return q.Overflow
		case ByBytes:
			return q.Bytes
		case ByFullness:
			return q.Fullness
		case ByIn:
			return orZero(q.In)
		case ByOut:
			return orZero(q.Out)
		case ByAge:
			return q.Age
		case ByConsumers:
			return q.Consumers
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
