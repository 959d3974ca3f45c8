package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

// backlog is how many records stream lets its producers be ahead of its consumers.
const backlog = 100_000

// silence is how long a consumer waits for records that must come.
const silence = 30 * time.Second

// name returns the channel that all clients share.
func (b *bench) name() string { return b.channels()[0] }

// entire returns a context for requests that store records. An interrupt does not end them: what
// a node has not read yet would be stored after the channel was removed, and make it anew.
func entire(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

// push makes single requests.
func (b *bench) push(ctx context.Context) error {
	var sent atomic.Int64
	err := b.parallel(ctx, b.InFlight, func(ctx context.Context, q queue.Queue, _ int) error {
		for !b.over(ctx) && sent.Add(1) <= b.Records {
			start := time.Now()
			if err := q.Push(entire(ctx), b.record, b.name()); err != nil {
				return err
			}
			b.hist.record(time.Since(start))
			b.records.Add(1)
		}
		return nil
	})
	b.end()
	return err
}

// pop takes out what was stored before.
func (b *bench) pop(ctx context.Context) error {
	stored, err := b.fill(ctx)
	if err != nil {
		return err
	}
	b.begin()
	err = b.parallel(ctx, b.InFlight, func(ctx context.Context, q queue.Queue, _ int) error {
		for !b.over(ctx) {
			start := time.Now()
			record, err := q.Pop(ctx, b.name())
			if errors.Is(err, client.ErrEmpty) || errors.Is(err, legacy.ErrEmpty) {
				return nil
			}
			if err == nil {
				err = b.verify(record)
			}
			if err != nil {
				return err
			}
			b.hist.record(time.Since(start))
			b.records.Add(1)
		}
		return nil
	})
	b.end()
	if popped := b.records.Load(); err == nil && !b.over(ctx) && popped != stored {
		err = fmt.Errorf("%d records popped, %d stored", popped, stored)
	}
	return err
}

// produce opens a stream in each client.
func (b *bench) produce(ctx context.Context) error {
	var sent atomic.Int64
	err := b.parallel(ctx, 1, func(ctx context.Context, q queue.Queue, _ int) error {
		return b.produceUntil(ctx, q, func() bool { return !b.over(ctx) && sent.Add(1) <= b.Records })
	})
	b.end()
	return err
}

// fill stores records for a mode to take out, and returns how many.
func (b *bench) fill(ctx context.Context) (stored int64, err error) {
	b.storing.Store(true)
	var sent atomic.Int64
	err = b.parallel(ctx, 1, func(ctx context.Context, q queue.Queue, _ int) error {
		return b.produceUntil(ctx, q, func() bool { return ctx.Err() == nil && sent.Add(1) <= b.Records })
	})
	return b.records.Load(), err
}

// produceUntil produces as long as there is more to do, and waits until all is stored.
func (b *bench) produceUntil(ctx context.Context, q queue.Queue, more func() bool) error {
	producer, err := q.Produce(entire(ctx), b.name())
	if err != nil {
		return err
	}
	for more() {
		if err := producer.Push(entire(ctx), b.record); err != nil {
			producer.Close(entire(ctx))
			return err
		}
		b.records.Add(1)
	}
	return producer.Close(entire(ctx))
}

// consume consumes what was stored before, with a consumer in each client.
func (b *bench) consume(ctx context.Context) error {
	stored, err := b.fill(ctx)
	if err != nil {
		return err
	}
	b.begin()
	received := b.received(ctx)
	received.await(stored)
	b.end()
	return received.stop(stored)
}

// stream produces and consumes at the same time.
func (b *bench) stream(ctx context.Context) error {
	received := b.received(ctx)
	var sent atomic.Int64
	err := b.parallel(ctx, 1, func(ctx context.Context, q queue.Queue, _ int) error {
		return b.produceAhead(ctx, q, received, &sent)
	})
	stored := sent.Load()
	if err == nil {
		received.await(stored)
	}
	b.end()
	return errors.Join(err, received.stop(stored))
}

// produceAhead produces for the time of the mode, the backlog ahead of the consumers at
// most. sent counts what was stored.
func (b *bench) produceAhead(ctx context.Context, q queue.Queue, received *reception, sent *atomic.Int64) error {
	producer, err := q.Produce(entire(ctx), b.name())
	if err != nil {
		return err
	}
	for !b.over(ctx) {
		if sent.Load()-b.records.Load() > backlog {
			received.wait()
			continue
		}
		if err := producer.Push(entire(ctx), b.record); err != nil {
			producer.Close(entire(ctx))
			return err
		}
		sent.Add(1)
	}
	return producer.Close(entire(ctx))
}

// latency sends one record after the other through a channel for each client.
func (b *bench) latency(ctx context.Context) error {
	channels := b.channels()
	err := b.parallel(ctx, 1, func(ctx context.Context, q queue.Queue, i int) error {
		consumer, err := q.Consume(ctx, channels[i], "")
		if err != nil {
			return err
		}
		defer consumer.Close()
		arrived := make(chan error, 1)
		go func() {
			for record, err := range consumer.Records() {
				if err == nil {
					err = b.verify(record.Value)
				}
				arrived <- err
			}
		}()
		for first := true; !b.over(ctx); first = false {
			if err := b.roundTrip(ctx, q, channels[i], arrived, first); err != nil {
				return err
			}
		}
		return nil
	})
	b.end()
	return err
}

// roundTrip pushes a record and waits until it has arrived. The first one also waits for the
// consumer to begin, so it does not count.
func (b *bench) roundTrip(ctx context.Context, q queue.Queue, channel string, arrived <-chan error, first bool) error {
	start := time.Now()
	if err := q.Push(entire(ctx), b.record, channel); err != nil {
		return err
	}
	select {
	case err := <-arrived:
		if err != nil {
			return err
		}
	case <-time.After(silence):
		return errors.New("a record that was pushed does not arrive")
	case <-ctx.Done():
		return ctx.Err()
	}
	if !first {
		b.hist.record(time.Since(start))
		b.records.Add(1)
	}
	return nil
}

func (b *bench) verify(record []byte) error {
	if len(record) != b.Size {
		return fmt.Errorf("a record of %d bytes came, those stored have %d", len(record), b.Size)
	}
	return nil
}

// reception is what consumers in all clients receive.
type reception struct {
	bench     *bench
	ctx       context.Context
	consumers []queue.Consumer
	group     sync.WaitGroup
	progress  chan struct{} // a token: some records have come

	mu  sync.Mutex
	err error // guarded by mu
}

// received starts a consumer in each client, which count records.
func (b *bench) received(ctx context.Context) *reception {
	r := &reception{bench: b, ctx: ctx, progress: make(chan struct{}, 1)}
	for _, q := range b.queues {
		consumer, err := q.Consume(ctx, b.name(), "")
		if err != nil {
			r.fail(err)
			return r
		}
		consumer.Await(ctx)
		r.consumers = append(r.consumers, consumer)
		r.group.Go(func() { r.run(consumer) })
	}
	return r
}

func (r *reception) run(consumer queue.Consumer) {
	for record, err := range consumer.Records() {
		if err == nil {
			err = r.bench.verify(record.Value)
		}
		if err != nil {
			r.fail(err)
			return
		}
		r.bench.records.Add(1)
		if record.Last {
			r.tell()
		}
	}
}

func (r *reception) tell() {
	select {
	case r.progress <- struct{}{}:
	default:
	}
}

func (r *reception) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
	r.tell()
}

func (r *reception) failed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// wait waits for some records to come, and tells whether any did.
func (r *reception) wait() bool {
	select {
	case <-r.progress:
		return true
	case <-r.ctx.Done():
	case <-time.After(silence):
	}
	return false
}

// await waits until that many records have come, or there is no hope.
func (r *reception) await(count int64) {
	for r.bench.records.Load() < count && r.failed() == nil && r.wait() {
	}
}

// stop ends the consumers and checks their count. They end in order: what one of them has
// counted and not acknowledged would else come again, to another one.
func (r *reception) stop(stored int64) error {
	err := r.failed() // what comes from now on is the end of the consumers
	for _, consumer := range r.consumers {
		if err == nil && r.ctx.Err() == nil {
			consumer.Stop()
		} else {
			consumer.Close()
		}
	}
	r.group.Wait()
	if count := r.bench.records.Load(); err == nil && count != stored && r.ctx.Err() == nil {
		err = fmt.Errorf("%d records received, %d stored", count, stored)
	}
	return err
}
