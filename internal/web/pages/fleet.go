package pages

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/admin"
)

// Fleet is the source of a whole DMQ: it asks the nodes over their /api/, all at once, and adds up
// what they say. Nodes that do not answer are left out, and shown as such; it is an error only if
// none does.
type Fleet struct {
	addresses []string // of their HTTP ports
	client    *http.Client
}

// NewFleet returns the DMQ of nodes with these addresses, which have that long to answer.
func NewFleet(addresses []string, patience time.Duration) *Fleet {
	return &Fleet{addresses, &http.Client{Timeout: patience}}
}

// mostAnswer is more bytes than an answer has.
const mostAnswer = 256 << 20

// get asks one node.
func (f *Fleet) get(ctx context.Context, address, path string, query url.Values, answer any) error {
	r, err := http.NewRequestWithContext(ctx, "GET", "http://"+address+"/api/"+path+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	reply, err := f.client.Do(r)
	if err != nil {
		var problem *url.Error
		if errors.As(err, &problem) {
			err = problem.Err // without the address, which is known
		}
		return err
	}
	defer reply.Body.Close()
	body := io.LimitReader(reply.Body, mostAnswer)
	if reply.StatusCode == http.StatusOK {
		return json.NewDecoder(body).Decode(answer)
	}
	var failure struct{ Error string }
	if json.NewDecoder(body).Decode(&failure) != nil {
		failure.Error = reply.Status
	}
	switch reply.StatusCode {
	case http.StatusNotFound:
		return fmt.Errorf("%w: %s", ErrUnknown, failure.Error)
	case http.StatusForbidden:
		return fmt.Errorf("%w: %s", errDenied, failure.Error)
	}
	return errors.New(failure.Error)
}

// each asks all nodes the same, and returns their answers, nil for those that gave none.
func each[T any](ctx context.Context, f *Fleet, ask func(context.Context, string) (*T, error)) (answers []*T, errs []error) {
	answers, errs = make([]*T, len(f.addresses)), make([]error, len(f.addresses))
	var all sync.WaitGroup
	for i, address := range f.addresses {
		all.Go(func() { answers[i], errs[i] = ask(ctx, address) })
	}
	all.Wait()
	return answers, errs
}

// unless returns the errors if there is no answer.
func unless[T any](f *Fleet, answers []*T, errs []error) error {
	if slices.ContainsFunc(answers, func(a *T) bool { return a != nil }) {
		return nil
	}
	var all []error
	for i, err := range errs {
		all = append(all, fmt.Errorf("%s: %w", f.addresses[i], err))
	}
	return errors.Join(all...)
}

// Node implements Source.
func (f *Fleet) Node(ctx context.Context) (*Node, error) {
	answers, errs := each(ctx, f, func(ctx context.Context, address string) (*Node, error) {
		n := new(Node)
		err := f.get(ctx, address, "node", nil, n)
		if err != nil {
			return nil, err
		}
		return n, nil
	})
	if err := unless(f, answers, errs); err != nil {
		return nil, err
	}
	sum := &Node{Host: fmt.Sprintf("%d nodes", len(f.addresses)), Time: time.Now()}
	for i, n := range answers {
		m := Member{Address: f.addresses[i], Node: n}
		if n == nil {
			m.Error = errs[i].Error()
			sum.Problem = strings.TrimPrefix(sum.Problem+"; "+m.Address+" does not answer", "; ")
		} else {
			sum.add(m.Address, n)
		}
		sum.Nodes = append(sum.Nodes, m)
	}
	return sum, nil
}

// add adds what a node tells to the sums.
func (sum *Node) add(address string, n *Node) {
	if n.Problem != "" {
		sum.Problem = strings.TrimPrefix(sum.Problem+"; "+address+": "+n.Problem, "; ")
	}
	sum.Records += n.Records
	sum.Bytes += n.Bytes
	sum.Spilled = plus(sum.Spilled, n.Spilled)
	if n.OldestQueue != "" && n.Oldest >= sum.Oldest {
		sum.Oldest, sum.OldestQueue = n.Oldest, n.OldestQueue+" at "+address
	}
	sum.HandedOut += n.HandedOut
	sum.Redelivered += n.Redelivered
	sum.Queues += n.Queues
	sum.QueueLimit += n.QueueLimit
	sum.Memory += n.Memory
	sum.MemoryLimit += n.MemoryLimit
	sum.Limited = sum.Limited || n.Limited
	sum.CPU += n.CPU
	for _, c := range n.Connections {
		s := row(&sum.Connections, func(s *Connections) bool { return s.Protocol == c.Protocol }, Connections{Protocol: c.Protocol})
		s.Open, s.Limit, s.Refused = s.Open+c.Open, s.Limit+c.Limit, s.Refused+c.Refused
	}
	for _, r := range n.Refused {
		row(&sum.Refused, func(s *Refused) bool { return s.Reason == r.Reason }, Refused{Reason: r.Reason}).Pushes += r.Pushes
	}
	sum.Rates = addSeries(sum.Rates, n.Rates, func(s *Rates, r Rates) {
		s.Pushed, s.Delivered, s.Received, s.Sent = s.Pushed+r.Pushed, s.Delivered+r.Delivered, s.Received+r.Received, s.Sent+r.Sent
	})
	for _, r := range n.Requests {
		s := row(&sum.Requests, func(s *Request) bool { return s.Protocol == r.Protocol && s.Name == r.Name },
			Request{Protocol: r.Protocol, Name: r.Name, Stream: r.Stream})
		s.Active, s.Handled, s.Timed, s.Seconds = s.Active+r.Active, s.Handled+r.Handled, s.Timed+r.Timed, s.Seconds+r.Seconds
		s.Buckets = addSeries(s.Buckets, r.Buckets, func(s *uint64, n uint64) { *s += n })
	}
}

func plus(a, b admin.Amount) admin.Amount {
	return admin.Amount{Records: a.Records + b.Records, Bytes: a.Bytes + b.Bytes}
}

// row returns the row of a table that is meant, which is added if it is not there.
func row[T any](all *[]T, is func(*T) bool, first T) *T {
	for i := range *all {
		if is(&(*all)[i]) {
			return &(*all)[i]
		}
	}
	*all = append(*all, first)
	return &(*all)[len(*all)-1]
}

// addSeries adds values to those of the same time: the last ones are of now.
func addSeries[T any](sum, more []T, add func(*T, T)) []T {
	if missing := len(more) - len(sum); missing > 0 {
		sum = append(make([]T, missing), sum...)
	}
	for i, v := range more {
		add(&sum[len(sum)-len(more)+i], v)
	}
	return sum
}

// Queues implements Source.
func (f *Fleet) Queues(ctx context.Context) ([]Queue, error) {
	answers, errs := each(ctx, f, f.queuesOf)
	if err := unless(f, answers, errs); err != nil {
		return nil, err
	}
	all := []Queue{}
	index := make(map[string]int) // in all, by name
	for _, queues := range answers {
		if queues == nil {
			continue
		}
		for i := range *queues {
			q := &(*queues)[i]
			if at, found := index[q.Name]; found {
				all[at].add(q)
				continue
			}
			index[q.Name] = len(all)
			all = append(all, *q)
		}
	}
	return all, nil
}

// queuesOf asks a node for all of its queues, as many at a time as it tells.
func (f *Fleet) queuesOf(ctx context.Context, address string) (*[]Queue, error) {
	all := []Queue{}
	for page, pages := 1, 1; page <= pages; page++ {
		var l QueueList
		query := url.Values{"sort": {"name"}, "per": {strconv.Itoa(mostPerPage)}, "page": {strconv.Itoa(page)}}
		if err := f.get(ctx, address, "queues", query, &l); err != nil {
			return nil, err
		}
		all, pages = append(all, l.Queues...), l.Pages
	}
	return &all, nil
}

// add adds the part of a queue that is at another node. It is as old, and takes as long, as the
// worst of them.
func (q *Queue) add(o *Queue) {
	q.Subscribed = q.Subscribed || o.Subscribed
	q.Records += o.Records
	q.Bytes += o.Bytes
	q.Capacity += o.Capacity
	q.Used += o.Used
	for _, amounts := range [][2]*admin.Amount{
		{&q.InRing, &o.InRing}, {&q.Spilled, &o.Spilled}, {&q.Unconfirmed, &o.Unconfirmed}, {&q.Pushed, &o.Pushed},
		{&q.Delivered, &o.Delivered}, {&q.Redelivered, &o.Redelivered}, {&q.Overflowed, &o.Overflowed},
		{&q.Cleared, &o.Cleared}, {&q.Failed, &o.Failed}, {&q.Delayed, &o.Delayed},
	} {
		*amounts[0] = plus(*amounts[0], *amounts[1])
	}
	q.UnconfirmedSeconds = max(q.UnconfirmedSeconds, o.UnconfirmedSeconds)
	q.OldestSeconds = max(q.OldestSeconds, o.OldestSeconds)
	q.Latency = max(q.Latency, o.Latency)
	q.Paused = q.Paused || o.Paused
	q.Consumers += o.Consumers
	q.Waiting += o.Waiting
	q.In += o.In
	q.Out += o.Out
	q.Fullness = addSeries(q.Fullness, o.Fullness, func(s *int, percent int) { *s = max(*s, percent) })
}

// Queue implements Source.
func (f *Fleet) Queue(ctx context.Context, name string) (*Detail, error) {
	answers, errs := each(ctx, f, func(ctx context.Context, address string) (*Detail, error) {
		d := new(Detail)
		if err := f.get(ctx, address, "queue", url.Values{"name": {name}}, d); err != nil {
			return nil, err
		}
		return d, nil
	})
	if err := unless(f, answers, errs); err != nil {
		return nil, err
	}
	var sum *Detail
	for i, d := range answers {
		if d == nil {
			continue
		}
		part := NodeQueue{f.addresses[i], d.Queue}
		part.Fullness = slices.Clone(d.Fullness)
		for j := range d.Clients {
			d.Clients[j].Node = f.addresses[i]
		}
		if sum == nil {
			sum = d
		} else {
			sum.Queue.add(&d.Queue)
			sum.History = addHistory(sum.History, d.History)
			sum.Clients = append(sum.Clients, d.Clients...)
		}
		sum.Nodes = append(sum.Nodes, part)
	}
	return sum, nil
}

// addHistory adds what the queue was like at another node in the same times.
func addHistory(sum, more []History) []History {
	for _, h := range more {
		s := row(&sum, func(s *History) bool { return s.Span == h.Span && s.Step == h.Step }, History{Span: h.Span, Step: h.Step})
		s.Points = addSeries(s.Points, h.Points, func(s *Point, p Point) {
			s.In, s.Out, s.Records = s.In+p.In, s.Out+p.Out, s.Records+p.Records
			s.Oldest, s.Latency = max(s.Oldest, p.Oldest), max(s.Latency, p.Latency)
		})
	}
	return sum
}

// Peek implements Source: the records of the first node come first.
func (f *Fleet) Peek(ctx context.Context, name string, skip, records int) ([]admin.Record, error) {
	d, err := f.Queue(ctx, name)
	if err != nil {
		return nil, err
	}
	var all []admin.Record
	for _, part := range d.Nodes {
		if there := int(part.Records); skip >= there {
			skip -= there
			continue
		}
		var l RecordList
		query := url.Values{"name": {name}, "skip": {strconv.Itoa(skip)}, "records": {strconv.Itoa(records - len(all))}}
		if err := f.get(ctx, part.Address, "peek", query, &l); err != nil {
			return nil, fmt.Errorf("%s: %w", part.Address, err)
		}
		skip = 0
		if all = append(all, l.Records...); len(all) >= records {
			break
		}
	}
	return all, nil
}

// Clients implements Source.
func (f *Fleet) Clients(ctx context.Context) ([]Client, error) {
	answers, errs := each(ctx, f, func(ctx context.Context, address string) (*ClientList, error) {
		l := new(ClientList)
		if err := f.get(ctx, address, "clients", url.Values{"per": {strconv.Itoa(mostPerPage)}}, l); err != nil {
			return nil, err
		}
		return l, nil
	})
	if err := unless(f, answers, errs); err != nil {
		return nil, err
	}
	all := []Client{}
	for i, l := range answers {
		if l == nil {
			continue
		}
		for _, c := range l.Clients {
			c.Node = f.addresses[i]
			all = append(all, c)
		}
	}
	return all, nil
}
