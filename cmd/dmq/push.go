package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

func newPush(t *tool) *cobra.Command {
	return &cobra.Command{
		Use:   "push CHANNEL[,CHANNEL...] [VALUE...]",
		Short: "Append records to a channel",
		Long: `Push appends each VALUE as a record to CHANNEL, or to several channels at once,
in order, and ends when a node has stored all of them. The VALUE -, or none at
all, stands for everything on standard input, as one record with any final
newline.

A record goes to the next node if one can't take it. For many records use 'dmq
produce', which is faster.`,
		Example: `  dmq push jobs 'resize 17.png' 'resize 18.png'
  dmq push pictures - < 17.png
  dmq push jobs,audit 'resize 19.png'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("push needs a CHANNEL")
			}
			if i := slices.Index(args[1:], "-"); i >= 0 && slices.Contains(args[i+2:], "-") {
				return errors.New("standard input, -, is there more than once")
			}
			return nil
		},
		ValidArgsFunction: t.completeChannels(1),
		PreRunE: func(cmd *cobra.Command, args []string) error {
			err := t.resolve()
			if err == nil && t.protocol == string(queue.Legacy) && slices.Contains(args[1:], "") {
				err = fmt.Errorf("empty VALUE: %w", queue.ErrNeedsNeo)
			}
			if err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			return nil
		},
		RunE: t.connected(func(ctx context.Context, dmq queue.Queue, args []string) error {
			channels, values := channelList(args[0]), args[1:]
			if len(values) == 0 {
				values = []string{"-"}
			}
			return t.push(ctx, dmq, channels, values)
		}),
	}
}

// stored is the result of push, produce, load and mirror.
type stored struct {
	Stored  int64 `json:"stored"`                  // records
	Skipped int64 `json:"skipped_empty,omitempty"` // empty records and lines

	// Unconfirmed is records that were sent, of which no node has said that it has stored
	// them.
	Unconfirmed int64 `json:"unconfirmed,omitempty"`
}

// words says the same to a person.
func (s stored) words(done string) string {
	words := fmt.Sprintf("records %s: %d", done, s.Stored)
	if s.Skipped > 0 {
		words += fmt.Sprintf(", empty ones skipped: %d", s.Skipped)
	}
	if s.Unconfirmed > 0 {
		words += fmt.Sprintf(", not confirmed: %d", s.Unconfirmed)
	}
	return words
}

func (t *tool) push(ctx context.Context, dmq queue.Queue, channels, values []string) error {
	for i, value := range values {
		record := []byte(value)
		if value == "-" {
			var err error
			if record, err = t.readRecord(ctx, t.stdin); err != nil {
				return err
			}
		}
		over := t.waiting("for a node to store value %d of %d", i+1, len(values))
		err := dmq.Push(ctx, record, channels...)
		over()
		switch {
		case err != nil && i > 0:
			return &partlyError{fmt.Errorf("value %d of %d (those before it are stored): %w", i+1, len(values), err)}
		case err != nil:
			return err
		}
	}
	if t.json {
		return t.printJSON(stored{Stored: int64(len(values))})
	}
	return nil
}

// readRecord reads all of the input as one record.
func (t *tool) readRecord(ctx context.Context, in io.Reader) ([]byte, error) {
	limit := t.maxRecord()
	record, err := io.ReadAll(io.LimitReader(interruptible(ctx, in), int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	if len(record) > limit {
		return nil, fmt.Errorf("input: %w: more than %d bytes", queue.ErrRecord, limit)
	}
	return record, nil
}

// interruptible returns a reader of what r has that fails once ctx has ended, also while
// r has nothing. A read of r may be left behind.
func interruptible(ctx context.Context, r io.Reader) io.Reader {
	out, in := io.Pipe()
	context.AfterFunc(ctx, func() { in.CloseWithError(ctx.Err()) })
	go func() {
		_, err := io.Copy(in, r)
		in.CloseWithError(err)
	}()
	return out
}
