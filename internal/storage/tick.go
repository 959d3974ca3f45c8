package storage

import (
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

const (
	// probePeriod is how often a full disk is looked at again.
	probePeriod = time.Second
	// trimPeriod is how often space is looked for that is not used any more.
	trimPeriod = 10 * time.Second
	// mostIdle is how many such periods an empty queue has its file.
	mostIdle = 3
	// leastTrimmed is how many bytes are worth giving back.
	leastTrimmed = 1 << 20
)

// startTicking starts the periodic work.
func (cs *Channels) startTicking() {
	st := cs.store
	st.ticker.every(probePeriod, func() {
		st.dir.Probe()
		if st.rings != st.dir {
			st.rings.Probe()
		}
		st.lookForHomes()
	})
	st.ticker.every(trimPeriod, cs.trim)
	st.ticker.every(st.options.Sync, func() {
		if err := cs.sync(); err != nil {
			st.log.Error("records could not be made durable", zap.Error(err))
		}
	})
}

// trim gives memory and disk space back that queues have not needed for a while.
func (cs *Channels) trim() {
	for _, c := range cs.All() {
		for _, work := range c.trim() {
			if err := work.Do(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
				cs.store.log.Warn("unused space could not be given back", zap.Error(err))
			}
		}
	}
}

// trim takes what is not needed any more out of service. Giving it back is left to the caller.
func (c *Channel) trim() (work []*ring.Return) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.storages {
		if s.removed {
			continue
		}
		pushed := s.counters.Pushed.Bytes + ring.HeaderSize*s.counters.Pushed.Records
		recent := pushed - (s.trimmed.Bytes + ring.HeaderSize*s.trimmed.Records)
		s.trimmed = s.counters.Pushed
		if recent == 0 {
			s.idle++
		} else {
			s.idle = 0
		}
		for i := len(s.parts) - 1; i >= 0; i-- {
			p := s.parts[i]
			s.tellLoss(p)
			switch {
			case p.Held() == 0 && (s.idle >= mostIdle || !s.isMain(p)):
				s.drop(p)
			case p.Kind() == ring.Main && p.Unused()-int(min(recent, uint64(p.Capacity()))) > leastTrimmed:
				if w := p.GiveBack(int(min(recent, uint64(p.Capacity())))); w != nil {
					work = append(work, w)
				}
			}
		}
		if len(s.parts) == 0 {
			s.dropReserved()
		}
	}
	return work
}

// sync makes everything durable that was acknowledged before. Nobody waits for that. Should the
// power fail, what was stored since may be in part on the disk.
func (cs *Channels) sync() (err error) {
	st := cs.store
	var rings []*ring.Ring
	for _, c := range cs.All() {
		c.sealMain()
		c.mu.Lock()
		for _, s := range c.storages {
			for _, p := range s.parts {
				if p.Changed() {
					rings = append(rings, p.Ring)
				}
			}
		}
		c.mu.Unlock()
	}
	for _, r := range rings {
		err = errors.Join(err, r.Sync())
	}
	return errors.Join(err, st.catalogue.Sync(), st.rings.Sync(), st.dir.Sync())
}

// sealMain gives checksums to what lies in the rings of the queues. Others use the channel
// meanwhile.
func (c *Channel) sealMain() {
	for more := c.store.options.Checksums; more; {
		more = false
		c.mu.Lock()
		for _, s := range c.storages {
			for _, p := range s.parts {
				if p.Kind() == ring.Main && p.SealSome() {
					more = true
				}
			}
		}
		c.mu.Unlock()
	}
}
