package main

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

// unusual is after what time a person is told what is waited for.
const unusual = time.Second

// waiting tells what is waited for if that takes long. over is to be called at its end.
func (t *tool) waiting(format string, args ...any) (over func()) {
	timer := time.AfterFunc(unusual, func() { t.say("waiting "+format, args...) })
	return func() { timer.Stop() }
}

// storing is a producer that tells when the nodes do not take its records: one of its methods
// does not return, or what was sent is not confirmed.
type storing struct {
	queue.Producer
	steps atomic.Int64 // odd while a method is under way
	ended chan struct{}
}

// producer returns a producer for channels. It has to be closed.
func (t *tool) producer(ctx context.Context, dmq queue.Queue, channels ...string) (*storing, error) {
	over := t.waiting("for a node to accept records for %s", strings.Join(channels, ","))
	producer, err := dmq.Produce(ctx, channels...)
	over()
	if err != nil {
		return nil, err
	}
	s := &storing{Producer: producer, ended: make(chan struct{})}
	go s.watch(t)
	return s, nil
}

func (s *storing) Push(ctx context.Context, value []byte) error {
	s.steps.Add(1)
	err := s.Producer.Push(ctx, value)
	s.steps.Add(1)
	return err
}

func (s *storing) Send() error {
	s.steps.Add(1)
	defer s.steps.Add(1)
	return s.Producer.Send()
}

func (s *storing) Flush(ctx context.Context) error {
	s.steps.Add(1)
	defer s.steps.Add(1)
	return s.Producer.Flush(ctx)
}

func (s *storing) Close(ctx context.Context) error {
	s.steps.Add(1)
	defer close(s.ended)
	return s.Producer.Close(ctx)
}

// watch tells of each time that nothing goes on, once.
func (s *storing) watch(t *tool) {
	tick := time.NewTicker(unusual / 4)
	defer tick.Stop()
	var steps, stored int64
	since, told := time.Now(), false
	for {
		select {
		case <-s.ended:
			return
		case now := <-tick.C:
			state, step := s.State(), s.steps.Load()
			waits := state.Unconfirmed > 0 || step%2 == 1 && step == steps
			if !waits || state.Stored != stored {
				since, told = now, false
			}
			steps, stored = step, state.Stored
			if now.Sub(since) >= unusual && !told {
				told = true
				t.say("waiting until the nodes take the records; stored: %d, not confirmed: %d", state.Stored, state.Unconfirmed)
			}
		}
	}
}
