package web

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/admin"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/web/pages"
)

// source is where the pages have the figures of this node from: the newest sample, and for what is
// not sampled the operations of the node.
type source struct {
	sampler    *sampler
	sources    *stats.Sources
	operations *admin.Operations
	build      Build
	started    time.Time
	unready    func() error
}

// Node implements pages.Source.
func (o *source) Node(context.Context) (*pages.Node, error) {
	host, _ := os.Hostname()
	n := &pages.Node{Host: host, Version: o.build.Version, Go: o.build.Go, Started: o.started}
	if err := o.unready(); err != nil {
		n.Problem = err.Error()
	}
	for _, r := range o.sources.ReadRequests() {
		n.Requests = append(n.Requests, pages.Request{
			Protocol: r.Protocol, Name: r.Name, Stream: r.Stream, Active: r.Active, Handled: r.Handled,
			Timed: r.Timed, Seconds: r.Took.Seconds(), Buckets: append([]uint64(nil), r.InBucket[:]...),
		})
	}
	s := o.sampler
	s.mu.Lock()
	defer s.mu.Unlock()
	now := &s.now
	n.Time = now.At
	n.Records, n.Bytes = now.Stored()
	oldest := now.At
	for i := range now.Storages {
		f := &now.Storages[i]
		n.Spilled.Records += f.OverflowRecords
		n.Spilled.Bytes += f.OverflowBytes
		if !f.Oldest.IsZero() && f.Oldest.Before(oldest) {
			oldest, n.OldestQueue = f.Oldest, nameOf(f)
		}
	}
	n.Oldest = now.At.Sub(oldest).Seconds()
	n.HandedOut, n.Redelivered = now.Popped.Records, now.Redelivered.Records
	n.Queues, n.QueueLimit = len(now.Storages), now.Budgets.QueueLimit
	n.Connections = []pages.Connections{connectionsOf("legacy", now.Legacy), connectionsOf("neo", now.Neo)}
	for why, pushes := range now.Refused {
		n.Refused = append(n.Refused, pages.Refused{Reason: stats.Refusal(why).String(), Pushes: pushes})
	}
	n.Memory, n.MemoryLimit, n.Limited, n.CPU = now.Process.RSS, now.Process.Limit, now.Process.Limited(), s.cpu
	n.Rates = s.rates.all()
	return n, nil
}

func connectionsOf(protocol string, c stats.Connections) pages.Connections {
	return pages.Connections{Protocol: protocol, Open: c.Open, Limit: uint64(c.Limit), Refused: c.AllRefused()}
}

func nameOf(f *storage.Figures) string { return names.Storage(f.Subscriber, f.Channel, f.Subscribed) }

// Queues implements pages.Source.
func (o *source) Queues(context.Context) ([]pages.Queue, error) {
	s := o.sampler
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]pages.Queue, 0, len(s.now.Storages))
	for i := range s.now.Storages {
		all = append(all, s.queue(&s.now.Storages[i]))
	}
	return all, nil
}

// queue is what the sampler knows of a queue.
func (s *sampler) queue(f *storage.Figures) pages.Queue {
	q := pages.Queue{Queue: admin.QueueOf(*f, s.now.At), Latency: f.Latency.Seconds(), Fullness: []int{}}
	if t := s.queues[queueKey{f.Channel, f.Subscriber}]; t != nil {
		q.In, q.Out = t.in, t.out
		for _, percent := range t.fullness.all() {
			q.Fullness = append(q.Fullness, int(percent))
		}
	}
	return q
}

// Queue implements pages.Source.
func (o *source) Queue(_ context.Context, name string) (*pages.Detail, error) {
	d, err := o.detail(name)
	if err != nil {
		return nil, err
	}
	for _, c := range o.operations.Clients(name) {
		d.Clients = append(d.Clients, pages.Client{Client: c})
	}
	return d, nil
}

func (o *source) detail(name string) (*pages.Detail, error) {
	s := o.sampler
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.now.Storages {
		f := &s.now.Storages[i]
		if nameOf(f) != name {
			continue
		}
		d := &pages.Detail{Queue: s.queue(f), History: []pages.History{}, Clients: []pages.Client{}}
		if t := s.queues[queueKey{f.Channel, f.Subscriber}]; t != nil && t.history != nil {
			d.History = t.history.all()
		}
		return d, nil
	}
	return nil, fmt.Errorf("%w: no queue has that name, or it is less than a second old", pages.ErrUnknown)
}

// Peek implements pages.Source.
func (o *source) Peek(_ context.Context, name string, skip, records int) ([]admin.Record, error) {
	peeked, err := o.operations.Peek(name, uint64(skip), uint64(records), mostPeeked)
	if errors.Is(err, storage.ErrNoQueue) {
		return nil, fmt.Errorf("%w: %w", pages.ErrUnknown, err)
	}
	return admin.Records(peeked), err
}

// mostPeeked is how many bytes of records are shown at a time.
const mostPeeked = 256 << 10

// Clients implements pages.Source.
func (o *source) Clients(context.Context) ([]pages.Client, error) {
	all := []pages.Client{}
	for _, c := range o.operations.Clients("") {
		all = append(all, pages.Client{Client: c})
	}
	return all, nil
}
