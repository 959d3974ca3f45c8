package storage

import (
	"fmt"
	"math/rand"
	"strings"
	"sync"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// shared is a queue of the kill test that several consumers share. Which of them gets a record
// is not known, so there is no order to judge; but each record comes once, and again only if
// it was in a batch that had not been confirmed when the node ended. That batches behind such
// a one have been confirmed must not be forgotten.
type shared struct {
	mu       sync.Mutex
	records  []sharedRecord
	received int // for the first time
}

// sharedRecord is what is known of a record.
type sharedRecord struct{ acknowledged, received, mayComeAgain, mustComeAgain bool }

const sharedChannel = "shared"

// sharedConsumers is how many consumers there are; the first ones are slow.
const sharedConsumers, sharedSlow = 4, 2

func (s *shared) record(number int) string {
	return fmt.Sprintf("%d %s", number, strings.Repeat("s", number*7919%3000))
}

// workers returns the clients of the queue.
func (s *shared) workers(random *rand.Rand) []worker {
	seed := random.Int63()
	workers := []worker{func(r *round) error { return s.produce(r, rand.New(rand.NewSource(seed))) }}
	for i := range sharedConsumers {
		var pause time.Duration
		if i < sharedSlow {
			pause = 30 * time.Millisecond
		}
		workers = append(workers, func(r *round) error { return s.consume(r, pause) })
	}
	return workers
}

func (s *shared) produce(r *round, random *rand.Rand) error {
	c, err := legacyclient.Dial(r.legacy)
	if err != nil {
		return err
	}
	defer c.Close()
	for !r.ending.Load() {
		first, count := s.send(1 + random.Intn(100))
		var requests []byte
		for number := first; number < first+count; number++ {
			requests = append(requests, legacyclient.Request(legacyclient.Push, sharedChannel, s.record(number))...)
		}
		if err := c.Send(requests); err != nil {
			return err
		}
		for number := first; number < first+count; number++ {
			if status, err := c.Status(); err != nil || status != legacyclient.Ok {
				return orViolated(err, "Push: got status %d, want 200", status)
			}
			s.mu.Lock()
			s.records[number].acknowledged = true
			s.mu.Unlock()
		}
		if count == 0 {
			time.Sleep(time.Millisecond) // how often the producer looks
		}
	}
	return nil
}

// send makes up to so many new records, none while the consumers are far behind.
func (s *shared) send(most int) (first, count int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	first = len(s.records)
	count = min(most, s.received+3000-first)
	count = max(count, 0)
	s.records = append(s.records, make([]sharedRecord, count)...)
	return first, count
}

func (s *shared) consume(r *round, pause time.Duration) error {
	c, err := neoclient.Connect(r.neo, clients.TestLogin())
	if err != nil {
		return err
	}
	defer c.Close()
	k, err := c.Consume(sharedChannel, "s")
	if err != nil {
		return err
	}
	var numbers []int // of the batch that the node keeps for this consumer
	for {
		batch, err := k.Records()
		if err != nil {
			return err
		}
		s.confirm(numbers, true)
		if numbers, err = s.take(batch); err != nil {
			return violation{err}
		}
		time.Sleep(pause)
		s.confirm(numbers, false)
		if err := k.Feedback(neoclient.Continue); err != nil {
			return err
		}
	}
}

// take judges a batch, which from now on must come again.
func (s *shared) take(batch [][]byte) (numbers []int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, value := range batch {
		number, err := s.allowed(string(value))
		if err != nil {
			return nil, err
		}
		r := &s.records[number]
		if !r.received {
			r.received = true
			s.received++
		}
		r.mayComeAgain, r.mustComeAgain = true, true
		numbers = append(numbers, number)
	}
	return numbers, nil
}

// allowed returns the number of a record that a client may get now.
func (s *shared) allowed(value string) (number int, err error) {
	if _, err := fmt.Sscanf(value, "%d ", &number); err != nil || number < 0 || number >= len(s.records) || value != s.record(number) {
		return 0, fmt.Errorf("%s: got %s, want a record that was sent", sharedChannel, clients.Excerpt(value))
	}
	if r := s.records[number]; r.received && !r.mayComeAgain {
		return 0, fmt.Errorf("%s: got record %d again, although it was confirmed", sharedChannel, number)
	}
	return number, nil
}

// confirm tells that a batch is confirmed, or, if that is not certain, may be.
func (s *shared) confirm(numbers []int, certain bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, number := range numbers {
		s.records[number].mustComeAgain = false
		s.records[number].mayComeAgain = !certain
	}
}

// onDisk judges what a clean stop has left of the queue.
func (s *shared) onDisk(records []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	there := make(map[int]bool)
	for _, value := range records {
		number, err := s.allowed(value)
		if err == nil && there[number] {
			err = fmt.Errorf("%s: record %d is there twice", sharedChannel, number)
		}
		if err != nil {
			return fmt.Errorf("on disk: %w", err)
		}
		there[number] = true
	}
	for number, r := range s.records {
		if r.mustComeAgain || r.acknowledged && !r.received {
			if !there[number] {
				return fmt.Errorf("on disk: %s: record %d is missing: %+v", sharedChannel, number, r)
			}
		}
	}
	return nil
}

// drain reads the queue to its end and requires that nothing is missing.
func (s *shared) drain(node *nodetest.Node) error {
	legacy, neo, err := connectBoth(node.Legacy(), node.Neo())
	if err != nil {
		return err
	}
	defer legacy.Close()
	defer neo.Close()
	if status, err := legacy.Do(legacyclient.Request(legacyclient.Push, sharedChannel, lastRecord)); err != nil || status != legacyclient.Ok {
		return fmt.Errorf("Push: got status %d, error %v", status, err)
	}
	k, err := neo.Consume(sharedChannel, "s")
	if err != nil {
		return err
	}
	for {
		batch, err := k.Records()
		if err != nil {
			return err
		}
		last := len(batch) - 1
		isLast := string(batch[last]) == lastRecord
		if isLast {
			batch = batch[:last]
		}
		numbers, err := s.take(batch)
		if err != nil {
			return err
		}
		s.confirm(numbers, true)
		if isLast {
			return s.onDisk(nil)
		}
		if err := k.Feedback(neoclient.Continue); err != nil {
			return err
		}
	}
}
