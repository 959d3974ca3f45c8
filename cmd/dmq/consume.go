package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

// ending says when something that consumes is done.
type ending struct {
	follow bool
	idle   time.Duration
}

func (e *ending) addFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&e.follow, "follow", "f", false, "wait for further records")
	cmd.Flags().DurationVar(&e.idle, "idle", time.Second, "end when no record has come for so long")
	cmd.MarkFlagsMutuallyExclusive("follow", "idle")
}

func (e *ending) check() error {
	if e.idle <= 0 {
		return fmt.Errorf("--idle %v: want more than 0", e.idle)
	}
	return nil
}

// consumption is the options of consume.
type consumption struct {
	ending
	subscriber string
	count      int
	batch      int
	tries      int    // after which a record is put aside; 0 = any number
	failed     string // where
	stream     bool
	format     recordFormat
}

// works tells whether the records have to be settled one by one.
func (c *consumption) works() bool { return c.count > 0 || c.batch > 0 || c.tries > 0 }

// ahead is how many batches a node sends while others are printed.
const ahead = 100

func newConsume(t *tool) *cobra.Command {
	var opts consumption
	cmd := &cobra.Command{
		Use:   "consume CHANNEL",
		Short: "Print the records of a channel as they come",
		Long: `Consume subscribes to CHANNEL, which is created if needed, and prints its
records as they come from all nodes, each with a newline. It ends when none has
come for the time of --idle, or with --follow at Ctrl-C; in any case after
--count records, or when the channel is removed.

Consumers of the same --subscriber share the records of a channel; each
subscriber gets all of them. The first subscriber gets what was in the channel
before. Once subscribed, a channel can't be popped from any more, until it is
removed.

Nothing is taken that is not printed. Over the neo protocol records come in
batches, which a node forgets when all of a batch is printed. If consume ends
within one, the records of the batch come again, also those that were printed.
With --count, and into a pipe, a batch is one record, and a record is taken when
the pipe's reader has read it; --batch says how many records a batch has, and
is faster. (D nodes only have large batches: then it says how many come again.)

With --max-deliveries a record that has been delivered that often in vain is
not printed but pushed to CHANNEL-failed, or what --failed says. Nodes can do
the same by themselves: [Consume] max_deliveries.

The legacy protocol can't stop a stream of records, and the node sends ahead:
what is on its way when consume ends is lost. So over legacy it pops records
one by one, which is slow, and does not work if the channel has consumers, now
or earlier. With --stream it consumes all the same.

The exit status is 3 if there was no record, or fewer than --count.`,
		Example: `  dmq consume hits --follow | grep ' 500 '
  dmq consume hits --follow --subscriber audit --json
  dmq consume jobs --count 10 --max-deliveries 5
  dmq consume jobs > backlog`,
		Args:              exactlyChannel,
		ValidArgsFunction: t.completeChannels(1),
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			err := opts.check()
			for name, n := range map[string]int{"count": opts.count, "batch": opts.batch, "max-deliveries": opts.tries} {
				if n < 0 {
					err = fmt.Errorf("--%s %d: %w", name, n, errNegative)
				}
			}
			if err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			return nil
		},
		RunE: t.connected(func(ctx context.Context, dmq queue.Queue, args []string) error {
			return t.consume(ctx, dmq, args[0], opts)
		}),
	}
	flags := cmd.Flags()
	t.addSubscriberFlag(cmd, &opts.subscriber, "")
	flags.IntVarP(&opts.count, "count", "n", 0, "end after this many records; 0 = no such end")
	flags.IntVarP(&opts.batch, "batch", "b", 0, "records of a batch at most, neo only; 0 = one with --count, --max-deliveries, or into a pipe, else as many as fit 100 kB")
	flags.IntVar(&opts.tries, "max-deliveries", 0, "put records aside that were delivered so often in vain, neo only; 0 = none")
	flags.StringVar(&opts.failed, "failed", "", "`channel` to put them in (default CHANNEL-failed)")
	cmd.RegisterFlagCompletionFunc("failed", cobra.NoFileCompletions)
	flags.BoolVar(&opts.stream, "stream", false, "over legacy: let nodes send ahead, and lose what is on its way at the end")
	opts.addFlags(cmd)
	opts.format.addFlags(cmd)
	return cmd
}

func (t *tool) addSubscriberFlag(cmd *cobra.Command, subscriber *string, fallback string) {
	cmd.Flags().StringVarP(subscriber, "subscriber", "s", fallback, "`name` of the subscriber, neo only")
	cmd.RegisterFlagCompletionFunc("subscriber", t.completeSubscribers())
}

func (t *tool) consume(ctx context.Context, dmq queue.Queue, channel string, opts consumption) error {
	surviveBrokenPipe()
	if err := checkOutput(t.stdout); err != nil {
		return err
	}
	switch {
	case t.protocol == string(queue.Legacy) && opts.subscriber == "" && !opts.stream && opts.batch == 0 && opts.tries == 0:
		return t.consumeByPop(ctx, dmq, channel, opts)
	case (opts.works() || printsToPipe(t.stdout)) && t.protocol == string(queue.Neo) || opts.batch > 0 || opts.tries > 0:
		err := t.work(ctx, dmq, channel, opts)
		if !errors.Is(err, client.ErrUnsupported) || opts.batch > 0 || opts.tries > 0 {
			return err
		}
	}
	consumer, err := dmq.Consume(context.WithoutCancel(ctx), channel, opts.subscriber)
	if err != nil {
		return err
	}
	defer consumer.Close()
	out := t.newPrinter(opts.format)
	printed, again := 0, 0 // again: of the batch that is not printed completely
	err = t.each(ctx, consumer, opts.ending, func(record queue.Record) (more bool, err error) {
		if opts.count > 0 && printed == opts.count {
			return false, nil // came in spite of Stop
		}
		out.print(record)
		printed++
		again++
		if record.Last {
			if err := out.flush(); err != nil {
				return false, err
			}
			again = 0
		}
		if printed != opts.count {
			return true, nil
		}
		if again > 0 || len(dmq.Nodes()) > 1 {
			return false, nil
		}
		consumer.Stop() // go on until the batch is acknowledged
		return true, nil
	})
	if err := out.flush(); err != nil {
		if t.protocol == string(queue.Neo) {
			return fmt.Errorf("%w; the last %s again", err, counted(again, "record comes", "records come"))
		}
		return fmt.Errorf("%w; of the last %s what is not printed is lost, and so is what was on its way", err, counted(again, "record", "records"))
	}
	if again > 0 && t.protocol == string(queue.Neo) {
		t.say("of the records printed, the last %d come again: their batch has more", again)
	}
	if errors.Is(err, context.Canceled) && printed < opts.count {
		t.say("records printed: %d", printed)
	}
	switch {
	case err != nil && (printed == 0 || printed < opts.count || !errors.Is(err, context.Canceled)):
		if opts.count == 0 {
			return unlessInterrupted(err)
		}
		return err
	case printed == 0 || printed < opts.count:
		return fmt.Errorf("consume %q: %w, printed: %d", channel, errTooFew, printed)
	}
	return nil
}

// each handles the records of a consumer until it is done: handle wants no more, no record
// came for some time, the channel was removed, or ctx has ended, which is the error then. In
// all but the first case everything that was received is handled and acknowledged.
func (t *tool) each(ctx context.Context, consumer queue.Consumer, end ending, handle func(queue.Record) (more bool, err error)) error {
	defer context.AfterFunc(ctx, consumer.Stop)()
	over := t.waiting("until the nodes begin to send")
	consumer.Await(ctx)
	over()
	if isTerminal(t.stderr) { // for others this is no news
		over = t.waiting("for records")
		defer func() { over() }()
	}
	patience := end.idle
	if end.follow {
		patience = math.MaxInt64
	}
	idle := time.AfterFunc(patience, consumer.Stop)
	defer idle.Stop()
	for record, err := range consumer.Records() {
		over()
		idle.Stop() // while the record is handled, however long that takes, nobody waits for one
		switch {
		case errors.Is(err, client.ErrChannelRemoved), errors.Is(err, legacy.ErrChannelRemoved):
			t.say("%v", err)
		case err != nil:
			return err
		default:
			if more, err := handle(record); !more || err != nil {
				return err
			}
		}
		idle.Reset(patience)
	}
	return ctx.Err()
}
