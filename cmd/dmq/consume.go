package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/client/legacy"
)

// consumption says when consume is done, and how it prints.
type consumption struct {
	count  int
	follow bool
	idle   time.Duration
	raw    bool
}

func newConsume(conn *connection) *cobra.Command {
	var opts consumption
	cmd := &cobra.Command{
		Use:   "consume CHANNEL",
		Short: "Print the records of a channel as they come",
		Long: `Consume subscribes to CHANNEL, which is created if needed, and prints its records as they
come, each with a newline. It ends when none has come for the time of --idle, or with
--follow at Ctrl-C; in any case after --count records, or when the channel is removed.

Consumers of a channel share its records. Once subscribed, a channel can't be popped from
any more, until it is removed.

Careful: the legacy protocol can't stop a stream, and the node sends ahead. Records that
are on their way when consume ends are lost; with --count that can be thousands. To take
an exact number out of a channel without consumers, use 'dmq pop --count'.

The exit status is 3 if there was no record, or fewer than --count.`,
		Example: `  dmq consume hits --follow | grep ' 500 '
  dmq consume jobs > backlog`,
		Args: exactlyChannel,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := opts.check(cmd.Flags().Changed("idle")); err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			return consume(cmd.Context(), conn, args[0], opts, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.IntVarP(&opts.count, "count", "n", 0, "end after this many records; 0 = no such end")
	flags.BoolVarP(&opts.follow, "follow", "f", false, "wait for further records")
	flags.DurationVar(&opts.idle, "idle", time.Second, "end when no record has come for so long")
	addRawFlag(cmd, &opts.raw)
	return cmd
}

func (o *consumption) check(idleGiven bool) error {
	switch {
	case o.count < 0:
		return fmt.Errorf("--count %d: want 0 or more", o.count)
	case o.idle <= 0:
		return fmt.Errorf("--idle %v: want more than 0", o.idle)
	case idleGiven && o.follow:
		return errors.New("--follow has no end that --idle could set: want one of them")
	}
	return nil
}

func consume(ctx context.Context, conn *connection, channel string, opts consumption, stdout, stderr io.Writer) error {
	client, err := conn.dial(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	stream, cancel := context.WithCancel(ctx)
	defer cancel()
	arriving, stop := arrivals(client.Consume(stream, channel))
	defer stop()

	out := printer{bufio.NewWriterSize(stdout, 64<<10), opts.raw}
	printed, err := printArrivals(arriving, opts, out, cancel)
	if err := out.flush(); err != nil {
		return err
	}
	switch {
	case errors.Is(err, legacy.ErrChannelRemoved):
		fmt.Fprintf(stderr, "dmq: %v\n", err)
	case errors.Is(err, context.Canceled) && opts.count == 0:
		return nil // an interrupt is how it is meant to end
	case err != nil:
		return err
	}
	if printed == 0 || printed < opts.count {
		return fmt.Errorf("consume %q: %w, printed: %d", channel, errTooFew, printed)
	}
	return nil
}

// arrival is a record, or the error that ends the stream.
type arrival struct {
	record []byte
	err    error
}

// arrivals receives a stream in a goroutine of its own, so that its reader can see when
// it would have to wait. stop ends the goroutine once the stream gives way.
func arrivals(stream iter.Seq2[[]byte, error]) (arriving <-chan arrival, stop func()) {
	arrived, stopped := make(chan arrival, 256), make(chan struct{})
	go func() {
		for record, err := range stream {
			select {
			case arrived <- arrival{record, err}:
			case <-stopped:
				return
			}
		}
	}()
	return arrived, func() { close(stopped) }
}

// printArrivals prints records until it has enough of them or the stream ends. When none
// has come for a while it cancels the stream, and prints what is still there; that is no
// error.
func printArrivals(arriving <-chan arrival, opts consumption, out printer, cancel func()) (printed int, err error) {
	idle := time.NewTimer(opts.idle) // each wait for a record sets it anew
	defer idle.Stop()
	idled := false
	for opts.count == 0 || printed < opts.count {
		var a arrival
		select {
		case a = <-arriving:
		default:
			if err := out.flush(); err != nil {
				return printed, err
			}
			if opts.follow || idled {
				idle.Stop()
			} else {
				idle.Reset(opts.idle)
			}
			select {
			case a = <-arriving:
			case <-idle.C:
				cancel()
				idled = true
				continue
			}
		}
		if errors.Is(a.err, context.Canceled) && idled {
			return printed, nil
		}
		if a.err != nil {
			return printed, a.err
		}
		out.print(a.record)
		printed++
	}
	return printed, nil
}
