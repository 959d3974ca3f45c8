package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

// work is consume where each record is settled by itself: those are taken that are printed, and no
// others. The error is client.ErrUnsupported, and nothing was done, if a node does not know that.
func (t *tool) work(ctx context.Context, dmq queue.Queue, channel string, opts consumption) error {
	consumer, err := dmq.Work(context.WithoutCancel(ctx), channel, opts.subscriber, max(1, opts.batch), ahead)
	if err != nil {
		return err
	}
	defer consumer.Close()
	out := t.newPrinter(opts.format)
	printed, aside := 0, 0
	var failed error // after which nothing is taken any more
	err = t.each(ctx, consumer, opts.ending, func(record queue.Record) (more bool, err error) {
		switch {
		case failed != nil || opts.count > 0 && printed == opts.count:
			record.Release() // was sent ahead; if the connection is lost it comes again anyway
			return true, nil
		case opts.tries > 0 && record.Tries >= opts.tries:
			if err := dmq.Push(ctx, record.Value, cmp.Or(opts.failed, channel+"-failed")); err != nil {
				return false, err
			}
			aside++
			return true, nil
		}
		out.print(record)
		if record.Last || printed+1 == opts.count {
			if failed = cmp.Or(out.flush(), awaitReader(ctx, t.stdout)); failed != nil {
				record.Release()
				consumer.Stop()
				return true, nil
			}
		}
		if printed++; printed == opts.count {
			consumer.Stop() // go on until all is settled
		}
		return true, nil
	})
	if aside > 0 {
		t.say("%s put aside after %d deliveries in vain", counted(aside, "record was", "records were"), opts.tries)
	}
	switch {
	case errors.Is(failed, context.Canceled):
		return failed
	case failed != nil:
		return fmt.Errorf("%w; records printed: %d, the next one comes again", failed, printed)
	case errors.Is(err, context.Canceled) && opts.count == 0 && printed > 0:
		return unlessInterrupted(err)
	case printed > 0 && opts.count > 0 && printed == opts.count:
		return nil
	case err != nil:
		if printed > 0 {
			t.say("records printed: %d", printed)
		}
		return err
	case printed == 0 && aside == 0 || printed < opts.count:
		return fmt.Errorf("consume %q: %w, printed: %d", channel, errTooFew, printed)
	}
	return nil
}

// consumeByPop is consume over legacy, where a node forgets a record when it has sent it: records
// are asked for one by one.
func (t *tool) consumeByPop(ctx context.Context, dmq queue.Queue, channel string, opts consumption) error {
	out := t.newPrinter(opts.format)
	patience := opts.idle
	if opts.follow {
		patience = 1<<63 - 1
	}
	printed := 0
	over := func() {}
	for last := time.Now(); opts.count == 0 || printed < opts.count; {
		if err := cmp.Or(awaitReader(ctx, t.stdout), checkOutput(t.stdout)); err != nil {
			if opts.count == 0 {
				err = unlessInterrupted(err)
			}
			if err != nil {
				err = fmt.Errorf("%w; records printed: %d", err, printed)
			}
			return err
		}
		longer, release := t.outlasting(ctx)
		record, err := dmq.Pop(longer, channel)
		release()
		empty := isEmpty(err) || errors.Is(err, legacy.ErrNoSuchChannelOrSubscribed)
		switch {
		case err == nil:
			over()
			over = func() {}
			out.print(queue.Record{Value: record})
			if err := out.flush(); err != nil {
				return fmt.Errorf("%w; records printed: %d, the next one is lost: it is not printed, or not completely", err, printed)
			}
			printed++
			last = time.Now()
		case empty && ctx.Err() == nil && time.Since(last) < patience:
			select {
			case <-time.After(min(popPeriod, patience-time.Since(last))):
			case <-ctx.Done():
			}
		case empty && ctx.Err() == nil && printed > 0 && opts.count == 0:
			return nil
		case errors.Is(err, legacy.ErrNoSuchChannelOrSubscribed) && ctx.Err() == nil:
			return fmt.Errorf("consume %q: %w, printed: %d; if the channel has consumers, --stream is one of them: %w", channel, errTooFew, printed, err)
		case empty && ctx.Err() == nil:
			return fmt.Errorf("consume %q: %w, printed: %d", channel, errTooFew, printed)
		case empty && opts.count == 0:
			return unlessInterrupted(ctx.Err())
		case empty:
			return ctx.Err()
		default:
			return err
		}
	}
	return nil
}

// popPeriod is the time between two looks for a record.
const popPeriod = 50 * time.Millisecond
