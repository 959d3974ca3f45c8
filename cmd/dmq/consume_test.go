package main

import (
	"context"
	"io"
	"iter"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

// backlogConsumer has so many records, and then waits for its end.
type backlogConsumer struct {
	records int
	stopped atomic.Bool
	ended   chan struct{}
}

func (c *backlogConsumer) Records() iter.Seq2[queue.Record, error] {
	return func(yield func(queue.Record, error) bool) {
		for range c.records {
			if c.stopped.Load() || !yield(queue.Record{Last: true}, nil) {
				return
			}
		}
		<-c.ended
	}
}

func (c *backlogConsumer) Stop() {
	if !c.stopped.Swap(true) {
		close(c.ended)
	}
}

func (c *backlogConsumer) Close() error          { return nil }
func (c *backlogConsumer) Await(context.Context) {}

// The time of --idle counts while there is no record, not while somebody is slow to take one.
func TestSlowHandlingIsNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const records, idle = 3, time.Second
		tool := &tool{stderr: io.Discard}
		consumer := &backlogConsumer{records: records, ended: make(chan struct{})}
		handled, start := 0, time.Now()
		err := tool.each(t.Context(), consumer, ending{idle: idle}, func(queue.Record) (bool, error) {
			time.Sleep(10 * idle)
			handled++
			return true, nil
		})
		if err != nil || handled != records {
			t.Errorf("%d records handled, %v; want all %d", handled, err, records)
		}
		if took := time.Since(start); took != records*10*idle+idle {
			t.Errorf("ended after %v, want %v after the last record", took, idle)
		}
	})
}

// With --follow only the context ends it.
func TestFollowIsNeverIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1000*time.Hour)
		defer cancel()
		consumer := &backlogConsumer{ended: make(chan struct{})}
		err := (&tool{}).each(ctx, consumer, ending{follow: true, idle: time.Second}, nil)
		if err != context.DeadlineExceeded {
			t.Errorf("ended with %v, want by its context", err)
		}
	})
}
