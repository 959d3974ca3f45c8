package listener

import (
	"context"
	"errors"
	"fmt"
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

// Answer waits until every loop has come to the end of a round. It returns an error that
// says how many have not when the context is done. It must not be called after Stop.
func (g *Group) Answer(ctx context.Context) error {
	answers := make(chan struct{}, len(g.loops))
	for _, l := range g.loops {
		l.Post(TaskFunc(func() { answers <- struct{}{} }))
	}
	for i := range g.loops {
		select {
		case <-answers:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d event loops do not answer", len(g.loops)-i, len(g.loops))
		}
	}
	return nil
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
