// Package admin is what an operator can see of a node, and do to it: look into queues, steer them,
// and see who is connected. Doors to it are requests of the neo protocol (docs/protocol.md), the
// control socket and the HTTP API; none of them has logic of its own, and all show the same.
//
// Nothing here belongs on an event loop: it takes locks, asks loops and waits for their answers,
// and may read files.
//
// The package imports connpool, listener, names and storage.
package admin

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// Operations are the operations of a node. They may be called by any goroutine but those of event
// loops, until the node stops.
type Operations struct {
	Channels *storage.Channels
	Changers []string // the names of clients that may change things
	clients  *Clients
}

// New returns the operations on channels, and on the connections that are told of.
func New(channels *storage.Channels, clients *Clients, changers []string) *Operations {
	return &Operations{Channels: channels, Changers: changers, clients: clients}
}

// MayChange reports whether the client of that name may change something.
func (o *Operations) MayChange(client string) bool { return slices.Contains(o.Changers, client) }

// Amount is a number of records, and of the bytes of their payload.
type Amount struct {
	Records uint64 `json:"records"`
	Bytes   uint64 `json:"bytes"`
}

// Queue is what there is to tell of a queue.
type Queue struct {
	Name       string `json:"queue"` // [subscriber@]channel
	Channel    string `json:"channel"`
	Subscriber string `json:"subscriber"`
	Subscribed bool   `json:"subscribed"` // it belongs to a subscriber, whose name may be empty

	Records  uint64 `json:"records"` // that are not delivered
	Bytes    uint64 `json:"bytes"`   // of their payload
	InRing   Amount `json:"in_ring"`
	Spilled  Amount `json:"spilled"`
	Capacity uint64 `json:"capacity"` // of the ring in bytes, where a record takes 8 more than its payload
	Used     uint64 `json:"used"`     // of that

	Unconfirmed        Amount  `json:"unconfirmed"`         // that clients have, and have not confirmed
	UnconfirmedSeconds float64 `json:"unconfirmed_seconds"` // since the oldest of these was handed out
	OldestSeconds      float64 `json:"oldest_seconds"`      // since the oldest record was first seen

	Paused    bool `json:"paused"`
	Consumers int  `json:"consumers"`
	Waiting   int  `json:"waiting"` // those of them that wait for a record

	// Since the node was started.
	Pushed      Amount `json:"pushed"`
	Delivered   Amount `json:"delivered"`
	Redelivered Amount `json:"redelivered"`
	Overflowed  Amount `json:"overflowed"` // of the pushed ones
	Cleared     Amount `json:"cleared"`
	Failed      Amount `json:"failed"`
	Delayed     Amount `json:"delayed"`
}

// QueueOf tells of a queue what its figures are.
func QueueOf(f storage.Figures, now time.Time) Queue {
	amount := func(m storage.Moved) Amount { return Amount{m.Records, m.Bytes} }
	ring := Amount{f.MemoryRecords, f.MemoryBytes - f.MemoryRecords*uint64(storage.Size(0))}
	return Queue{
		Name:    names.Storage(f.Subscriber, f.Channel, f.Subscribed),
		Channel: f.Channel, Subscriber: f.Subscriber, Subscribed: f.Subscribed,
		Records: f.MemoryRecords + f.OverflowRecords, Bytes: ring.Bytes + f.OverflowBytes,
		InRing: ring, Spilled: Amount{f.OverflowRecords, f.OverflowBytes},
		Capacity: f.Capacity, Used: f.MemoryBytes,
		Unconfirmed: amount(f.Unsettled), UnconfirmedSeconds: seconds(f.UnsettledSince, now), OldestSeconds: seconds(f.Oldest, now),
		Paused: f.Paused, Consumers: f.Consumers, Waiting: f.Waiting,
		Pushed: amount(f.Pushed), Delivered: amount(f.Delivered), Redelivered: amount(f.Redelivered),
		Overflowed: amount(f.Overflowed), Cleared: amount(f.Cleared),
		Failed: amount(f.Failed), Delayed: amount(f.Delayed),
	}
}

// seconds is how long ago something was; 0 if that is not known.
func seconds(since, now time.Time) float64 {
	if since.IsZero() {
		return 0
	}
	return max(0, now.Sub(since).Seconds())
}

// MostQueues is how many queues Queues returns at most.
const MostQueues = 1000

// Queues returns the queues whose name, or whose channel, matches a pattern, in the order of their
// names: those behind the name after, limit of them at most, and no more than MostQueues. In a
// pattern * stands for any number of characters and ? for one; an empty one matches all.
func (o *Operations) Queues(pattern, after string, limit int) ([]Queue, error) {
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("%w: pattern %q", ErrMalformed, pattern)
	}
	var found []storage.Figures
	for _, f := range o.Channels.Figures() {
		name := names.Storage(f.Subscriber, f.Channel, f.Subscribed)
		if name > after && (pattern == "" || matches(pattern, name) || matches(pattern, f.Channel)) {
			found = append(found, f)
		}
	}
	slices.SortFunc(found, func(a, b storage.Figures) int {
		return strings.Compare(names.Storage(a.Subscriber, a.Channel, a.Subscribed), names.Storage(b.Subscriber, b.Channel, b.Subscribed))
	})
	now := time.Now()
	queues := []Queue{}
	for _, f := range found[:max(0, min(limit, len(found), MostQueues))] {
		queues = append(queues, QueueOf(f, now))
	}
	return queues, nil
}

func matches(pattern, name string) bool {
	ok, _ := path.Match(pattern, name)
	return ok
}

// Detail is a queue with those who consume it.
type Detail struct {
	Queue
	Clients []Client `json:"clients"`
}

// Queue returns one queue. Error: storage.ErrNoQueue.
func (o *Operations) Queue(name string) (Detail, error) {
	f, err := o.Channels.Queue(name)
	if err != nil {
		return Detail{}, err
	}
	return Detail{QueueOf(f, time.Now()), o.Clients(name)}, nil
}

// MostPeeked is how many bytes of records Peek returns at most.
const MostPeeked = 1 << 20

// Peek returns records of a queue without taking them: see storage.Channels.Peek. No more than
// MostPeeked bytes are returned. Error: storage.ErrNoQueue.
func (o *Operations) Peek(name string, skip, records, bytes uint64) ([]storage.Peeked, error) {
	limit := func(n uint64, most int) int { return int(min(n, uint64(most))) }
	return o.Channels.Peek(name, limit(skip, storage.PeekDepth), limit(records, storage.PeekDepth), limit(bytes, MostPeeked))
}

// Record is a record that was peeked at, as JSON.
type Record struct {
	Size        int    `json:"size"`             // of all of it in bytes
	Text        string `json:"text,omitempty"`   // what there is of it, if that is UTF-8
	Base64      []byte `json:"base64,omitempty"` // otherwise
	Unconfirmed bool   `json:"unconfirmed,omitempty"`
	Returned    bool   `json:"returned,omitempty"`
	Cut         bool   `json:"cut,omitempty"` // there is more of it
}

// Records makes records fit for JSON.
func Records(peeked []storage.Peeked) []Record {
	all := []Record{}
	for _, p := range peeked {
		r := Record{Size: p.Size, Unconfirmed: p.Unconfirmed, Returned: p.Returned, Cut: len(p.Bytes) < p.Size}
		if utf8.Valid(p.Bytes) {
			r.Text = string(p.Bytes)
		} else {
			r.Base64 = p.Bytes
		}
		all = append(all, r)
	}
	return all
}

// What follows changes something. If the node acknowledges only what is durable, it returns when that is.

// durably ends a change.
func (o *Operations) durably(err error) error {
	if err == nil {
		err = o.Channels.UntilDurable()
	}
	return err
}

// Clear drops all records of a queue that no client has at the moment, and returns how many.
// Error: storage.ErrNoQueue.
func (o *Operations) Clear(name string) (Amount, error) {
	dropped, err := o.Channels.Clear(name)
	return Amount{dropped.Records, dropped.Bytes}, o.durably(err)
}

// RemoveSubscriber removes the queue of a subscriber, and the channel with the last one. Error:
// storage.ErrNoQueue.
func (o *Operations) RemoveSubscriber(name string) error {
	return o.durably(o.Channels.RemoveSubscriber(name))
}

// RemoveUnused removes it if it has no consumers, and no records that no other subscriber gets.
// Errors: storage.ErrNoQueue, storage.ErrInUse.
func (o *Operations) RemoveUnused(name string) error { return o.durably(o.Channels.RemoveUnused(name)) }

// RemoveChannel removes a channel with all its subscribers. Error: storage.ErrNoQueue.
func (o *Operations) RemoveChannel(channel string) error {
	if o.Channels.Find([]byte(channel)) == nil {
		return storage.ErrNoQueue
	}
	return o.durably(o.Channels.Remove([]byte(channel)))
}

// Pause makes a queue hand out nothing, or goes on with it. Error: storage.ErrNoQueue.
func (o *Operations) Pause(name string, paused bool) error {
	return o.durably(o.Channels.Pause(name, paused))
}

// ErrMalformed says that what was asked for makes no sense.
var ErrMalformed = errors.New("malformed")

// ErrNoClient says that there is no such connection.
var ErrNoClient = errors.New("there is no such client")
