package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/recordfile"
)

func newDrain(t *tool) *cobra.Command {
	var end ending
	var subscriber string
	var isNamed, keep bool
	cmd := &cobra.Command{
		Use:   "drain CHANNEL FILE",
		Short: "Move the records of a channel into a file",
		Long: `Drain takes the records of CHANNEL out of all nodes and appends them to FILE,
until none has come for the time of --idle, or with --follow until Ctrl-C. 'dmq
load' brings them back.

The records of a channel without consumers are popped, which leaves the channel
as it was: if drain is killed, the one that is under way is lost, and if the
machine crashes, what was popped in the last moment before it.

With --follow or --subscriber, or if the channel has consumers, drain is a
consumer, see 'dmq consume --help': faster, and it acknowledges a record only
after the disk has it, so none is lost, whatever is killed or breaks; what was
not acknowledged yet then comes again, and can be in FILE twice. A subscriber
that drain has made is removed when drain ends, so that the channel is as it
was, but not if there are records again that nobody else would get. It stays
after an error, if [Admin] clients of the nodes does not have the name of the
credentials, and with --keep, for a drain that goes on where this one was.

FILE is made if there is none; drain goes on behind the records that are there.
An incomplete one at its end, from a drain that was killed, is cut off: it was
not acknowledged. The format is described in docs/dmq.md.

Drain needs the neo protocol, since the legacy one acknowledges nothing.`,
		Example: `  dmq drain jobs jobs.records
  dmq drain hits archive.records --subscriber archive --follow`,
		Args:              exactlyTwo("a CHANNEL and a FILE"),
		ValidArgsFunction: t.filesAfterChannel,
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			isNamed = cmd.Flags().Changed("subscriber")
			if err := end.check(); err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			return nil
		},
		RunE: t.connected(func(ctx context.Context, dmq queue.Queue, args []string) error {
			d := draining{tool: t, dmq: dmq, channel: args[0], end: end, subscriber: subscriber, stays: keep}
			return d.run(ctx, args[1], end.follow || isNamed)
		}),
	}
	t.addSubscriberFlag(cmd, &subscriber, "")
	cmd.Flags().BoolVar(&keep, "keep", false, "leave the subscriber there, for a drain that goes on later")
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

// draining is a drain under way.
type draining struct {
	*tool
	dmq        queue.Queue
	channel    string
	end        ending
	subscriber string
	stays      bool // the subscriber, at the end
	file       *recordfile.Writer
	bar        *progress
	safe       int64 // records that are in the file to stay
}

func (d *draining) run(ctx context.Context, name string, consume bool) error {
	if d.protocol != string(queue.Neo) {
		return fmt.Errorf("drain: %w", queue.ErrNeedsNeo)
	}
	file, found, err := recordfile.Append(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if found.Torn > 0 {
		d.say("%s: an incomplete record of %s is cut off", name, counted(found.Torn, "byte", "bytes"))
	}
	if found.Records > 0 {
		d.say("%s: going on behind %s", name, counted(found.Records, "record", "records"))
	}
	d.file, d.bar = file, d.newProgress("draining", -1)
	if !consume {
		err = d.pop(ctx)
		consume = errors.Is(err, client.ErrHasSubscribers)
	}
	left := ""
	if consume {
		visit := d.visiting(ctx, d.dmq, d.channel, d.subscriber)
		err = d.consume(ctx)
		left = "; " + visit.leave(ctx, d.stays, err)
	}
	d.bar.end()
	if d.end.follow {
		err = unlessInterrupted(err)
	}
	result := drained{d.safe, name, file.Size()}
	return errors.Join(err, d.report(result, fmt.Sprintf("records drained: %d%s", d.safe, left)))
}

// syncAfter is how many popped records may be lost by a crash of the machine.
const syncAfter = 1000

// pop takes the records one by one, until none has come for some time. It ends with
// client.ErrHasSubscribers if that can't be done, or not any more.
func (d *draining) pop(ctx context.Context) (err error) {
	longer, release := d.outlasting(ctx) // the record of a Pop that is broken off would be lost
	defer release()
	defer func() { err = errors.Join(err, d.file.Commit()) }()
	for last := time.Now(); ctx.Err() == nil; {
		over := d.waiting("for the answer of a node")
		record, err := d.dmq.Pop(longer, d.channel)
		over()
		switch {
		case isEmpty(err) && time.Since(last) >= d.end.idle:
			return nil
		case isEmpty(err):
			select {
			case <-time.After(min(d.end.idle/10, time.Second/10)):
			case <-ctx.Done():
			}
			continue
		case err != nil:
			return err
		}
		if err := d.keep(longer, record); err != nil {
			return err
		}
		last = time.Now()
	}
	return ctx.Err()
}

// keep puts a popped record into the file. One for which there is no room goes back.
func (d *draining) keep(ctx context.Context, record []byte) error {
	d.file.Write(record)
	d.bar.add(len(record))
	if err := d.file.Keep(); err != nil {
		if lost := d.dmq.Push(ctx, record, d.channel); lost != nil {
			return fmt.Errorf("%w; the last record is lost: %w", err, lost)
		}
		return fmt.Errorf("%w; the last record went back, to the end of the channel", err)
	}
	d.safe++
	if d.safe%syncAfter == 0 {
		return d.file.Commit()
	}
	return nil
}

// consume takes the records as a consumer, and acknowledges what the disk has.
func (d *draining) consume(ctx context.Context) error {
	consumer, err := d.dmq.Consume(context.WithoutCancel(ctx), d.channel, d.subscriber)
	if err != nil {
		return err
	}
	defer consumer.Close()
	return d.each(ctx, consumer, d.end, func(record queue.Record) (bool, error) {
		d.file.Write(record.Value)
		d.bar.add(len(record.Value))
		if !record.Last {
			return true, nil
		}
		if err := d.file.Commit(); err != nil {
			return false, err
		}
		d.safe = d.bar.records
		return true, nil
	})
}
