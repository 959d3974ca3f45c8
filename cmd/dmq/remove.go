package main

import (
	"context"

	"github.com/spf13/cobra"
)

func newRemove(conn *connection) *cobra.Command {
	return &cobra.Command{
		Use:   "remove CHANNEL",
		Short: "Remove a channel with all its records",
		Long: `Remove removes CHANNEL with all its records, for all subscribers, and ends its consumers.
Nothing asks for confirmation. It is no error if there is no such channel.`,
		Example: `  dmq remove jobs`,
		Args:    exactlyChannel,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := conn.dial(cmd.Context())
			if err != nil {
				return err
			}
			defer client.Close()
			return conn.request(cmd.Context(), func(ctx context.Context) error {
				return client.RemoveChannel(ctx, args[0])
			})
		},
	}
}
