package storage

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// ErrSubscribed says that records cannot be popped from a channel that has, or once
// had, a subscriber (storage spec §5.3).
var ErrSubscribed = errors.New("the channel has subscribers")

// Channel is one channel: its plain storage, or the storages of its subscribers.
//
// Methods marked "locked" are called between Lock and Commit.
type Channel struct {
	name   string
	all    *Channels
	shared *shared
	store  *store
	place  int    // in Channels.places, under its lock
	bound  uint64 // of the bytes of each queue; 0 = none

	mu         sync.Mutex
	removed    bool
	waits      bool // who has locked it may be told to wait: see Wait
	subscribed bool
	storages   []*Storage // one if not subscribed, else one per subscriber
}

// Name returns the name of the channel.
func (c *Channel) Name() string { return c.name }

// Lock starts a batch of operations on the channel. It reports false, and holds no
// lock, if the channel has been removed.
func (c *Channel) Lock() bool { return c.lock(false) }

// lock is Lock for somebody who may be told to wait.
func (c *Channel) lock(waits bool) bool {
	c.mu.Lock()
	if c.removed {
		c.mu.Unlock()
		return false
	}
	c.waits = waits && c.store.serving.Load()
	return true
}

// Commit ends the batch: what was pushed survives a crash from now on, and consumers are woken.
func (c *Channel) Commit() {
	for _, s := range c.storages {
		s.commit()
		s.wake()
	}
	c.unlock()
}

func (c *Channel) unlock() {
	c.waits = false
	c.mu.Unlock()
}

// Push appends a record to every storage of the channel (locked). If the disk is full, or has to
// be waited for, or a queue has as much as it may have, none of them has it; after another failure
// of the disk some may.
func (c *Channel) Push(payload []byte) error {
	if err := c.Reserve(ring.HeaderSize + len(payload)); err != nil {
		return err
	}
	for _, s := range c.storages {
		if err := s.push(payload); err != nil {
			return fmt.Errorf("storage %s: %w", s.name, err)
		}
	}
	return nil
}

// PushRun appends records that are laid out as in a ring: 8 bytes little-endian length,
// payload. None of them may be empty (locked). If the disk is full, or has to be waited for, no
// storage has any of them; after another failure of the disk some may. If a queue may have only the
// first of the records, all storages have these.
func (c *Channel) PushRun(run []byte, records int) error {
	run, records, beyond := c.admitRun(run, records)
	if records == 0 {
		return beyond
	}
	if err := c.reserve(ring.First(run), len(run)); err != nil {
		return err
	}
	for _, s := range c.storages {
		if err := s.pushRun(run, records); err != nil {
			return fmt.Errorf("storage %s: %w", s.name, err)
		}
	}
	return beyond
}

// Size is how many bytes of a ring a record takes.
func Size(payload int) int { return ring.HeaderSize + payload }

// Reserve makes sure that records, of that size in a ring, can be pushed without a look at any
// file, and are no more than queues may have (locked): for those who push to several channels, and
// want to reach all or none. What others push meanwhile may take the space.
func (c *Channel) Reserve(size int) error {
	if err := c.admit(size); err != nil {
		return err
	}
	return c.reserve(size, size)
}

// reserve makes sure that records can be pushed, of which the first takes that much.
func (c *Channel) reserve(first, size int) error {
	var wait error
	for _, s := range c.storages {
		switch err := s.reserve(first, size); {
		case err == nil:
		case isWait(err):
			wait = err // the others need not wait for it
		default:
			return fmt.Errorf("storage %s: %w", s.name, err)
		}
	}
	return wait
}

// Pop hands out the oldest record (locked). It returns nil if there is none, and
// ErrSubscribed if the channel has subscribers. With skipEmpty, records of length 0 are
// dropped on the way.
func (c *Channel) Pop(skipEmpty bool) (*Run, error) {
	if c.subscribed {
		return nil, ErrSubscribed
	}
	return c.storages[0].take(1, 1, skipEmpty)
}

// Popped returns the storage that can be popped from without the name of a subscriber (locked):
// that of a channel without subscribers, or that of the subscriber without a name. The error is
// ErrSubscribed if there are only others.
func (c *Channel) Popped() (*Storage, error) {
	for _, s := range c.storages {
		if s.subscriber == "" {
			return s, nil
		}
	}
	return nil, ErrSubscribed
}

// Adds reports whether Subscribe would add a queue to those that there are (locked).
func (c *Channel) Adds(subscriber string) bool {
	return c.subscribed && !slices.ContainsFunc(c.storages, func(s *Storage) bool { return s.subscriber == subscriber })
}

// Subscribe returns the storage of that subscriber and adds the subscriber if it is
// new (locked). The name must be valid (package names).
func (c *Channel) Subscribe(subscriber string) (*Storage, error) {
	if !c.subscribed {
		s := c.storages[0]
		if err := s.rename(subscriber); err != nil {
			return nil, c.subscriberError(subscriber, err)
		}
		c.subscribed = true
		s.wakeAll() // those who pop
		return s, nil
	}
	for _, s := range c.storages {
		if s.subscriber == subscriber {
			return s, nil
		}
	}
	s, err := newStorage(c, subscriber, true)
	if err != nil {
		return nil, c.subscriberError(subscriber, err)
	}
	c.storages = append(c.storages, s)
	return s, nil
}

func (c *Channel) subscriberError(subscriber string, err error) error {
	if isWait(err) {
		return err
	}
	return fmt.Errorf("channel %q: subscriber %q: %w", c.name, subscriber, err)
}

// remove drops everything (locked), or changes nothing.
func (c *Channel) remove() error {
	var numbers []uint64
	for _, s := range c.storages {
		numbers = append(numbers, s.numbers...)
	}
	if err := c.store.roomInCatalogue(c.waits, len(numbers)); isWait(err) {
		return err
	}
	if err := c.store.catalogue.Remove(numbers); err != nil {
		return fmt.Errorf("channel %q cannot be removed: %w", c.name, err)
	}
	c.removed = true
	for _, s := range c.storages {
		s.remove()
	}
	return nil
}
