package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/client/legacy"
)

func newPush(conn *connection) *cobra.Command {
	return &cobra.Command{
		Use:   "push CHANNEL [VALUE...]",
		Short: "Append records to a channel",
		Long: `Push appends each VALUE as a record to CHANNEL, in order, and ends when the node has
stored all of them. The VALUE -, or none at all, stands for everything on standard input,
as one record with any final newline.

For many records use 'dmq produce', which is faster.`,
		Example: `  dmq push jobs 'resize 17.png' 'resize 18.png'
  dmq push pictures - < 17.png`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("push needs a CHANNEL")
			}
			if i := slices.Index(args[1:], "-"); i >= 0 && slices.Contains(args[i+2:], "-") {
				return errors.New("standard input, -, is there more than once")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			channel, values := args[0], args[1:]
			if len(values) == 0 {
				values = []string{"-"}
			}
			return push(cmd.Context(), conn, channel, values, cmd.InOrStdin())
		},
	}
}

func push(ctx context.Context, conn *connection, channel string, values []string, stdin io.Reader) error {
	client, err := conn.dial(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	for i, value := range values {
		record := []byte(value)
		if value == "-" {
			if record, err = readRecord(ctx, stdin); err != nil {
				return err
			}
		}
		err := conn.request(ctx, func(ctx context.Context) error { return client.Push(ctx, channel, record) })
		if err != nil && len(values) > 1 {
			return fmt.Errorf("value %d of %d (those before it are stored): %w", i+1, len(values), err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readRecord reads all of standard input, or a byte more than a record may have.
func readRecord(ctx context.Context, stdin io.Reader) ([]byte, error) {
	record, err := io.ReadAll(io.LimitReader(interruptible(ctx, stdin), legacy.MaxValue+1))
	if err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	if len(record) > legacy.MaxValue {
		return nil, fmt.Errorf("standard input: %w: more than %d bytes", legacy.ErrValueTooBig, legacy.MaxValue)
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
