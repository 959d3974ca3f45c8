package storage

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// What a client has got and not confirmed comes back, and its run knows how often: that costs
// nothing for records that are delivered once. After so many failed deliveries as the
// configuration allows, the records are moved to another channel.

// Fail settles the run: a client has got its records, or a part of them, and has not confirmed
// them. They can be handed out again after the delay, in their old order, unless that has
// happened so often that they are moved to the failed channel.
func (r *Run) Fail(delay time.Duration) {
	c := r.storage.channel
	c.mu.Lock()
	s := r.storage
	if !s.removed && !c.shared.stopping.Load() {
		r.tries++
		if s.hopeless(r) {
			c.mu.Unlock()
			c.store.mover.do(r.moveAway) // it may have to wait for files
			return
		}
	}
	s.giveBack(r, 0)
	if delay > 0 && !s.removed {
		s.delay(r, now()+delay)
	}
	c.Commit()
}

// Abandon ends the consumer, whose connection is gone. Of runs, in the order in which they were taken,
// the first have reached the client, in part at least: these deliveries have failed. The others
// go back as they were.
func (c *Consumer) Abandon(runs []*Run, reached int) {
	s := c.storage
	s.channel.mu.Lock()
	var hopeless []*Run
	counts := !s.removed && !s.channel.shared.stopping.Load()
	for i, r := range runs {
		if i < reached && counts {
			if r.tries++; s.hopeless(r) {
				hopeless = append(hopeless, r)
				continue
			}
		}
		s.giveBack(r, 0)
	}
	c.detach()
	s.channel.Commit()
	for _, r := range hopeless {
		s.channel.store.mover.do(r.moveAway) // it may have to wait for files
	}
}

// hopeless tells that a run is to be moved to the failed channel.
func (s *Storage) hopeless(r *Run) bool {
	o := &s.channel.store.options
	return o.MaxDeliveries > 0 && r.tries >= o.MaxDeliveries && !o.FailedChannel.Is(s.channel.name)
}

// moveAway moves the records of a run, which is still handed out, to the failed channel, and settles
// it. They are stored there before they are dropped here: a kill may leave them in both.
func (r *Run) moveAway() {
	s := r.storage
	c := s.channel
	st := c.store
	to := st.options.FailedChannel.Of(c.name)
	size, n, err := 0, 0, error(nil)
	if r.part.InFile() && !r.part.Readable(r.bytes) {
		err = r.part.Unreadable()
	} else {
		size, n, err = c.all.pushFailed(to, r.bytes)
	}
	c.mu.Lock()
	s.counters.Failed.add(n, size-n*ring.HeaderSize)
	if s.giveBack(r, size); !s.removed { // from here on the run is somebody else's
		s.counters.Delivered.subtract(n, size-n*ring.HeaderSize)
	}
	c.Commit()
	level, message := zapcore.WarnLevel, "records that were delivered in vain too often are moved to the failed channel"
	if err != nil {
		level, message = zapcore.ErrorLevel, "records that were delivered in vain too often stay in their queue: "+
			"they could not be moved to the failed channel"
	}
	st.failed.Log(level, message, zap.String("storage", s.name), zap.String("to", to), zap.Int("deliveries", st.options.MaxDeliveries),
		zap.Int("records", n), zap.Error(err))
}

// pushFailed pushes records to a channel, and returns how much of them it has stored.
func (cs *Channels) pushFailed(channel string, run []byte) (size, records int, err error) {
	for size < len(run) {
		c, err := cs.openFailed(channel)
		for err == nil && size < len(run) {
			record, _ := ring.Cut(run[size:], 1, 1)
			if err = c.Push(record[ring.HeaderSize:]); err == nil {
				size, records = size+len(record), records+1
			}
		}
		if c != nil {
			c.Commit()
		}
		if w, ok := err.(*Wait); ok {
			err = w.block()
		}
		if err != nil {
			return size, records, err
		}
	}
	return size, records, nil
}

var errTooMany = errors.New("there are as many channels, and subscribers, as [Limits] channels allows")

// openFailed returns the channel of that name, locked.
func (cs *Channels) openFailed(channel string) (*Channel, error) {
	name := []byte(channel)
	if !names.ValidChannel(name) {
		return nil, fmt.Errorf("no channel can have the name %q, which has %d characters of %d that are possible", channel, len(name), names.MaxChannel)
	}
	if c := cs.Find(name); c == nil && cs.store.options.MaxQueues > 0 && cs.Queues() >= cs.store.options.MaxQueues {
		return nil, errTooMany
	}
	return cs.open(name, true)
}

// Stopping tells that deliveries end from now on because the node does, which says nothing about
// the records.
func (cs *Channels) Stopping() { cs.shared.stopping.Store(true) }

// failedPeriod is the shortest time between two lines about records that nobody can handle.
const failedPeriod = 10 * time.Second
