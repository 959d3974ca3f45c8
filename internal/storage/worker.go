package storage

import (
	"sync"
	"time"
)

// worker does things that whoever asks for them does not wait for. The zero value does them at
// once, by whoever asks.
type worker struct {
	mu      sync.Mutex
	some    sync.Cond
	work    []func()
	running bool
	ended   sync.WaitGroup
}

// start makes the worker so many goroutines of its own: one does things in order.
func (w *worker) start(goroutines int) {
	w.some.L = &w.mu
	w.running = true
	for range goroutines {
		w.ended.Go(w.run)
	}
}

// do has something done. It may be called with any lock held, except by a worker that has none
// of its own goroutine.
func (w *worker) do(what func()) {
	w.mu.Lock()
	if !w.running {
		w.mu.Unlock()
		what()
		return
	}
	w.work = append(w.work, what)
	w.mu.Unlock()
	w.some.Signal()
}

func (w *worker) run() {
	for {
		w.mu.Lock()
		for len(w.work) == 0 && w.running {
			w.some.Wait()
		}
		if len(w.work) == 0 {
			w.mu.Unlock()
			return
		}
		what := w.work[0]
		w.work[0] = nil
		w.work = w.work[1:]
		w.mu.Unlock()
		what()
	}
}

// stop waits until everything is done. What is asked for afterwards is done at once.
func (w *worker) stop() {
	w.mu.Lock()
	if !w.running {
		w.mu.Unlock()
		return
	}
	w.running = false
	w.mu.Unlock()
	w.some.Broadcast()
	w.ended.Wait()
}

// ticker does things periodically.
type ticker struct {
	ticking sync.WaitGroup
	end     chan struct{}
}

func (t *ticker) every(period time.Duration, work func()) {
	if period <= 0 {
		return
	}
	if t.end == nil {
		t.end = make(chan struct{})
	}
	end := t.end
	t.ticking.Go(func() {
		tick := time.NewTicker(period)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				work()
			case <-end:
				return
			}
		}
	})
}

func (t *ticker) stop() {
	if t.end != nil {
		close(t.end)
		t.ticking.Wait()
		t.end = nil
	}
}
