package core

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/dmq"
)

// Ledger is the accounts of a producer: which records it has taken, and what became of them.
// Its lock is that of the producer, too: taking a record is one critical section for both.
type Ledger struct {
	Options dmq.ProducerOptions

	cluster *Cluster
	room    Signal
	hurry   func()        // called, without the lock, when somebody begins to wait
	stop    func()        // ends the goroutine of the producer
	ended   chan struct{} // closed when it has ended

	sync.Mutex
	closed  bool // no more records are taken
	over    bool // no more records are tried again
	blocked bool // somebody waits for room
	state   dmq.ProducerState
	failed  uint64   // since the last Flush
	first   error    // of these
	refusal error    // the last one since Look
	settled uint64   // records at the last Look
	group   *Group   // that new records belong to
	groups  []*Group // with pending records, that one included
}

// Group is the records pushed between two calls of Flush.
type Group struct {
	pending int
	done    chan struct{} // closed when none is pending and no more will come
}

// NewLedger returns the accounts of a producer with these options. hurry is called when somebody
// begins to wait, stop for the goroutine of Run to end.
func NewLedger(c *Cluster, options dmq.ProducerOptions, maxRecords int, hurry, stop func()) *Ledger {
	if options.MaxPendingRecords <= 0 {
		options.MaxPendingRecords = maxRecords
	}
	if options.MaxPendingBytes <= 0 {
		options.MaxPendingBytes = dmq.DefaultMaxPendingBytes
	}
	Default(&options.Retry, dmq.DefaultRetry)
	return &Ledger{Options: options, cluster: c, hurry: hurry, stop: stop, ended: make(chan struct{})}
}

// Run starts the goroutine of the producer. A client that is closed has none.
func (l *Ledger) Run(run func()) {
	if !l.cluster.Go(func() { defer close(l.ended); run() }) {
		l.End()
		close(l.ended)
	}
}

// Take waits for room for a record and counts it. A record that is larger than all the room
// there is gets in when no other is pending. With a group it returns with the lock held, for the
// caller to do its part and unlock.
func (l *Ledger) Take(ctx context.Context, size int) (*Group, error) {
	for {
		l.Lock()
		switch {
		case l.closed:
			l.Unlock()
			return nil, dmq.ErrClosed
		case ctx.Err() != nil:
			l.Unlock()
			return nil, context.Cause(ctx)
		case l.state.Pending == 0 || l.state.Pending < l.Options.MaxPendingRecords && l.state.PendingBytes+size <= l.Options.MaxPendingBytes:
			return l.admit(size), nil
		}
		l.blocked = true
		room := l.room.Wait()
		l.Unlock()
		l.hurry()
		select {
		case <-room:
		case <-ctx.Done():
		}
	}
}

// admit counts a new record. The lock is held.
func (l *Ledger) admit(size int) *Group {
	if l.group == nil {
		l.group = &Group{done: make(chan struct{})}
		l.groups = append(l.groups, l.group)
	}
	l.group.pending++
	l.state.Pending++
	l.state.PendingBytes += size
	return l.group
}

// Withdraw undoes what Take has counted, before its lock is released.
func (l *Ledger) Withdraw(size int) {
	l.group.pending--
	l.state.Pending--
	l.state.PendingBytes -= size
}

// Settle ends records of one group: err is nil if they are stored.
func (l *Ledger) Settle(g *Group, records, size int, err error) {
	l.Lock()
	l.state.Pending -= records
	l.state.PendingBytes -= size
	if err == nil {
		l.state.Stored += uint64(records)
	} else {
		if l.failed == 0 {
			l.first = err
		}
		l.failed += uint64(records)
		l.state.Failed += uint64(records)
	}
	if g.pending -= records; g.pending == 0 && g != l.group {
		l.finish(g)
	}
	// Those who wait come back for many records, not for one.
	notify := l.blocked && (l.state.Pending == 0 || l.state.Pending <= l.Options.MaxPendingRecords*3/4 &&
		l.state.PendingBytes <= l.Options.MaxPendingBytes/4*3)
	if notify {
		l.blocked = false
	}
	l.Unlock()
	if notify {
		l.room.Notify()
	}
}

// Report calls the hooks for a record.
func (l *Ledger) Report(value []byte, channels []string, err error) {
	switch {
	case err != nil && l.Options.OnError != nil:
		l.Options.OnError(value, channels, err)
	case err == nil && l.Options.OnStored != nil:
		l.Options.OnStored(value, channels)
	}
}

// Reports tells whether there is a hook for such an outcome.
func (l *Ledger) Reports(err error) bool {
	return err != nil && l.Options.OnError != nil || err == nil && l.Options.OnStored != nil
}

// Refused is told why a record was not stored, which will be tried again.
func (l *Ledger) Refused(reason error) {
	l.Lock()
	defer l.Unlock()
	l.refusal = reason
}

// LookInterval is how often Look is to be called.
const LookInterval = 400 * time.Millisecond

var errNoAnswer = errors.New("no node has answered yet")

// Look finds out whether records wait: whether there are any, and nothing became of them since
// the last look.
func (l *Ledger) Look() {
	l.Lock()
	var reason error
	if settled := l.state.Stored + l.state.Failed; settled != l.settled || l.state.Pending == 0 {
		l.settled, l.refusal = settled, nil
	} else {
		reason = cmp.Or(l.refusal, l.cluster.waitReason())
	}
	began := l.state.Waiting == nil && reason != nil
	ended := l.state.Waiting != nil && reason == nil
	l.state.Waiting = reason
	switch {
	case began:
		l.state.WaitingSince = time.Now()
	case ended:
		l.state.WaitingSince = time.Time{}
	}
	l.Unlock()
	switch {
	case began:
		l.cluster.Options.Logger.Warn("records wait to be stored", "error", reason)
	case ended:
		l.cluster.Options.Logger.Info("no record waits any more")
	}
	if hook := l.Options.OnWait; hook != nil && (began || ended) {
		hook(reason)
	}
}

// Why returns why records are not stored.
func (l *Ledger) Why() error {
	l.Lock()
	defer l.Unlock()
	return cmp.Or(l.refusal, l.state.Waiting, l.cluster.waitReason())
}

// waitReason returns why records wait that no node has refused.
func (c *Cluster) waitReason() error {
	states := c.Nodes()
	if f := unconnected(states); len(f) == len(states) {
		return f
	}
	return errNoAnswer
}

// Retried counts that a record was tried again.
func (l *Ledger) Retried(records int) {
	l.Lock()
	defer l.Unlock()
	l.state.Retried += uint64(records)
}

// finish ends a group. The lock is held.
func (l *Ledger) finish(g *Group) {
	close(g.done)
	for i := range l.groups {
		if l.groups[i] == g {
			l.groups = append(l.groups[:i], l.groups[i+1:]...)
			return
		}
	}
}

// Flush implements [dmq.Producer].
func (l *Ledger) Flush(ctx context.Context) (err error) {
	ctx, end := l.cluster.Begin(ctx, "Flush", nil, 0)
	defer func() { end(err) }()
	groups := l.seal()
	l.hurry()
	for _, g := range groups {
		select {
		case <-g.done:
		case <-ctx.Done():
			return Fail("Flush", nil, context.Cause(ctx))
		}
	}
	l.Lock()
	defer l.Unlock()
	if l.failed == 0 {
		return nil
	}
	e := &dmq.ProduceError{Failed: l.failed, First: l.first}
	l.failed, l.first = 0, nil
	return e
}

// seal ends the current group and returns all that have pending records.
func (l *Ledger) seal() []*Group {
	l.Lock()
	defer l.Unlock()
	groups := append([]*Group(nil), l.groups...)
	if g := l.group; g != nil {
		l.group = nil
		if g.pending == 0 {
			l.finish(g)
		}
	}
	return groups
}

// Close implements [dmq.Producer].
func (l *Ledger) Close(ctx context.Context) error {
	l.end(false)
	err := l.Flush(ctx)
	l.End()
	l.stop()
	<-l.ended
	return err
}

// End makes Take fail, and no more records are to be tried again.
func (l *Ledger) End() { l.end(true) }

func (l *Ledger) end(over bool) {
	l.Lock()
	l.closed, l.over = true, l.over || over
	l.Unlock()
	l.room.Notify()
}

// Over tells whether no more records are to be tried again.
func (l *Ledger) Over() bool {
	l.Lock()
	defer l.Unlock()
	return l.over
}

// State implements [dmq.Producer].
func (l *Ledger) State() dmq.ProducerState {
	l.Lock()
	defer l.Unlock()
	return l.state
}
