package stats

import "time"

// named is a kind of requests.
type named struct {
	category, name string // in the keys of stats.log
	requests       *Requests
	timed          bool // with the keys of durations
	stream         bool // its durations mean nothing, and are not counted
}

// requests are all kinds, in the order of the original's lines.
func (s *Sources) requests() []named {
	return []named{
		{"request", "Produce", &s.Legacy.Produce, true, true},
		{"request", "Consume", &s.Legacy.Consume, true, true},
		{"request", "PushMulti", &s.Legacy.PushMulti, true, false},
		{"request", "ProduceMulti", &s.Legacy.ProduceMulti, true, true},
		{"request", "Push", &s.Legacy.Push, true, false},
		{"request", "Pop", &s.Legacy.Pop, true, false},
		{"neo_request", "push", &s.Neo.Push, true, false},
		{"neo_request", "consume", &s.Neo.Consume, false, true},
		{"neo_request", "pop", &s.Neo.Pop, true, false},
	}
}

// RequestReading is the counters of a kind of requests at a moment.
type RequestReading struct {
	Protocol, Name string // legacy or neo; Push, …
	Stream         bool   // has no durations
	Active         int64
	MostActive     int64 // at once, since the last line of stats.log
	Handled        uint64

	Timed    uint64          // handled, with a duration
	Took     time.Duration   // the sum
	InBucket [buckets]uint64 // by duration, see Limits
}

// ReadRequests reads the counters of all kinds of requests. It may be called from any
// goroutine.
func (s *Sources) ReadRequests() (all []RequestReading) {
	for _, n := range s.requests() {
		r := RequestReading{Protocol: "legacy", Name: n.name, Stream: n.stream}
		if n.category == "neo_request" {
			r.Protocol = "neo"
		}
		counted := n.requests.read()
		r.Active, r.MostActive = n.requests.active.Load(), n.requests.most.Load()
		r.Handled, r.Took, r.InBucket = counted.handled, time.Duration(counted.nanos), counted.timed
		for _, handled := range r.InBucket {
			r.Timed += handled
		}
		all = append(all, r)
	}
	return all
}
