package storage

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
)

// shared is what all channels have in common.
type shared struct {
	removed removedCounters // of channels that are gone
	clock   atomic.Int64    // what Mark was told last, in nanoseconds
}

// Channels is the set of all channels of the node. All methods are safe for
// concurrent use.
type Channels struct {
	shared shared
	store  *store

	mu     sync.RWMutex
	byName map[string]*Channel
	all    []*Channel // in order of creation
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
	c := &Channel{name: name, shared: &cs.shared, store: cs.store}
	c.mu.Lock()
	cs.byName[name] = c
	cs.all = append(cs.all, c)
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
	i := slices.Index(cs.all, c)
	cs.all = slices.Delete(cs.all, i, i+1)
}

// Remove drops the channel of that name with all its subscribers and records, if there
// is one, and wakes its consumers. Runs that are handed out stay valid until settled. After an
// error nothing is changed.
func (cs *Channels) Remove(name []byte) error { return cs.remove(name, false) }

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

// Len is the number of channels.
func (cs *Channels) Len() int {
	cs.mu.RLock()
	defer cs.mu.RUnlock()
	return len(cs.all)
}

// All returns the channels in order of creation.
func (cs *Channels) All() []*Channel {
	cs.mu.RLock()
	defer cs.mu.RUnlock()
	return slices.Clone(cs.all)
}
