package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/recordfile"
)

func newDrain(t *tool) *cobra.Command {
	var end ending
	var subscriber string
	cmd := &cobra.Command{
		Use:   "drain CHANNEL FILE",
		Short: "Move the records of a channel into a file",
		Long: `Drain takes the records of CHANNEL out of all nodes and appends them to FILE,
until none has come for the time of --idle, or with --follow until Ctrl-C. 'dmq
load' brings them back.

A record is acknowledged only after it is in FILE and the disk has it, so none
is lost, whatever is killed or breaks. What was not acknowledged yet then comes
again, and can be in FILE twice.

FILE is made if there is none; drain goes on behind the records that are there.
An incomplete one at its end, from a drain that was killed, is cut off: it was
not acknowledged. The format is described in docs/dmq.md.

Drain is a consumer, see 'dmq consume --help' about --subscriber. It needs the
neo protocol, since the legacy one acknowledges nothing.`,
		Example: `  dmq drain jobs jobs.records
  dmq drain hits archive.records --subscriber archive --follow`,
		Args:              exactlyTwo("a CHANNEL and a FILE"),
		ValidArgsFunction: filesAfterChannel,
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := end.check(); err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			return nil
		},
		RunE: t.connected(func(ctx context.Context, dmq queue.Queue, args []string) error {
			return t.drain(ctx, dmq, args[0], args[1], subscriber, end)
		}),
	}
	addSubscriberFlag(cmd, &subscriber, "")
	end.addFlags(cmd)
	return cmd
}

// exactlyTwo is the check of the arguments of commands that need two.
func exactlyTwo(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != 2 {
			return fmt.Errorf("%s needs exactly %s, but has %d arguments", cmd.Name(), what, len(args))
		}
		return nil
	}
}

// drained is the result of drain.
type drained struct {
	Drained int64  `json:"drained"` // records
	File    string `json:"file"`
	Size    int64  `json:"file_bytes"`
}

func (t *tool) drain(ctx context.Context, dmq queue.Queue, channel, name, subscriber string, end ending) error {
	if t.protocol != string(queue.Neo) {
		return fmt.Errorf("drain: %w", queue.ErrNeedsNeo)
	}
	file, found, err := recordfile.Append(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if found.Torn > 0 {
		t.say("%s: an incomplete record of %s is cut off", name, counted(found.Torn, "byte", "bytes"))
	}
	if found.Records > 0 {
		t.say("%s: going on behind %s", name, counted(found.Records, "record", "records"))
	}
	done, err := t.drainTo(ctx, dmq, channel, subscriber, end, file)
	if end.follow {
		err = unlessInterrupted(err)
	}
	result := drained{done, name, file.Size()}
	return errors.Join(err, t.report(result, fmt.Sprintf("records drained: %d", done)))
}

// drainTo returns how many records are safe in the file.
func (t *tool) drainTo(ctx context.Context, dmq queue.Queue, channel, subscriber string, end ending, file *recordfile.Writer) (safe int64, err error) {
	consumer, err := dmq.Consume(context.WithoutCancel(ctx), channel, subscriber)
	if err != nil {
		return 0, err
	}
	defer consumer.Close()
	bar := t.newProgress("draining", -1)
	defer bar.end()
	err = t.each(ctx, consumer, end, func(record queue.Record) (bool, error) {
		file.Write(record.Value)
		bar.add(len(record.Value))
		if !record.Last {
			return true, nil
		}
		if err := file.Commit(); err != nil {
			return false, err
		}
		safe = bar.records
		return true, nil
	})
	return safe, err
}
