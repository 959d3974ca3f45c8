package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/nodes"
	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/top"
)

// patience is how long the live view waits for a node before it shows it as away.
const patience = 2 * time.Second

// watching is the options of top.
type watching struct {
	interval time.Duration
	once     bool
	nodes    []string
}

func newTop(t *tool) *cobra.Command {
	var w watching
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch the queues of all nodes",
		Long: `Top shows every queue of the nodes, summed up over all of them: the records in
it and how many of those are on disk, their size, how full the memory of the
fullest node is, how many records go in and out a second, how old the oldest
one is, and the consumers. A queue is named as in the log of a node,
SUBSCRIBER@CHANNEL, or CHANNEL.

The figures come from /metrics of the nodes' HTTP pages, which --http names;
they are there if [Http] port is set in the node's configuration.

On a terminal it goes on until q: s sorts by another figure, the arrow keys
scroll. With --once, or if standard output is no terminal, it prints one table,
and with --json one object, or without --once one after the other.`,
		Example: `  dmq top --http queue-1:10080,queue-2:10080
  dmq top --once --json | jq '.queues[] | select(.records > 1000)'`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := t.resolve()
			if err == nil {
				w.nodes, err = t.watched(w)
			}
			if err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			if t.json || w.once || !isTerminal(t.stdout) {
				w.once = w.once || !t.json
				return t.printTop(cmd.Context(), w)
			}
			err = top.Live(cmd.Context(), w.nodes, w.interval, min(t.timeout, patience), t.stdin, t.stdout)
			return unlessInterrupted(err)
		},
	}
	cmd.Flags().DurationVar(&w.interval, "interval", time.Second, "time between two looks at the nodes")
	cmd.Flags().BoolVar(&w.once, "once", false, "print the figures once; the rates are those of one --interval")
	return uses(cmd, "http", "timeout", "config", "profile", "json", "quiet")
}

var errNoHTTP = errors.New("top needs the HTTP pages of the nodes: want --http host:port,...")

// watched returns the nodes to watch.
func (t *tool) watched(w watching) ([]string, error) {
	switch {
	case len(t.http) == 0:
		return nil, errNoHTTP
	case w.interval < 10*time.Millisecond:
		return nil, fmt.Errorf("--interval %v: want 10ms or more", w.interval)
	}
	return nodes.Load(t.http, "")
}

// printTop prints the state once, or until it is interrupted.
func (t *tool) printTop(ctx context.Context, w watching) error {
	scrape := func() []top.Sample {
		ctx, cancel := context.WithTimeout(ctx, t.timeout)
		defer cancel()
		return top.Scrape(ctx, w.nodes)
	}
	for before := scrape(); ; {
		select {
		case <-time.After(w.interval):
		case <-ctx.Done():
			if w.once {
				return ctx.Err()
			}
			return nil
		}
		now := scrape()
		if err := t.printState(t.stdout, top.NewState(before, now)); err != nil {
			return err
		}
		if w.once {
			return unscraped(now)
		}
		before = now
	}
}

func (t *tool) printState(out io.Writer, state top.State) error {
	if t.json {
		return t.printJSON(state)
	}
	if err := state.Write(out, 100); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// unscraped is the error if nodes did not answer.
func unscraped(samples []top.Sample) error {
	failed, cause := 0, error(nil)
	for _, s := range samples {
		if s.Err != nil {
			failed, cause = failed+1, fmt.Errorf("%s: %w", s.Node, s.Err)
		}
	}
	if err := unreached(failed, len(samples), cause); err != nil {
		return &hintedError{err, "is that the address of its HTTP page, and [Http] port set? name others with --http or DMQ_HTTP"}
	}
	return nil
}
