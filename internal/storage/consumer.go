package storage

import "fmt"

// Waker is told, with the channel locked, that its consumer should call Next. It must
// only schedule that. A wake-up may come late or too often, never too seldom.
type Waker interface{ Wake() }

// Consumer is one reader of a storage that wants every record as soon as it is there.
// Consumers of the same storage share its records: idle ones take turns, and while
// several are idle each takes no more than its share. A consumer that is busy sending
// is not waited for.
//
// The owner calls Attach, Next and Leave from one goroutine at a time.
type Consumer struct {
	storage    *Storage
	subscriber string // for whom it was attached
	waker      Waker
	index      int // in storage.consumers
	state      consumerState
	failed     error // why what it has waited for cannot be had

	prev, next *Consumer // in storage.waiting
}

type consumerState uint8

const (
	busy    consumerState = iota
	waiting               // in the waiting list
	woken                 // told to come, has not come yet
)

// Attach makes the consumer one of the storage (locked); a zero Consumer can be
// attached. The owner then calls Next.
func (c *Consumer) Attach(s *Storage, w Waker) {
	*c = Consumer{storage: s, subscriber: s.subscriber, waker: w, index: len(s.consumers)}
	s.consumers = append(s.consumers, c)
}

// Queue is the name of the storage.
func (c *Consumer) Queue() string { return c.storage.name }

// Next settles runs as delivered, the ones taken before, and then appends to runs[:0]
// the next records: runs until enough bytes are reached or no more are there. If it
// returns none, the consumer is woken when there are records again.
//
// removed tells that the channel is removed: there will be no more records, and the
// owner has only to Leave.
func (c *Consumer) Next(runs []*Run, enough int, skipEmpty bool) (next []*Run, removed bool, err error) {
	s := c.storage
	s.channel.mu.Lock()
	defer s.channel.unlock()
	s.channel.waits = s.channel.store.serving.Load()
	s.deliverAll(runs)
	s.noLongerIdle(c)
	next = runs[:0]
	if s.removed {
		return next, true, nil
	}
	if err, c.failed = c.failed, nil; err != nil {
		return next, false, err
	}
	share := s.share()
	for size := 0; size < enough && share > 0; {
		r, err := s.take(enough-size, share, skipEmpty)
		if err != nil && !isWait(err) && len(next) == 0 {
			s.wake() // what this consumer was woken for is offered to others
			return next, false, err
		}
		if r == nil {
			break
		}
		next = append(next, r)
		size += len(r.bytes)
		share -= r.records
	}
	if len(next) == 0 {
		c.state = waiting
		s.waiting.add(c)
	} else {
		s.wake()
	}
	return next, false, nil
}

// Stalled reports whether there are records that have to be read from the disk before anybody gets one.
func (c *Consumer) Stalled() bool {
	s := c.storage
	s.channel.mu.Lock()
	defer s.channel.mu.Unlock()
	return s.stalled && !s.removed
}

// Take hands out the next records as one run: until enough bytes or that many records are
// reached. If it returns none, the consumer is woken when there are records again. Unlike Next it
// settles nothing, so a consumer may have several runs, and it takes nothing that others have
// been woken for: who has waited longest is served first.
//
// removed is as for Next. The error is ErrSubscribed if the queue has become that of another
// subscriber than the one for whom it was taken from.
func (c *Consumer) Take(enough, records int) (r *Run, removed bool, err error) {
	s := c.storage
	s.channel.mu.Lock()
	defer s.channel.unlock()
	s.channel.waits = s.channel.store.serving.Load()
	called := c.state == woken
	s.noLongerIdle(c)
	if s.removed {
		return nil, true, nil
	}
	if err, c.failed = c.failed, nil; err != nil {
		s.wake()
		return nil, false, err
	}
	if s.subscriber != c.subscriber {
		s.wake()
		return nil, false, ErrSubscribed
	}
	share := s.share()
	if !called {
		share = min(share, s.available()-s.woken)
	}
	if share > 0 {
		r, err = s.take(enough, min(share, records), false)
	}
	if isWait(err) {
		err = nil // the consumer is woken as if the record came only then
	}
	switch {
	case r != nil || err != nil:
		s.wake()
	case called: // somebody was faster, which costs no place in the line
		c.state = waiting
		s.waiting.addFirst(c)
	default:
		c.state = waiting
		s.waiting.add(c)
	}
	return r, false, err
}

// share is how many records a consumer may take while others are idle.
func (s *Storage) share() int {
	idle := s.waiting.len + s.woken
	if idle == 0 {
		return everything
	}
	return (s.available() + idle) / (idle + 1)
}

// Pause settles runs as delivered and makes the consumer busy until it calls Next: what
// it was woken for is offered to others. It returns runs[:0].
func (c *Consumer) Pause(runs []*Run) []*Run {
	s := c.storage
	s.channel.mu.Lock()
	s.deliverAll(runs)
	s.noLongerIdle(c)
	s.channel.Commit()
	return runs[:0]
}

func (s *Storage) deliverAll(runs []*Run) {
	if len(runs) == 0 {
		return
	}
	for _, r := range runs {
		s.settle(r)
	}
	s.publishFreed()
}

// Removed reports whether the channel has been removed.
func (c *Consumer) Removed() bool {
	c.storage.channel.mu.Lock()
	defer c.storage.channel.mu.Unlock()
	return c.storage.removed
}

// Leave ends the consumer. Of runs, the ones taken before, the first sent bytes have
// reached the reader; the rest goes back to the head of the storage.
func (c *Consumer) Leave(runs []*Run, sent int) {
	s := c.storage
	s.channel.mu.Lock()
	for _, r := range runs {
		size := len(r.bytes)
		s.giveBack(r, min(sent, size))
		sent = max(0, sent-size)
	}
	c.detach()
	s.channel.Commit()
}

// detach takes the consumer off its storage.
func (c *Consumer) detach() {
	s := c.storage
	s.noLongerIdle(c)
	last := len(s.consumers) - 1
	s.consumers[c.index] = s.consumers[last]
	s.consumers[c.index].index = c.index
	s.consumers[last] = nil
	s.consumers = s.consumers[:last]
}

func (s *Storage) noLongerIdle(c *Consumer) {
	switch c.state {
	case waiting:
		s.waiting.drop(c)
	case woken:
		s.woken--
	}
	c.state = busy
}

// wake wakes as many waiting consumers as there are records for, longest waiting first.
func (s *Storage) wake() {
	if s.waiting.len == 0 || s.paused {
		return
	}
	for n := s.available() - s.woken; n > 0 && s.waiting.len > 0; n-- {
		c := s.waiting.first
		s.waiting.drop(c)
		c.state = woken
		s.woken++
		c.waker.Wake()
	}
}

// failConsumers tells those who wait for a record that there are some which cannot be had.
func (s *Storage) failConsumers(err error) {
	for s.waiting.len > 0 {
		c := s.waiting.first
		s.waiting.drop(c)
		c.state, c.failed = woken, fmt.Errorf("storage %s: %w", s.name, err)
		s.woken++
		c.waker.Wake()
	}
}

// waitingList is the consumers that wait, longest first.
type waitingList struct {
	first, last *Consumer
	len         int
}

func (l *waitingList) add(c *Consumer) {
	c.prev = l.last
	if l.last != nil {
		l.last.next = c
	} else {
		l.first = c
	}
	l.last = c
	l.len++
}

func (l *waitingList) addFirst(c *Consumer) {
	c.next = l.first
	if l.first != nil {
		l.first.prev = c
	} else {
		l.last = c
	}
	l.first = c
	l.len++
}

// drop takes a consumer out of the list; one that is not in it stays as it is.
func (l *waitingList) drop(c *Consumer) {
	if c.state != waiting {
		return
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		l.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		l.last = c.prev
	}
	c.prev, c.next = nil, nil
	c.state = busy
	l.len--
}
