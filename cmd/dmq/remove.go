package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

var errNoLegacy = errors.New("only the legacy protocol can remove channels: name the nodes' legacy listeners with --legacy-address")

func newRemove(t *tool) *cobra.Command {
	return &cobra.Command{
		Use:   "remove CHANNEL...",
		Short: "Remove channels with all their records",
		Long: `Remove removes each CHANNEL with all its records, for all subscribers, from all
nodes, and ends its consumers. Nothing asks for confirmation. It is no error if
there is no such channel.

The neo protocol can't do this, so it is always done over the legacy one: at
--address if the protocol is legacy, else at --legacy-address.`,
		Example: `  dmq remove jobs
  dmq remove jobs hits --legacy-address queue-1:10000,queue-2:10000`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("remove needs a CHANNEL")
			}
			return nil
		},
		ValidArgsFunction: t.completeChannels(-1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := t.resolve(); err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			options, err := t.legacyOptions()
			if err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			options.Logger = t.logger()
			defer t.waiting("for the answers of %s", strings.Join(options.Nodes, ", "))()
			err = queue.Remove(cmd.Context(), options, args...)
			if err != nil && nobodyReached(err) && !errors.Is(err, queue.ErrUnreached) {
				return fmt.Errorf("%w: %w", errSomeMissing, err) // some were connected
			}
			if err != nil {
				return err
			}
			if t.json {
				return t.printJSON(struct {
					Removed []string `json:"removed"`
				}{args})
			}
			return nil
		},
	}
}

// remover returns what removes channels, or errNoLegacy.
func (t *tool) remover() (func(ctx context.Context, channels ...string) error, error) {
	options, err := t.legacyOptions()
	if err != nil {
		return nil, err
	}
	options.Logger = t.logger()
	return func(ctx context.Context, channels ...string) error {
		if err := queue.Remove(ctx, options, channels...); err != nil {
			return fmt.Errorf("removing %v: %w", channels, err)
		}
		return nil
	}, nil
}
