package listener

import (
	"errors"
	"sync"
)

// Group is the event loops of the node.
type Group struct {
	loops []*Loop
	done  sync.WaitGroup
	errs  []error
}

// NewGroup creates count loops, at least one.
func NewGroup(count int) (*Group, error) {
	g := &Group{errs: make([]error, count)}
	for i := range count {
		l, err := newLoop(i)
		if err != nil {
			for _, l := range g.loops {
				l.close()
			}
			return nil, err
		}
		g.loops = append(g.loops, l)
	}
	return g, nil
}

// Loops returns the loops; their Index is their position.
func (g *Group) Loops() []*Loop { return g.loops }

// Start runs every loop in a goroutine of its own.
func (g *Group) Start() {
	for i, l := range g.loops {
		g.done.Go(func() { g.errs[i] = l.Run() })
	}
}

// Stop ends all loops after their current round and waits for them. It returns what
// made a loop fail.
func (g *Group) Stop() error {
	for _, l := range g.loops {
		l.Post(TaskFunc(l.Stop))
	}
	g.done.Wait()
	return errors.Join(g.errs...)
}

// Do runs f on every loop, in turn, and waits until each has run it. It must not be
// called from a loop, nor after Stop.
func (g *Group) Do(f func(*Loop)) {
	for _, l := range g.loops {
		done := make(chan struct{})
		l.Post(TaskFunc(func() {
			defer close(done)
			f(l)
		}))
		<-done
	}
}

// leastLoaded is the loop with the fewest connections.
func (g *Group) leastLoaded() *Loop {
	least := g.loops[0]
	for _, l := range g.loops[1:] {
		if l.connections.Load() < least.connections.Load() {
			least = l
		}
	}
	return least
}
