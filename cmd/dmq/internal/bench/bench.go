// Package bench measures what a DMQ does under a load: the modes of dmq bench.
//
//	push     many single requests at once            latency of a request
//	pop      the same, of records stored before      latency of a request
//	produce  streams of records, as fast as they go
//	consume  streams of records stored before
//	stream   produce and consume at the same time
//	latency  one record at a time, from before its push until a consumer has it
//
// Every mode uses channels of its own, and verifies what it counts: a push is confirmed, a
// consumer has to receive every record that was stored, each of the right size. What is
// stored before, and checked afterwards, is not in the time measured.
//
// It may import package queue.
package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

// Modes are the names of all modes, in the order in which they run.
func Modes() (names []string) {
	for _, m := range modes {
		names = append(names, m.name)
	}
	return names
}

var modes = []struct {
	name string
	run  func(*bench, context.Context) error
}{
	{"push", (*bench).push},
	{"pop", (*bench).pop},
	{"produce", (*bench).produce},
	{"consume", (*bench).consume},
	{"stream", (*bench).stream},
	{"latency", (*bench).latency},
}

// Options say what to measure.
type Options struct {
	Connect     func(context.Context) (queue.Queue, error) // a client with connections of its own
	Connections int                                        // clients
	InFlight    int                                        // requests at once, each client
	Size        int                                        // bytes of a record
	Duration    time.Duration                              // of each mode
	Records     int64                                      // to store at most in a mode; 0 is 256 MiB of them
	// Remove removes channels; nil leaves them.
	Remove func(ctx context.Context, channels ...string) error
	// Progress is called some times a second while a mode runs.
	Progress func(Progress)
}

// Progress is how far a mode is.
type Progress struct {
	Mode    string
	Storing bool // records for the mode to consume; nothing is measured yet
	Records int64
	Elapsed time.Duration
}

// Result is what a mode has measured.
type Result struct {
	Mode    string
	Records int64
	Time    time.Duration
	Latency Latency // its Count is 0 in modes that measure none
}

// maxStored is how many bytes of records a mode stores if it isn't told.
const maxStored = 256 << 20

// bench is one mode that runs.
type bench struct {
	Options
	channel string
	queues  []queue.Queue
	record  []byte

	records atomic.Int64 // counted so far
	storing atomic.Bool
	started atomic.Int64 // Unix nanoseconds; set again when the measured time begins
	taken   time.Duration
	hist    histogram
}

// Run runs a mode and removes its channels, also if it fails.
func Run(ctx context.Context, mode string, o Options) (r Result, err error) {
	i := slices.Index(Modes(), mode)
	if i < 0 {
		return r, fmt.Errorf("mode %q: want %s", mode, strings.Join(Modes(), ", "))
	}
	b := &bench{Options: o, channel: "dmq-bench-" + rand.Text()[:10], record: make([]byte, o.Size)}
	for i := range b.record {
		b.record[i] = 'a' + byte(i%26)
	}
	if b.Records == 0 {
		b.Records = int64(max(1000, maxStored/(o.Size+8)))
	}
	defer b.close()
	for range o.Connections {
		q, err := o.Connect(ctx)
		if err != nil {
			return r, err
		}
		b.queues = append(b.queues, q)
	}
	stopReports := b.reports(mode)
	b.begin()
	err = modes[i].run(b, ctx)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	stopReports()
	if err != nil {
		err = fmt.Errorf("%s: %w", mode, err)
	}
	return Result{mode, b.records.Load(), b.taken, b.hist.latency()}, b.clean(ctx, err)
}

// channels returns the channels of the mode: one, or with latency one for each client.
func (b *bench) channels() (names []string) {
	for i := range b.queues {
		names = append(names, fmt.Sprintf("%s-%d", b.channel, i))
	}
	return names
}

// clean removes the channels.
func (b *bench) clean(ctx context.Context, err error) error {
	b.close()
	if b.Remove == nil {
		return err
	}
	return errors.Join(err, b.Remove(context.WithoutCancel(ctx), b.channels()...))
}

func (b *bench) close() {
	for _, q := range b.queues {
		q.Close()
	}
}

// begin begins the measured time.
func (b *bench) begin() {
	b.records.Store(0)
	b.storing.Store(false)
	b.started.Store(time.Now().UnixNano())
}

// end ends it.
func (b *bench) end() { b.taken = b.elapsed() }

func (b *bench) elapsed() time.Duration { return time.Since(time.Unix(0, b.started.Load())) }

// over tells that the mode has run for long enough, and has something to show for it.
func (b *bench) over(ctx context.Context) bool {
	return ctx.Err() != nil || b.elapsed() >= b.Duration && b.records.Load() > 0
}

// reports calls Progress until it is stopped.
func (b *bench) reports(mode string) (stop func()) {
	if b.Progress == nil {
		return func() {}
	}
	ticker, done := time.NewTicker(200*time.Millisecond), make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				b.Progress(Progress{mode, b.storing.Load(), b.records.Load(), b.elapsed()})
			case <-done:
				return
			}
		}
	})
	return func() { close(done); group.Wait() }
}

// parallel runs something on all clients, as often as each of them is to, and returns the
// first error. That ends the context of the others.
func (b *bench) parallel(ctx context.Context, each int, do func(ctx context.Context, q queue.Queue, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group sync.WaitGroup
	for i, q := range b.queues {
		for range each {
			group.Go(func() {
				if err := do(ctx, q, i); err != nil {
					cancel(err)
				}
			})
		}
	}
	group.Wait()
	return context.Cause(ctx)
}
