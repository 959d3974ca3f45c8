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
	subscribed bool
	storages   []*Storage // one if not subscribed, else one per subscriber
}

// Name returns the name of the channel.
func (c *Channel) Name() string { return c.name }

// Lock starts a batch of operations on the channel. It reports false, and holds no
// lock, if the channel has been removed.
func (c *Channel) Lock() bool {
	c.mu.Lock()
	if c.removed {
		c.mu.Unlock()
		return false
	}
	return true
}

// Commit ends the batch: what was pushed survives a crash from now on, and consumers are woken.
func (c *Channel) Commit() {
	for _, s := range c.storages {
		s.commit()
		s.wake()
	}
	c.mu.Unlock()
}

// Push appends a record to every storage of the channel (locked). If the disk is full, or a queue
// has as much as it may have, none of them has it; after another failure of the disk some may.
func (c *Channel) Push(payload []byte) error {
	if err := c.admit(ring.HeaderSize + len(payload)); err != nil {
		return err
	}
	if len(c.storages) > 1 {
		if err := c.reserve(ring.HeaderSize + len(payload)); err != nil {
			return err
		}
	}
	for _, s := range c.storages {
		if err := s.push(payload); err != nil {
			return fmt.Errorf("storage %s: %w", s.name, err)
		}
	}
	return nil
}

// PushRun appends records that are laid out as in a ring: 8 bytes little-endian length,
// payload. None of them may be empty (locked). If the disk is full no storage has more of
// them than another; after another failure of the disk some may. If a queue may have only the first
// of the records, all storages have these.
func (c *Channel) PushRun(run []byte, records int) error {
	run, records, beyond := c.admitRun(run, records)
	if len(c.storages) > 1 && records > 0 {
		if err := c.reserve(len(run)); err != nil {
			return err
		}
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

// Reserve makes sure that records, of that size in a ring, can be pushed as far as disk space and
// bounds are concerned (locked): for those who push to several channels, and want to reach all or
// none. What others push meanwhile may take the space.
func (c *Channel) Reserve(size int) error {
	if err := c.admit(size); err != nil {
		return err
	}
	return c.reserve(size)
}

func (c *Channel) reserve(size int) error {
	for _, s := range c.storages {
		if err := s.reserve(size); err != nil {
			return fmt.Errorf("channel %s: %w", c.name, err)
		}
	}
	return nil
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

// Adds reports whether Subscribe would add a queue to those that there are (locked).
func (c *Channel) Adds(subscriber string) bool {
	return c.subscribed && !slices.ContainsFunc(c.storages, func(s *Storage) bool { return s.subscriber == subscriber })
}

// Popped returns the storage that a subscriber can pop from, which may be the one of nobody
// (locked): that of a channel without subscribers, or that of the subscriber without a name. Any
// other subscriber is added if it is new. The error is ErrSubscribed if there is nothing to pop
// from for nobody.
func (c *Channel) Popped(subscriber string) (*Storage, error) {
	if subscriber != "" {
		return c.Subscribe(subscriber)
	}
	for _, s := range c.storages {
		if s.subscriber == "" {
			return s, nil
		}
	}
	return nil, ErrSubscribed
}

// Subscribe returns the storage of that subscriber and adds the subscriber if it is
// new (locked). The name must be valid (package names).
func (c *Channel) Subscribe(subscriber string) (*Storage, error) {
	if !c.subscribed {
		s := c.storages[0]
		if err := s.rename(subscriber); err != nil {
			return nil, fmt.Errorf("channel %q: subscriber %q: %w", c.name, subscriber, err)
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
		return nil, fmt.Errorf("channel %q: subscriber %q: %w", c.name, subscriber, err)
	}
	c.storages = append(c.storages, s)
	return s, nil
}

// remove drops everything (locked), or changes nothing.
func (c *Channel) remove() error {
	var numbers []uint64
	for _, s := range c.storages {
		numbers = append(numbers, s.numbers...)
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
