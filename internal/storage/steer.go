package storage

import (
	"errors"
	"math"
	"slices"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// What an operator does to queues, beside what clients do. All of it takes locks that pushes take,
// for as long as it takes to change some positions; nothing in it belongs on an event loop.

// ErrNoQueue says that there is no queue, or channel, of that name.
var ErrNoQueue = errors.New("there is no such queue")

// queue returns a queue by its name, [subscriber@]channel, with its channel locked.
func (cs *Channels) queue(name string) (*Storage, error) {
	_, channel, _, _ := names.ParseStorage(name)
	c := cs.Find([]byte(channel))
	if c == nil || !c.Lock() {
		return nil, ErrNoQueue
	}
	for _, s := range c.storages {
		if s.name == name {
			return s, nil
		}
	}
	c.mu.Unlock()
	return nil, ErrNoQueue
}

// Queue returns the figures of one queue. Error: ErrNoQueue.
func (cs *Channels) Queue(name string) (Figures, error) {
	s, err := cs.queue(name)
	if err != nil {
		return Figures{}, err
	}
	defer s.channel.mu.Unlock()
	return s.figures(), nil
}

// Clear drops all records of a queue that no client has at the moment, and returns how many.
// Subscriptions and consumers stay. A node that is killed meanwhile has some of them left, the
// newest. Errors: ErrNoQueue; and if the disk fails, then nothing is changed.
func (cs *Channels) Clear(name string) (dropped Moved, err error) {
	s, err := cs.readyToClear(name)
	if err != nil {
		return Moved{}, err
	}
	defer s.channel.Commit()
	before := s.counters.Cleared
	s.clear()
	return s.counters.Cleared.minus(before), nil
}

// readyToClear returns a queue, with its channel locked, when clearing it needs no look at a file.
func (cs *Channels) readyToClear(name string) (*Storage, error) {
	for {
		s, err := cs.queue(name)
		if err != nil {
			return nil, err
		}
		s.channel.waits = cs.store.serving.Load()
		err = cs.store.roomInCatalogue(s.channel.waits, len(s.parts))
		for _, p := range s.parts {
			if err == nil && p.Waiting() > 0 { // it is to tell that it has no records
				err = s.attach(&s.taking, p)
			}
		}
		if err == nil {
			return s, nil
		}
		s.channel.Commit()
		if w, ok := err.(*Wait); ok {
			err = w.block()
		}
		if err != nil {
			return nil, err
		}
	}
}

func (s *Storage) clear() {
	s.releaseDue(math.MaxInt64)
	for s.returned > 0 {
		r := s.takeReturned(everything, everything)
		if r == nil {
			continue // they are lost already
		}
		records, bytes := r.records, r.size-r.records*ring.HeaderSize
		s.deliver(r)
		s.counters.Delivered.subtract(records, bytes)
		s.counters.Cleared.add(records, bytes)
	}
	for _, p := range slices.Clone(s.parts) { // from the front on: what a kill leaves is the newest
		if p.Waiting() == 0 {
			continue
		}
		used := p.UsedSpace()
		n := p.Abandon()
		s.counters.Cleared.add(n, used-p.UsedSpace()-n*ring.HeaderSize)
		s.unread -= n
		s.bytes -= used - p.UsedSpace()
		p.abandoned(n)
		s.publish(p)
		if p.Held() == 0 {
			s.drained(p)
		}
	}
	s.publishFreed()
}

// RemoveSubscriber drops the queue of a subscriber with its records, and sends its consumers home.
// The channel goes with the last one, so that no push to it is lost. It happens at once, whenever
// the node is killed. Errors: ErrNoQueue, also for a channel without subscribers; and if the disk
// fails, then nothing is changed.
func (cs *Channels) RemoveSubscriber(name string) error { return cs.removeSubscriber(name, false) }

// RemoveUnused does that if nobody misses the queue: it has no consumers, and its records, if there
// are any, were not only for this subscriber. Errors: ErrInUse besides.
func (cs *Channels) RemoveUnused(name string) error { return cs.removeSubscriber(name, true) }

// ErrInUse says that a queue has consumers, or records that nobody else gets.
var ErrInUse = errors.New("the queue is in use: it has consumers, or records that no other subscriber gets")

func (cs *Channels) removeSubscriber(name string, unused bool) error {
	if err := cs.store.roomInCatalogue(false, 1); err != nil { // before anything is locked
		return err
	}
	s, err := cs.queue(name)
	if err != nil {
		return err
	}
	c := s.channel
	switch {
	case !c.subscribed:
		c.mu.Unlock()
		return ErrNoQueue
	case unused && (len(s.consumers) > 0 || len(c.storages) == 1 && s.bytes > 0):
		c.mu.Unlock()
		return ErrInUse
	}
	if len(c.storages) == 1 {
		err := c.remove()
		c.Commit()
		if err == nil {
			cs.forget(c)
		}
		return err
	}
	defer c.Commit()
	if err := c.store.catalogue.Remove(s.numbers); err != nil {
		return err
	}
	s.remove()
	c.storages = slices.DeleteFunc(c.storages, func(other *Storage) bool { return other == s })
	return nil
}

// Pause makes a queue hand out nothing, or goes on with it. Pushes go on. Consumers wait, and a
// pop finds nothing. It survives a restart. Errors: ErrNoQueue; and if it can't be stored, then
// it is not.
func (cs *Channels) Pause(name string, paused bool) error {
	if err := cs.setPaused(name, paused); err != nil {
		return err
	}
	if err := cs.store.savePaused(); err != nil {
		return errors.Join(err, cs.setPaused(name, !paused))
	}
	return nil
}

func (cs *Channels) setPaused(name string, paused bool) error {
	s, err := cs.queue(name)
	if err != nil {
		return err
	}
	s.paused = paused
	cs.store.paused.set(name, paused)
	s.channel.Commit() // wakes consumers
	return nil
}

// PeekDepth is how many records of a queue, the oldest, can be peeked at.
const PeekDepth = 100_000

// Peeked is a record that somebody has looked at.
type Peeked struct {
	Bytes       []byte // what there is of it: never changed
	Size        int    // of all of it
	Unconfirmed bool   // a client has it, and has not confirmed it
	Returned    bool   // a client has had it
}

// Peek returns records of a queue, oldest first, without taking them: after the first skip ones at
// most so many records and bytes; the last one may be cut. Those deeper than PeekDepth can't be
// seen. Error: ErrNoQueue, or one of the disk.
func (cs *Channels) Peek(name string, skip, records, bytes int) ([]Peeked, error) {
	s, err := cs.queue(name)
	if err != nil {
		return nil, err
	}
	skip = min(skip, PeekDepth)
	v := viewer{skip: skip, records: min(records, PeekDepth-skip), bytes: bytes}
	spilled := s.peek(&v)
	s.channel.mu.Unlock()
	for _, h := range spilled {
		if err := v.file(s.channel.store, h); err != nil {
			return v.seen, err
		}
	}
	return v.seen, nil
}

// peek shows what can be seen without reading a file, and returns the files with the rest, if
// that is of interest.
func (s *Storage) peek(v *viewer) (spilled []ring.Head) {
	for r := s.first; r != nil && !v.done(); r = r.next {
		if r.state != delivered && (!r.part.InFile() || r.part.Readable(r.bytes)) {
			v.run(r.bytes, r.records, Peeked{Unconfirmed: r.state == out, Returned: r.tries > 0 || r.state != out})
		}
	}
	for _, p := range s.parts {
		switch {
		case v.done() || p.Waiting() == 0:
		case len(spilled) > 0 || p.Kind() == ring.Spill:
			spilled = append(spilled, p.Rest())
		case s.attach(&s.taking, p) == nil:
			cursor := p.Cursor()
			v.ring(p.Ring)
			p.Rewind(cursor)
		}
	}
	return spilled
}

// viewer collects records for Peek.
type viewer struct {
	skip, records, bytes int // that are left
	seen                 []Peeked
}

func (v *viewer) done() bool { return v.records <= 0 || v.bytes <= 0 }

// run shows the records of a run.
func (v *viewer) run(run []byte, records int, as Peeked) {
	for ; records > 0 && !v.done(); records-- {
		record, _ := ring.Cut(run, 1, 1)
		if run = run[len(record):]; v.skip > 0 {
			v.skip--
			continue
		}
		payload := record[ring.HeaderSize:]
		as.Size = len(payload)
		as.Bytes = slices.Clone(payload[:min(len(payload), v.bytes)])
		v.seen = append(v.seen, as)
		v.records--
		v.bytes -= ring.HeaderSize + len(as.Bytes)
	}
}

// ring shows what waits in a ring, by taking it.
func (v *viewer) ring(r *ring.Ring) error {
	if v.skip >= r.Waiting() {
		v.skip -= r.Waiting()
		return nil
	}
	for r.Waiting() > 0 && !v.done() {
		run, n, err := r.Take(peekSize, v.skip+v.records)
		if err != nil {
			return err
		}
		if n == 0 {
			r.TakeMarked()
		}
		v.run(run, n, Peeked{})
	}
	return nil
}

// peekSize is how many bytes are looked at in one go.
const peekSize = 64 << 10

// file shows what waits in a file, through a mapping of its own. If it is gone meanwhile, its
// records are too.
func (v *viewer) file(st *store, h ring.Head) error {
	if v.done() || v.skip >= int(h.Held) {
		v.skip = max(0, v.skip-int(h.Held))
		return nil
	}
	r, err := ring.Open(st.dirOf(h.Kind), h)
	if err == nil {
		err = r.Attach()
	}
	if disk.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(v.ring(r), r.Close())
}
