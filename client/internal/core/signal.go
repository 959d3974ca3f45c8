package core

import (
	"context"
	"sync"
	"time"
)

// Signal wakes all who wait for something to change. Take the channel of Wait first, then
// look at what may have changed, then receive from the channel: so no change is missed.
// The zero value is ready.
type Signal struct {
	mu      sync.Mutex
	waiting chan struct{} // nil if nobody waits
}

// Wait returns a channel that the next Notify closes.
func (s *Signal) Wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == nil {
		s.waiting = make(chan struct{})
	}
	return s.waiting
}

// Notify wakes those who wait. It costs little if nobody does.
func (s *Signal) Notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting != nil {
		close(s.waiting)
		s.waiting = nil
	}
}

// Pause waits, or until ctx ends.
func Pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
