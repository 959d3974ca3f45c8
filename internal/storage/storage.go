package storage

import (
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// Storage is one queue of records: the plain one of a channel, or that of one
// subscriber. Everything in it is guarded by the lock of its channel.
type Storage struct {
	channel    *Channel
	subscriber string
	name       string // as in file names and statistics: [subscriber@]channel
	numbers    []uint64

	parts  []*part // in order; none as long as it costs nothing
	unread int     // records in them that are not handed out
	bytes  int     // of the records in them that are not delivered, 8 bytes each for the length included
	dirty  bool    // pushed to since the last commit
	listed bool    // the syncer is to look at it

	reserved *part // made for records that are certain to come: see reserve
	pushing  *Wait // for what records that are to be pushed need
	taking   *Wait // for what records that are to be taken need
	stalled  bool  // somebody waits for that
	spills   int   // files made since there was none
	idle     int   // periods without a push: see trim
	trimmed  Moved // what had been pushed when unused space was last looked for

	// Runs that are handed out or given back, oldest record first.
	first, last *Run
	free        *Run        // settled ones, for reuse
	out         int         // runs whose bytes a reader may be using
	unsettled   Moved       // records in these
	returned    int         // records in runs that were given back
	delayed     delays      // runs that were given back and are not due
	notDue      Moved       // records in these
	alarm       *time.Timer // for when the first of these is
	touched     []*part     // from which something was freed since the last publishing

	// mayHoldEmpty is false only if there is certainly no record of length 0.
	mayHoldEmpty bool

	counters Counters

	probe   probe
	latency time.Duration // from push to delivery, of the last record that was awaited

	consumers []*Consumer // all that are attached
	waiting   waitingList // those of them that wait for a record
	woken     int         // those that were woken and have not yet come for records
	removed   bool
	paused    bool // nothing is handed out
}

// What clients do to queues is logged so often at most.
const (
	eventLines  = 100
	eventPeriod = 10 * time.Second
)

// newStorage adds an empty queue.
func newStorage(c *Channel, subscriber string, subscribed bool) (*Storage, error) {
	s := &Storage{channel: c, subscriber: subscriber, name: names.Storage(subscriber, c.name, subscribed)}
	if err := c.store.roomInCatalogue(c.waits, 1); err != nil {
		return nil, err
	}
	number, err := c.store.catalogue.Add(s.name)
	if err != nil {
		return nil, err
	}
	c.store.careForCatalogue()
	c.store.made.Log(zapcore.InfoLevel, "new queue", zap.Uint64("id", number), zap.String("name", s.name))
	s.numbers = []uint64{number}
	c.shared.queues.Add(1)
	return s, nil
}

// push appends one record.
func (s *Storage) push(payload []byte) error {
	p, err := s.tail(ring.HeaderSize + len(payload))
	for err == nil {
		var fitted bool
		if fitted, err = p.Push(payload); fitted {
			s.pushed(p, ring.HeaderSize+len(payload), 1)
			if len(payload) == 0 {
				s.mayHoldEmpty = true
			}
			return nil
		}
		switch {
		case err == nil:
			p, err = s.extend(ring.HeaderSize + len(payload))
		case isDamage(err):
			s.failed(p, err)
			p, err = s.tail(ring.HeaderSize + len(payload))
		}
	}
	return err
}

// pushRun appends several records, none of them empty, that are laid out as in the ring.
func (s *Storage) pushRun(run []byte, records int) error {
	for records > 0 {
		p, err := s.tail(ring.HeaderSize)
		if err != nil {
			return err
		}
		size, n, err := p.PushRun(run, records)
		if isDamage(err) {
			s.failed(p, err)
			continue
		}
		if err != nil {
			return err
		}
		if n == 0 { // the first one does not fit there
			record, _ := ring.Cut(run, 1, 1)
			if err := s.push(record[ring.HeaderSize:]); err != nil {
				return err
			}
			size, n = len(record), 1
		} else {
			s.pushed(p, size, n)
		}
		run, records = run[size:], records-n
	}
	return nil
}

// pushed counts records that were pushed to a part.
func (s *Storage) pushed(p *part, size, records int) {
	s.dirty = true
	s.unread += records
	s.bytes += size
	s.counters.Pushed.add(records, size-records*ring.HeaderSize)
	if p.Kind() == ring.Spill {
		s.counters.Overflowed.add(records, size-records*ring.HeaderSize)
	}
	p.pushed += int64(records)
}

// commit stores what was pushed, so that it survives a crash.
func (s *Storage) commit() {
	if !s.dirty {
		return
	}
	s.dirty = false
	if len(s.parts) == 0 {
		return
	}
	s.changed()
	p := s.parts[len(s.parts)-1]
	s.publish(p)
	if p.Kind() == ring.Spill && s.channel.store.options.Checksums {
		p.Seal()
	}
	s.watch(p)
	if work := p.FillAhead(); work != nil {
		s.channel.store.fill(work)
	}
}

// publish stores where the records of a part are.
func (s *Storage) publish(p *part) {
	p.Publish()
	if err := p.Failed(); err != nil {
		s.failed(p, err)
	}
}

// rename makes the plain storage that of the first subscriber, or changes nothing.
func (s *Storage) rename(subscriber string) error {
	name := names.Storage(subscriber, s.channel.name, true)
	if err := s.channel.store.roomInCatalogue(s.channel.waits, len(s.numbers)); err != nil {
		return err
	}
	if err := s.channel.store.catalogue.Rename(s.numbers, name); err != nil {
		return err
	}
	s.channel.store.careForCatalogue()
	s.channel.store.renamed.Log(zapcore.InfoLevel, "queue renamed for its first subscriber",
		zap.Uint64("id", s.numbers[len(s.numbers)-1]), zap.String("from", s.name), zap.String("to", name))
	s.pauseMoved(name)
	s.subscriber, s.name = subscriber, name
	for i, p := range s.parts { // for somebody who has lost the catalogue: the first one is enough
		if p.InFile() && p.Attached() {
			p.SetName(name)
		} else if i == 0 {
			_ = s.attach(&s.taking, p) // nobody waits for that
		}
	}
	return nil
}

// remove drops all records and sends the consumers home: the catalogue does not have the queue
// any more. Its memory stays as long as readers use it.
func (s *Storage) remove() {
	s.removed = true
	s.pauseMoved("")
	s.channel.shared.removed.add(s.counters)
	s.channel.shared.queues.Add(-1)
	s.wakeAll()
	s.delayed = nil
	s.closeIfUnused()
}

// wakeAll lets all consumers come, because there is something else to learn than that there are
// records.
func (s *Storage) wakeAll() {
	for _, c := range s.consumers {
		s.waiting.drop(c)
		c.waker.Wake()
	}
}

func (s *Storage) closeIfUnused() {
	if !s.removed || s.out > 0 {
		return
	}
	for _, p := range s.parts {
		s.channel.store.removeDurably(p.Ring)
	}
	s.parts = nil
	s.dropReserved()
}
