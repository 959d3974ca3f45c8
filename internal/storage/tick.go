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
	// syncedPeriod is how often what nobody waits for is made durable: what was delivered.
	syncedPeriod = time.Second / 3
	// leastTrimmed is how many bytes are worth giving back.
	leastTrimmed = 1 << 20
)

// startTicking starts the periodic work.
func (cs *Channels) startTicking() {
	st := cs.store
	st.ticker.every(probePeriod, nil, func() {
		st.dir.Probe()
		if st.rings != st.dir {
			st.rings.Probe()
		}
		st.lookForHomes()
	})
	st.ticker.every(trimPeriod, nil, cs.trim)
	st.syncer.soon = make(chan struct{}, 1)
	period, what, failing := st.options.Sync/syncsAPeriod, lagging, false
	if st.options.Synced {
		what = all
		if period == 0 {
			period = syncedPeriod
		}
	}
	var before, told time.Time // the last round began, and the log was told that it was late
	st.ticker.every(period, st.syncer.soon, func() {
		begun := time.Now()
		err := cs.sync(what)
		if took := time.Since(before); what == lagging && err == nil && !before.IsZero() &&
			st.syncer.claimed.Load() > 0 && took > st.options.Sync && time.Since(told) > time.Minute {
			st.log.Warn("records were durable later than [Storage] sync_ms: the disk takes longer than that; "+
				"to do: find out what else uses it, or let producers be slower, or make sync_ms larger", zap.Duration("took", took))
			told = begun
		}
		before = begun
		switch {
		case err != nil && !failing:
			st.log.Error("records could not be made durable: a power failure would cost more than [Storage] sync_ms; "+
				"to do: look after the disk. That is tried again all the time", zap.Error(err))
		case err == nil && failing:
			st.log.Info("records are made durable again")
		default:
			return
		}
		failing = !failing
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
