package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/recordfile"
)

// loadBatch is how many records are stored between two moments at which load knows that
// all before are stored.
const loadBatch = 20_000

func newLoad(t *tool) *cobra.Command {
	var skip int64
	cmd := &cobra.Command{
		Use:   "load FILE CHANNEL[,CHANNEL...]",
		Short: "Push the records of a file that drain has written",
		Long: `Load pushes the records of FILE, which 'dmq drain' has written, to CHANNEL,
spread over all nodes. FILE stays as it is. The channel need not be the one
they came from.

When load is interrupted or fails, it says how many records from the begin of
FILE are stored for sure; --skip goes on behind them. Some of those that follow
may be stored, too.

An incomplete record at the end of FILE, from a drain that was killed, is left
out. So are empty records if the protocol is legacy, which has none. At a
damaged record load stops.`,
		Example: `  dmq load jobs.records jobs
  dmq load jobs.records jobs --skip 120000`,
		Args: exactlyTwo("a FILE and a CHANNEL"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return t.completeChannels(2)(cmd, args, begun)
		},
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			if skip < 0 {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--skip %d: %w", skip, errNegative)}
			}
			return nil
		},
		RunE: t.connected(func(ctx context.Context, dmq queue.Queue, args []string) error {
			return t.load(ctx, dmq, args[0], channelList(args[1]), skip)
		}),
	}
	cmd.Flags().Int64Var(&skip, "skip", 0, "leave out this many records at the begin of FILE")
	return cmd
}

func (t *tool) load(ctx context.Context, dmq queue.Queue, name string, channels []string, skip int64) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	records, err := recordfile.NewReader(bufio.NewReaderSize(file, 256<<10))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	bar := t.newProgress("loading", sizeOf(file))
	defer bar.end()
	longer, release := t.outlasting(ctx)
	defer release()
	producer, err := dmq.Produce(longer, channels...)
	if err != nil {
		return err
	}
	l := loading{tool: t, records: records, skip: skip, producer: producer, bar: bar}
	err = l.run(ctx, longer)
	if unconfirmed := producer.Close(longer); unconfirmed != nil {
		err = unconfirmed // with what failed before
	} else {
		l.safe = l.read
	}
	bar.end()
	if err != nil {
		t.say("%s: records stored for sure: %d; go on with --skip %d", name, max(0, l.safe-skip), l.safe)
		if err = fmt.Errorf("%s: %w", name, err); l.read > skip {
			err = &partlyError{err}
		}
		return err
	}
	return t.report(l.done, l.done.words("stored"))
}

// loading is a load under way.
type loading struct {
	*tool
	records  *recordfile.Reader
	skip     int64
	producer queue.Producer
	bar      *progress

	done stored
	read int64 // records, those that were skipped included
	safe int64 // of these from the begin, stored for sure
}

// run loads all records. Their end is confirmed by the Close of the producer.
func (l *loading) run(ctx, longer context.Context) error {
	for {
		record, err := l.records.Next()
		switch {
		case err == io.EOF:
			return nil
		case err == recordfile.ErrTorn:
			l.say("an incomplete record at the end is left out")
			return nil
		case err != nil:
			return fmt.Errorf("record %d, byte %d: %w", l.read+1, l.records.Offset(), err)
		case ctx.Err() != nil:
			return ctx.Err()
		}
		if err := l.push(ctx, record); err != nil {
			return fmt.Errorf("record %d: %w", l.read+1, err)
		}
		l.read++
		l.bar.add(len(record) + 12)
		if l.read%loadBatch == 0 {
			if err := l.producer.Flush(longer); err != nil {
				return err
			}
			l.safe = l.read
		}
	}
}

func (l *loading) push(ctx context.Context, record []byte) error {
	switch {
	case l.read < l.skip:
		return nil
	case len(record) == 0 && l.protocol == string(queue.Legacy):
		l.done.Skipped++
		return nil
	}
	err := l.producer.Push(ctx, record)
	if err == nil {
		l.done.Stored++
	}
	return err
}
