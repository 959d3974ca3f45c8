package main

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

// Shells complete the names of channels, subscribers and queues by asking the nodes. Only neo can
// tell them; otherwise, and if no node answers at once, there is nothing to offer.

// completion is the kind of function that cobra wants.
type completion = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective)

// patience is how long a person who has pressed Tab waits.
const patience = 2 * time.Second

// completeQueues completes the names of queues: so many, or any number if most is -1.
func (t *tool) completeQueues(most int) completion {
	return t.completeNames(most, func(q client.Queue, _ []string) (string, bool) { return q.Name, true })
}

// completeChannels completes the names of channels likewise.
func (t *tool) completeChannels(most int) completion {
	return t.completeNames(most, func(q client.Queue, _ []string) (string, bool) { return q.Channel, true })
}

// completeSubscribers completes the names of subscribers of the channel that is the first argument.
func (t *tool) completeSubscribers() completion {
	return t.completeNames(-1, func(q client.Queue, args []string) (string, bool) {
		return q.Subscriber, q.Subscriber != "" && (len(args) == 0 || q.Channel == args[0])
	})
}

func (t *tool) completeNames(most int, name func(q client.Queue, args []string) (string, bool)) completion {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if most >= 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var found []string
		for _, q := range t.allQueues(cmd.Context()) {
			if word, ok := name(q, args); ok && strings.HasPrefix(word, begun) {
				found = append(found, word)
			}
		}
		slices.Sort(found)
		return slices.Compact(found), cobra.ShellCompDirectiveNoFileComp
	}
}

// allQueues returns what the nodes have that answer at once.
func (t *tool) allQueues(ctx context.Context) (all []client.Queue) {
	if t.resolve() != nil {
		return nil
	}
	options, err := t.options()
	if err != nil {
		return nil
	}
	t.stderr, t.quiet = io.Discard, true // which would be in the middle of the line that is being typed
	options.Timeout, options.Logger = min(options.Timeout, patience), t.logger()
	nodes, err := queue.ConnectNodes(ctx, options)
	if err != nil {
		return nil
	}
	defer nodes.Close()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, a := range client.AskAll(nodes, func(n *client.Node) ([]client.Queue, error) { return n.Queues(ctx, "") }) {
		all = append(all, a.Value...)
	}
	return all
}
