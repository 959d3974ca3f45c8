package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

// connected makes a command of one that needs the DMQ.
func (t *tool) connected(do func(ctx context.Context, dmq queue.Queue, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		dmq, err := t.connect(cmd)
		if err != nil {
			return err
		}
		defer dmq.Close()
		return do(cmd.Context(), dmq, args)
	}
}

func (t *tool) connect(cmd *cobra.Command) (queue.Queue, error) {
	if err := t.resolve(); err != nil {
		return nil, &usageError{cmd.CommandPath(), err}
	}
	options, err := t.options()
	if err != nil {
		return nil, &usageError{cmd.CommandPath(), err}
	}
	return t.connectTo(cmd.Context(), options)
}

func (t *tool) connectTo(ctx context.Context, options queue.Options) (queue.Queue, error) {
	defer t.waiting("for connections to %s", strings.Join(options.Nodes, ", "))()
	options.Logger = t.logger()
	return queue.Connect(ctx, options)
}
