package storage

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// shared is what all channels have in common.
type shared struct {
	removed  removedCounters // of channels that are gone
	clock    atomic.Int64    // what Mark was told last, in nanoseconds
	queues   atomic.Int64    // that there are
	stopping atomic.Bool     // see Stopping
}

// Channels is the set of all channels of the node. All methods are safe for
// concurrent use.
type Channels struct {
	shared shared
	store  *store

	mu     sync.RWMutex
	byName map[string]*Channel
	places []*Channel // in order of creation; nil for one that is removed
}

// Find returns the channel of that name, or nil. The channel may be removed at any
// time after that: Channel.Lock tells.
func (cs *Channels) Find(name []byte) *Channel {
	cs.mu.RLock()
	defer cs.mu.RUnlock()
	return cs.byName[string(name)]
}

// Open returns the channel of that name with its lock held, and creates it if
// necessary. The name must be valid (package names). It fails if there is no disk space to
// note that there is a new one.
func (cs *Channels) Open(name []byte) (*Channel, error) { return cs.open(name, false) }

// open is Open for somebody who may be told to wait.
func (cs *Channels) open(name []byte, waits bool) (*Channel, error) {
	for {
		c := cs.Find(name)
		if c == nil {
			var err error
			if c, err = cs.create(string(name), waits); err != nil {
				return nil, err
			}
		}
		if c.lock(waits) {
			return c, nil
		}
		cs.forget(c)
	}
}

// newChannel returns one without storages.
func (cs *Channels) newChannel(name string) *Channel {
	return &Channel{name: name, all: cs, shared: &cs.shared, store: cs.store, bound: cs.store.options.boundOf(name)}
}

// create adds the channel unless there is one by now. The channel becomes visible
// before its storage exists, but locked.
func (cs *Channels) create(name string, waits bool) (*Channel, error) {
	if err := cs.store.roomInCatalogue(waits, 1); err != nil {
		return nil, channelError(name, err)
	}
	cs.mu.Lock()
	if c := cs.byName[name]; c != nil {
		cs.mu.Unlock()
		return c, nil
	}
	c := cs.newChannel(name)
	c.mu.Lock()
	cs.add(c)
	cs.mu.Unlock()

	s, err := newStorage(c, "", false)
	if err != nil {
		c.removed = true
		c.mu.Unlock()
		cs.forget(c)
		return nil, channelError(name, err)
	}
	c.storages = []*Storage{s}
	c.mu.Unlock()
	return c, nil
}

func channelError(name string, err error) error {
	if isWait(err) {
		return err
	}
	return fmt.Errorf("channel %q: %w", name, err)
}

// forget drops a removed channel from the set.
func (cs *Channels) forget(c *Channel) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.byName[c.name] != c {
		return
	}
	delete(cs.byName, c.name)
	cs.places[c.place] = nil
	if len(cs.places) >= 2*len(cs.byName)+minPlaces {
		left := cs.list()
		cs.places = cs.places[:0:0]
		for _, c := range left {
			cs.add(c)
		}
	}
}

// minPlaces is how many places are not worth the work to free them.
const minPlaces = 64

// add puts a channel into the set. The lock is held.
func (cs *Channels) add(c *Channel) {
	cs.byName[c.name] = c
	c.place = len(cs.places)
	cs.places = append(cs.places, c)
}

// list returns the channels in order of creation. The lock is held.
func (cs *Channels) list() []*Channel {
	all := make([]*Channel, 0, len(cs.byName))
	for _, c := range cs.places {
		if c != nil {
			all = append(all, c)
		}
	}
	return all
}

// Remove drops the channel of that name with all its subscribers and records, if there
// is one, and wakes its consumers. Runs that are handed out stay valid until settled. After an
// error nothing is changed.
func (cs *Channels) Remove(name []byte) error {
	if err := cs.store.roomInCatalogue(false, 1); err != nil { // before anything is locked
		return err
	}
	return cs.remove(name, false)
}

func (cs *Channels) remove(name []byte, waits bool) error {
	c := cs.Find(name)
	if c == nil || !c.lock(waits) {
		return nil
	}
	err := c.remove()
	c.Commit()
	if err == nil {
		cs.forget(c)
	}
	return err
}

// Queues is how many queues there are: channels without subscribers, and subscribers.
func (cs *Channels) Queues() int { return int(cs.shared.queues.Load()) }

// All returns the channels in order of creation.
func (cs *Channels) All() []*Channel {
	cs.mu.RLock()
	defer cs.mu.RUnlock()
	return cs.list()
}
