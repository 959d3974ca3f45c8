package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

var errNoLegacy = errors.New("it is not known where the legacy listeners of the nodes are: see --legacy-address")

func newRemove(t *tool) *cobra.Command {
	var confirmation confirmation
	cmd := &cobra.Command{
		Use:   "remove CHANNEL...",
		Short: "Remove channels with all their records",
		Long: `Remove removes each CHANNEL with all its records, for all subscribers, from all
nodes, and ends its consumers. On a terminal it asks first, unless there is
--yes. It is no error if there is no such channel.

Over the legacy protocol every client may do that: at --address if it is the
protocol, else at --legacy-address. Without these it is done over neo: the nodes
have to allow it to the name of the credentials, with [Admin] clients in their
etc/config.ini, and D nodes can't do it.`,
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
			options, err := t.removal()
			if err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			if err := confirmation.confirm(cmd.Context(), t, "Remove %s with all records at %s?",
				plain(strings.Join(args, ", ")), counted(len(options.Nodes), "node", "nodes")); err != nil {
				return err
			}
			options.Logger = t.logger()
			defer t.waiting("for the answers of %s", strings.Join(options.Nodes, ", "))()
			err = queue.Remove(cmd.Context(), options, args...)
			if err != nil && nobodyReached(err) && !errors.Is(err, queue.ErrUnreached) {
				return fmt.Errorf("%w: %w", errSomeMissing, err) // some were connected
			}
			if errors.Is(err, client.ErrDenied) || errors.Is(err, client.ErrUnsupported) {
				return &hintedError{err, hintLegacy}
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
	confirmation.addFlags(cmd)
	return cmd
}

const hintLegacy = "over the legacy protocol everybody may: name the nodes' legacy listeners with --legacy-address; or see [Admin] clients of the nodes"

// removal returns how to connect to remove channels: over legacy, where everybody may, if it is known
// how, else over neo.
func (t *tool) removal() (queue.Options, error) {
	options, err := t.legacyOptions()
	if errors.Is(err, errNoLegacy) {
		return t.options()
	}
	return options, err
}

// remover returns what removes channels.
func (t *tool) remover() (remove func(ctx context.Context, channels ...string) error, over queue.Protocol, err error) {
	options, err := t.removal()
	if err != nil {
		return nil, "", err
	}
	options.Logger = t.logger()
	return func(ctx context.Context, channels ...string) error {
		if err := queue.Remove(ctx, options, channels...); err != nil {
			return fmt.Errorf("removing %v: %w", channels, err)
		}
		return nil
	}, options.Protocol, nil
}
