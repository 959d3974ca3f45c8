package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/client/legacy"
)

func newPop(conn *connection) *cobra.Command {
	var count int
	var raw bool
	cmd := &cobra.Command{
		Use:   "pop CHANNEL",
		Short: "Take the oldest records out of a channel",
		Long: `Pop takes the oldest records out of CHANNEL and prints each with a newline.

The exit status is 3 if the channel became empty before --count records were popped. A
channel with consumers, now or earlier, can't be popped from.`,
		Example: `  dmq pop jobs
  dmq pop jobs --count 0 > all-jobs
  dmq pop pictures --raw > 17.png`,
		Args: exactlyChannel,
		RunE: func(cmd *cobra.Command, args []string) error {
			if count < 0 {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--count %d: want 0 or more", count)}
			}
			return pop(cmd.Context(), conn, args[0], count, printer{bufio.NewWriter(cmd.OutOrStdout()), raw})
		},
	}
	cmd.Flags().IntVarP(&count, "count", "n", 1, "records to pop; 0 = until the channel is empty")
	addRawFlag(cmd, &raw)
	return cmd
}

func pop(ctx context.Context, conn *connection, channel string, count int, out printer) error {
	client, err := conn.dial(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	for popped := 0; count == 0 || popped < count; popped++ {
		var record []byte
		err := conn.request(ctx, func(ctx context.Context) (err error) {
			record, err = client.Pop(ctx, channel)
			return err
		})
		switch {
		case errors.Is(err, legacy.ErrEmpty) && count == 0:
			return nil
		case err != nil:
			return err
		}
		out.print(record)
		if err := out.flush(); err != nil {
			return err
		}
	}
	return nil
}
