package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

func newPop(t *tool) *cobra.Command {
	var count int
	var wait time.Duration
	var subscriber string
	var format recordFormat
	cmd := &cobra.Command{
		Use:   "pop CHANNEL",
		Short: "Take the oldest records out of a channel",
		Long: `Pop takes the oldest records out of CHANNEL and prints each with a newline.
With several nodes it asks one after the other, until one has a record.

With --wait it waits for a record when there is none; over neo, the nodes
serve those who wait and consumers in the order in which they came. With
--subscriber, neo only, the records are those of that subscriber, which is
added if it is new.

The exit status is 3 if the channel became empty on all nodes before --count
records were popped. A channel with consumers, now or earlier, can't be popped
from: over neo that is an error, status 1. A legacy node says the same of it as
of an empty channel that it does not know, after a restart for example: status
3, and a hint.

A node forgets a record when it has sent it, so nothing is popped if standard
output is closed, or is a full disk or a pipe that nobody reads any more. If it
turns out only then that a record can't be printed, pop says that it is lost.

On a terminal, bytes that it would not show are escaped; --raw prints them as
they are.`,
		Example: `  dmq pop jobs
  dmq pop jobs --wait 1m
  dmq pop jobs --count 0 > all-jobs
  dmq pop pictures --raw > 17.png
  dmq pop jobs --json | jq -r .value`,
		Args:              exactlyChannel,
		ValidArgsFunction: t.completeChannels(1),
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			if wait < 0 {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--wait %v: %w", wait, errNegative)}
			}
			if count < 0 {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--count %d: %w", count, errNegative)}
			}
			return nil
		},
		RunE: t.connected(func(ctx context.Context, dmq queue.Queue, args []string) error {
			pop := func(longer context.Context) ([]byte, error) { return dmq.Pop(longer, args[0]) }
			if wait > 0 || subscriber != "" {
				pop = func(context.Context) ([]byte, error) {
					return dmq.PopWait(ctx, args[0], subscriber, max(wait, time.Nanosecond))
				}
			}
			return t.pop(ctx, pop, count, t.newPrinter(format))
		}),
	}
	cmd.Flags().IntVarP(&count, "count", "n", 1, "records to pop; 0 = until the channel is empty")
	cmd.Flags().DurationVarP(&wait, "wait", "w", 0, "wait so long for each record; 0 = not at all")
	t.addSubscriberFlag(cmd, &subscriber, "")
	format.addFlags(cmd)
	return cmd
}

func (t *tool) pop(ctx context.Context, pop func(longer context.Context) ([]byte, error), count int, out *printer) error {
	surviveBrokenPipe()
	longer, release := t.outlasting(ctx) // the record of a Pop that is broken off would be lost
	defer release()
	for popped := 0; count == 0 || popped < count; popped++ {
		if ctx.Err() != nil {
			t.say("records popped: %d", popped)
			return ctx.Err()
		}
		if err := checkOutput(t.stdout); err != nil {
			return fmt.Errorf("%w; records popped: %d", err, popped)
		}
		over := t.waiting("for the answer of a node")
		record, err := pop(longer)
		over()
		switch {
		case isEmpty(err) && count == 0:
			return nil
		case errors.Is(err, legacy.ErrNoSuchChannelOrSubscribed) && count == 0:
			text, hint := explain(err)
			t.say("%s: %s", text, hint)
			return nil
		case err != nil && popped > 0:
			return fmt.Errorf("%w; records popped before: %d", err, popped)
		case err != nil:
			return err
		}
		out.print(queue.Record{Value: record})
		if err := out.flush(); err != nil {
			return fmt.Errorf("%w; records popped: %d, the last of which is lost: it is not printed, or not completely", err, popped+1)
		}
	}
	return nil
}

func isEmpty(err error) bool {
	return errors.Is(err, client.ErrEmpty) || errors.Is(err, legacy.ErrEmpty)
}
