package client

import "sync"

// signal wakes all who wait for something to change. Take the channel of wait first, then
// look at what may have changed, then receive from the channel: so no change is missed.
// The zero value is ready.
type signal struct {
	mu      sync.Mutex
	waiting chan struct{} // nil if nobody waits
}

// wait returns a channel that the next notify closes.
func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == nil {
		s.waiting = make(chan struct{})
	}
	return s.waiting
}

// notify wakes those who wait. It costs little if nobody does.
func (s *signal) notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting != nil {
		close(s.waiting)
		s.waiting = nil
	}
}
