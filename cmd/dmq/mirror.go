package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

// mirroring is the options of mirror.
type mirroring struct {
	to         target
	subscriber string
	keep       bool
	end        ending
}

func newMirror(t *tool) *cobra.Command {
	var opts mirroring
	cmd := &cobra.Command{
		Use:   "mirror CHANNEL [TO-CHANNEL]",
		Short: "Copy a channel from one DMQ to another, as records come",
		Long: `Mirror consumes CHANNEL and pushes its records to TO-CHANNEL, or a channel of
the same name, of another DMQ, as they come, until Ctrl-C, or with --idle until
none has come for so long. The source is the DMQ of the options in common; the
target is that of the options --to-….

Mirror has a subscriber name of its own, "mirror" if --subscriber doesn't say
another, so that it gets a copy of all records and takes nothing away from
other subscribers. (If it is the first one, it gets what was in the channel
before.) A subscriber that mirror has made is removed when mirror ends, but not if
there are records that nobody else would get. With --keep, and after
an error, it goes on collecting while mirror does not run, which is how mirror
goes on where it was: until 'dmq unsubscribe' it fills the nodes. One that was
there before stays.

A record is acknowledged at the source only after the target has stored it, so
none is lost, whatever is killed or breaks; what was not acknowledged yet comes
again, and can be in the target twice. When the target can't be reached, mirror
tries for 30 seconds, and then ends with an error. A legacy target has no empty
records: they are left out.

The source needs the neo protocol, since the legacy one acknowledges nothing.`,
		Example: `  dmq mirror hits --profile prod --to-profile test
  dmq mirror hits -c me.key -a queue-1:10001 --to-address copy-1:10001
  dmq mirror hits hits-copy --to-protocol legacy --to-address copy-1:10000`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 && len(args) != 2 {
				return fmt.Errorf("mirror needs a CHANNEL, and a TO-CHANNEL at most, but has %d arguments", len(args))
			}
			return nil
		},
		ValidArgsFunction: t.completeChannels(2),
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			if opts.end.follow = !cmd.Flags().Changed("idle"); opts.end.follow {
				return nil
			}
			if err := opts.end.check(); err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			from, err := t.connect(cmd)
			if err != nil {
				return err
			}
			defer from.Close()
			if t.protocol != string(queue.Neo) {
				return fmt.Errorf("mirror from %v: %w", from.Nodes(), queue.ErrNeedsNeo)
			}
			to, err := t.connectTarget(cmd, &opts.to)
			if err != nil {
				return fmt.Errorf("target: %w", err)
			}
			defer to.Close()
			return t.mirror(cmd.Context(), from, to, args[0], args[len(args)-1], opts)
		},
	}
	t.addSubscriberFlag(cmd, &opts.subscriber, "mirror")
	cmd.Flags().DurationVar(&opts.end.idle, "idle", 0, "end when no record has come for so long (default: at Ctrl-C)")
	cmd.Flags().BoolVar(&opts.keep, "keep", false, "leave the subscriber there, for a mirror that goes on later")
	opts.to.addFlags(cmd)
	return cmd
}

func (t *tool) mirror(ctx context.Context, from, to queue.Queue, channel, toChannel string, opts mirroring) error {
	for _, node := range to.Nodes() {
		if channel == toChannel && slices.Contains(from.Nodes(), node) {
			return fmt.Errorf("source and target are the same: %q at %s", channel, node)
		}
	}
	longer, release := t.outlasting(ctx)
	defer release()
	producer, err := to.Produce(longer, toChannel)
	if err != nil {
		return fmt.Errorf("target: %w", err)
	}
	visit := t.visiting(ctx, from, channel, opts.subscriber)
	done, err := t.mirrorTo(ctx, longer, from, channel, opts, producer)
	if opts.end.follow {
		err = unlessInterrupted(err)
	}
	if unconfirmed := producer.Close(longer); unconfirmed != nil {
		err = fmt.Errorf("target: %w", unconfirmed) // with what failed before
	}
	left := visit.leave(ctx, opts.keep, err)
	return errors.Join(err, t.report(done, done.words("mirrored")+"; "+left))
}

// mirrorTo returns what is stored at the target.
func (t *tool) mirrorTo(ctx, longer context.Context, from queue.Queue, channel string, opts mirroring, to queue.Producer) (safe stored, err error) {
	consumer, err := from.Consume(context.WithoutCancel(ctx), channel, opts.subscriber)
	if err != nil {
		return safe, err
	}
	defer consumer.Close()
	bar := t.newProgress("mirroring", -1)
	defer bar.end()
	var done stored
	err = t.each(ctx, consumer, opts.end, func(record queue.Record) (bool, error) {
		bar.add(len(record.Value))
		if len(record.Value) == 0 && opts.to.protocol == string(queue.Legacy) {
			done.Skipped++
		} else if err := to.Push(longer, record.Value); err != nil {
			return false, fmt.Errorf("target: %w", err)
		} else {
			done.Stored++
		}
		if !record.Last {
			return true, nil
		}
		if err := to.Flush(longer); err != nil {
			return false, fmt.Errorf("target: %w", err)
		}
		safe = done
		return true, nil
	})
	return safe, err
}
