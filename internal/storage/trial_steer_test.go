package storage

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// What comes back, is paused, or is moved to the failed channel, in a trial.

// fail returns a run that was popped, with or without a delay.
func (n *trial) fail(i int, delay time.Duration) {
	n.t.Helper()
	if i >= len(n.popped) {
		return
	}
	n.note("return %d of %d, delay %v", i, len(n.popped), delay)
	h := n.popped[i]
	n.popped = slices.Delete(n.popped, i, i+1)
	n.inVain([]*handedOut{h}, delay, func() { h.run.Fail(delay) })
	n.point("returned")
}

// abandon ends a consumer whose connection is gone after some of its runs have reached the client.
func (n *trial) abandon(r *keptReader, reached int) {
	n.t.Helper()
	if r == nil || !slices.Contains(n.readers, r) {
		return
	}
	reached = min(reached, len(r.outs))
	n.note("abandon %s, %d runs of %d have arrived", r.queue.name, reached, len(r.outs))
	n.readers = slices.DeleteFunc(n.readers, func(other *keptReader) bool { return other == r })
	for _, h := range r.outs[reached:] {
		n.settling(h, 0)
	}
	n.inVain(r.outs[:reached], 0, func() { r.Abandon(r.runs, reached) })
	n.point("abandoned")
}

// inVain does what ends the delivery of these runs without a confirmation. Those that have been
// delivered too often move to the failed channel: all the time they are in one of the two.
func (n *trial) inVain(runs []*handedOut, delay time.Duration, do func()) {
	n.t.Helper()
	var moved, copies []*item
	var to []*stored
	var from *Storage
	for _, h := range runs {
		from = h.run.storage
		o := &n.options
		hopeless := o.MaxDeliveries > 0 && h.run.tries+1 >= o.MaxDeliveries && !o.FailedChannel.Is(from.channel.name)
		n.settling(h, 0)
		switch {
		case from.removed:
		case hopeless:
			to = n.targets(o.FailedChannel.Of(from.channel.name))
			for _, i := range h.items {
				i.gone = maybe
				moved = append(moved, i)
				for _, q := range to {
					copied := &item{payload: i.payload, pushed: maybe, lossy: !o.RingInFile}
					q.items = append(q.items, copied)
					copies = append(copies, copied)
				}
			}
		case delay > 0:
			for _, i := range h.items {
				i.delayed = true
			}
		}
	}
	if len(moved) == 0 {
		do()
		return
	}
	n.moving, n.movingTo = moved, to
	before := from.counters.Failed.Records
	n.atOnce(do)
	n.moving = nil
	if from.counters.Failed.Records-before != uint64(len(moved)) {
		n.failed(fmt.Errorf("moved too few: %w", errInjected))
		return // which of them is uncertain
	}
	for _, i := range moved {
		i.gone = yes
	}
	for _, i := range copies {
		i.pushed = yes
	}
	for _, q := range to {
		q.exists = yes
	}
}

// targets returns the models of the storages that what is pushed to a channel goes to.
func (n *trial) targets(channel string) (all []*stored) {
	for _, q := range n.of(channel) {
		if q.exists == yes {
			all = append(all, q)
		}
	}
	if all == nil {
		q := n.queue(channel)
		q.exists = maybe
		all = append(all, q)
	}
	return all
}

// compareMoves says what is lost of the records that are being moved to a failed channel.
func (n *trial) compareMoves(found map[string][]string) error {
	if !n.options.RingInFile || len(n.moving) == 0 {
		return nil
	}
	for _, i := range n.moving {
		var in []string
		for name, payloads := range found {
			if slices.Contains(payloads, i.payload) {
				in = append(in, name)
			}
		}
		waits := slices.ContainsFunc(in, func(name string) bool {
			return !slices.ContainsFunc(n.movingTo, func(q *stored) bool { return q.name == name })
		})
		if !waits && len(in) < len(n.movingTo) {
			return fmt.Errorf("%.20q, which moved to the failed channel, is only in %v", i.payload, in)
		}
	}
	return nil
}

// release lets everything be due.
func (n *trial) release() {
	n.note("release")
	if n.channels == nil {
		return
	}
	for _, s := range storagesOf(n.channels) {
		s.channel.Lock()
		s.releaseDue(math.MaxInt64)
		s.channel.Commit()
	}
	n.nothingDelayed()
}

func (n *trial) nothingDelayed() {
	for _, q := range n.queues {
		for _, i := range q.items {
			i.delayed = false
		}
	}
}

// pause pauses a queue, or lets it go on.
func (n *trial) pause(channel, subscriber string, paused bool) {
	n.t.Helper()
	q := n.find(channel, subscriber)
	if q == nil || n.channels == nil {
		return
	}
	n.note("pause %s: %v", q.name, paused)
	q.paused = maybe
	if n.failed(n.channels.Pause(q.name, paused)) {
		return
	}
	q.paused = no
	if paused {
		q.paused = yes
	}
	n.point("paused, or not any more")
}

// comparePaused says whether a queue of a node that was started is wrongly paused, or not. With
// files that fail it is not certain what is known of that.
func (n *trial) comparePaused(cs *Channels) error {
	for _, s := range storagesOf(cs) {
		for _, q := range n.queues {
			if q.name == s.name && !n.faulty && (q.paused == yes && !s.paused || q.paused == no && s.paused) {
				return fmt.Errorf("%s is paused: %v", s.name, s.paused)
			}
		}
	}
	return nil
}
