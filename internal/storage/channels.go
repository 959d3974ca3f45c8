package storage

import (
	"fmt"
	"slices"
	"sync"
)

// Overflow takes the records of one storage that do not fit its ring, and hands them
// out in the same layout and by the same rules as a ring: Take, then Free in the order
// of the takes. All calls are made under the lock of the storage's channel.
type Overflow interface {
	// Push appends one record. After an error nothing of the record is left.
	Push(payload []byte) error
	// Take hands out the oldest waiting records: at most maxRecords, and none after
	// enough bytes have been reached. The run stays valid until it is freed.
	Take(enough, maxRecords int) (run []byte, records int, err error)
	// Free drops the oldest handed-out records.
	Free(size, records int)
	// Held is the number of records, those handed out included.
	Held() int
	// Waiting is the number of records not handed out.
	Waiting() int
	// PayloadBytes is the sum of the payload lengths of the held records.
	PayloadBytes() uint64
	// Rename gives the storage a new name; its records stay.
	Rename(storage string)
	// Remove drops all records and forgets the storage.
	Remove()
}

// Options say how storages are made.
type Options struct {
	// RingSize is the capacity in bytes of each ring of a channel.
	RingSize func(channel string) uint64
	// Overflow opens the overflow of a new storage.
	Overflow func(storage string) (Overflow, error)
}

// shared is what all channels have in common.
type shared struct {
	Options
	store   *Store          // makes all places, if there is one
	removed removedCounters // of channels that are gone
}

// Channels is the set of all channels of the node. All methods are safe for
// concurrent use.
type Channels struct {
	shared shared

	mu     sync.RWMutex
	byName map[string]*Channel
	all    []*Channel // in order of creation
}

// NewChannels returns an empty set.
func NewChannels(options Options) *Channels {
	return &Channels{shared: shared{Options: options}, byName: make(map[string]*Channel)}
}

// Find returns the channel of that name, or nil. The channel may be removed at any
// time after that: Channel.Lock tells.
func (cs *Channels) Find(name []byte) *Channel {
	cs.mu.RLock()
	defer cs.mu.RUnlock()
	return cs.byName[string(name)]
}

// Open returns the channel of that name with its lock held, and creates it if
// necessary. The name must be valid (package names). It fails if no ring can be
// allocated.
func (cs *Channels) Open(name []byte) (*Channel, error) {
	for {
		c := cs.Find(name)
		if c == nil {
			var err error
			if c, err = cs.create(string(name)); err != nil {
				return nil, err
			}
		}
		if c.Lock() {
			return c, nil
		}
		cs.forget(c)
	}
}

// create adds the channel unless there is one by now. The channel becomes visible
// before its storage exists, but locked, so that a slow allocation holds up nobody but
// those who want this channel.
func (cs *Channels) create(name string) (*Channel, error) {
	cs.mu.Lock()
	if c := cs.byName[name]; c != nil {
		cs.mu.Unlock()
		return c, nil
	}
	c := &Channel{name: name, shared: &cs.shared}
	c.mu.Lock()
	cs.byName[name] = c
	cs.all = append(cs.all, c)
	cs.mu.Unlock()

	s, err := newStorage(c, "", false)
	if err != nil {
		c.removed = true
		c.mu.Unlock()
		cs.forget(c)
		return nil, fmt.Errorf("channel %q: %w", name, err)
	}
	c.storages = []*Storage{s}
	c.mu.Unlock()
	return c, nil
}

// forget drops a removed channel from the set.
func (cs *Channels) forget(c *Channel) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.byName[c.name] != c {
		return
	}
	delete(cs.byName, c.name)
	i := slices.Index(cs.all, c)
	cs.all = slices.Delete(cs.all, i, i+1)
}

// Remove drops the channel of that name with all its subscribers and records, if there
// is one, and wakes its consumers. Runs that are handed out stay valid until settled.
func (cs *Channels) Remove(name []byte) {
	c := cs.Find(name)
	if c == nil || !c.Lock() {
		return
	}
	c.remove()
	c.Unlock()
	cs.forget(c)
}

// All returns the channels in order of creation.
func (cs *Channels) All() []*Channel {
	cs.mu.RLock()
	defer cs.mu.RUnlock()
	return slices.Clone(cs.all)
}
