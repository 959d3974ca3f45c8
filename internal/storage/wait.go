package storage

import (
	"slices"
	"sync"
)

// Wait is the error of an operation that needs something to be done with files first: that is
// being done by others, and nothing has been changed. The caller lets go of the channel, has
// itself woken by Notify, and then, unless Err tells that it was in vain, does the operation
// again. So no event loop waits for a disk, and no lock is held meanwhile.
//
// Operations return it only to who has locked the channel with a Batch, which keeps it (see
// Batch.Waits). For others they do what is to be done at once.
//
// What else somebody may have to wait for, before it is told of, can be a Wait too: see newWait.
type Wait struct {
	mu     sync.Mutex
	over   bool
	err    error
	wakers []Waker
}

func (w *Wait) Error() string { return "a file is being waited for" }

// newWait returns something to be waited for until end is called.
func newWait() *Wait { return new(Wait) }

// Notify has somebody woken once when there is nothing to be waited for any more, at once if
// that is so already. The Waker must only schedule work: locks may be held.
func (w *Wait) Notify(k Waker) {
	w.mu.Lock()
	over := w.over
	if !over {
		w.wakers = append(w.wakers, k)
	}
	w.mu.Unlock()
	if over {
		k.Wake()
	}
}

// Forget makes sure that somebody is not woken any more.
func (w *Wait) Forget(k Waker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wakers = slices.DeleteFunc(w.wakers, func(other Waker) bool { return other == k })
}

// block waits, for a goroutine that serves nobody else, and returns why it was in vain, or nil.
func (w *Wait) block() error {
	b := make(bell, 1)
	w.Notify(b)
	<-b
	return w.Err()
}

// bell is a Waker for somebody who does nothing else.
type bell chan struct{}

// Wake implements Waker.
func (b bell) Wake() {
	select {
	case b <- struct{}{}:
	default:
	}
}

// Over reports whether there is nothing to be waited for any more.
func (w *Wait) Over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.over
}

// Err is why it was in vain, or nil. It is to be called when it is over.
func (w *Wait) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// end wakes all who wait.
func (w *Wait) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over, w.err = true, err
	for _, k := range w.wakers { // with the lock held: see Forget
		k.Wake()
	}
	w.wakers = nil
}

// isWait reports whether an error says that an operation is to be done again later.
func isWait(err error) bool {
	_, ok := err.(*Wait)
	return ok
}

// await does work with files, and then what follows from it in memory. If the caller may not
// wait it is done in the background, and a *Wait returned. A slot is for one such thing at a
// time: who needs another one meanwhile waits for the first, and finds out then.
func (s *Storage) await(slot **Wait, work func() error, then func()) error {
	c := s.channel
	if !c.waits {
		err := work()
		if err == nil {
			then()
		}
		return err
	}
	if *slot == nil {
		*slot = newWait()
		c.store.hurry.do(func() {
			err := work()
			c.mu.Lock()
			s.arrived(slot, err, then)
		})
	}
	return *slot
}

// arrived goes on, with the channel locked, after something was done for a slot.
func (s *Storage) arrived(slot **Wait, err error, then func()) {
	w := *slot
	*slot = nil
	if err == nil {
		then()
	}
	if s.removed {
		err = nil // whoever waits finds that out
		s.closeIfUnused()
	}
	if slot == &s.taking {
		s.stalled = false
		if err != nil {
			s.failConsumers(err)
		}
	}
	s.channel.Commit()
	w.end(err)
}

// await does work with files for somebody who has no queue yet.
func (st *store) await(waits bool, work func() error) error {
	if !waits {
		return work()
	}
	w := newWait()
	st.hurry.do(func() { w.end(work()) })
	return w
}
