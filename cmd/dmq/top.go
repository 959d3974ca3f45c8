package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/nodes"
	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/top"
)

// watching is the options of top.
type watching struct {
	top.Options
	once  bool
	nodes []string
	order string
}

func newTop(t *tool) *cobra.Command {
	var w watching
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch the queues of all nodes",
		Long: `Top shows every queue of the nodes, summed up over all of them: the records in
it and how many of those are on disk, their size, how full the memory of the
fullest node is, how many records go in and out a second, how old the oldest
one is, how many clients have got and not confirmed (and for how long, if there
is room), and the consumers. A queue is named as in the log of a node,
SUBSCRIBER@CHANNEL, or CHANNEL.

The figures come from /metrics of the nodes' HTTP pages, which --http names;
they are there if [Http] port is set in the node's configuration. Large ones
are rounded; --json has them all.

On a terminal it goes on until q: s sorts by another figure, / shows only some
queues, n shows the nodes, the arrow keys scroll, ? tells more. With --once, or
if standard output is no terminal that can be drawn on (TERM is dumb or not
set), it prints the tables once, and with --json one object, or without --once
one after the other. The exit status of --once is 1 if a node did not answer, 4
if none did.`,
		Example: `  dmq top --http queue-1:10080,queue-2:10080
  dmq top --sort disk --filter audit@
  dmq top --once --json | jq '.queues[] | select(.records > 1000)'`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := t.resolve()
			if err == nil {
				err = t.watch(&w)
			}
			if err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			if t.json || w.once || !isTerminal(t.stdout) || !canDraw() {
				w.once = w.once || !t.json
				return t.printTop(cmd.Context(), w)
			}
			return unlessInterrupted(top.Live(cmd.Context(), w.nodes, w.Options, t.stdin, t.stdout))
		},
	}
	cmd.Flags().DurationVar(&w.Interval, "interval", time.Second, "time between two looks at the nodes")
	cmd.Flags().BoolVar(&w.once, "once", false, "print the figures once; the rates are those of one --interval")
	cmd.Flags().StringVar(&w.order, "sort", "name", "`figure` to sort by: "+strings.Join(top.Orders, ", "))
	cmd.Flags().StringVar(&w.Filter, "filter", "", "show only queues with this `text` in their names")
	cmd.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions(top.Orders, cobra.ShellCompDirectiveNoFileComp))
	cmd.RegisterFlagCompletionFunc("filter", cobra.NoFileCompletions)
	return uses(cmd, "http", "timeout", "config", "profile", "json", "quiet")
}

var errNoHTTP = errors.New("top needs the HTTP pages of the nodes: want --http host:port,...")

// watch checks the options, and fills in what follows from them.
func (t *tool) watch(w *watching) (err error) {
	order := slices.Index(top.Orders, w.order)
	switch {
	case len(t.http) == 0:
		return errNoHTTP
	case w.Interval < 10*time.Millisecond:
		return fmt.Errorf("--interval %v: want 10ms or more", w.Interval)
	case order < 0:
		return fmt.Errorf("--sort %s: want %s", w.order, strings.Join(top.Orders, ", "))
	}
	w.Order, w.Timeout = top.Order(order), min(t.timeout, livePatience)
	w.nodes, err = nodes.Load(t.http, "")
	return err
}

// livePatience is how long the live view waits for a node before it shows it as away.
const livePatience = 2 * time.Second

// printTop prints the state once, or until it is interrupted.
func (t *tool) printTop(ctx context.Context, w watching) error {
	scrape := func(ask func(context.Context) []top.Sample) []top.Sample {
		defer t.waiting("for the pages of %s", strings.Join(w.nodes, ", "))()
		ctx, cancel := context.WithTimeout(ctx, t.timeout)
		defer cancel()
		return ask(ctx)
	}
	all := func(ctx context.Context) []top.Sample { return top.Scrape(ctx, w.nodes) }
	start := time.Now()
	for before := scrape(all); ; {
		select {
		case <-time.After(time.Until(start.Add(w.Interval))):
		case <-ctx.Done():
			if w.once {
				return ctx.Err()
			}
			return nil
		}
		start = time.Now()
		if w.once { // a node that has not answered in time has had its time
			all = func(ctx context.Context) []top.Sample { return top.Rescrape(ctx, before) }
		}
		now := scrape(all)
		state := top.NewState(before, now).Filter(w.Filter)
		state.Sort(w.Order)
		if err := t.printState(t.stdout, state); err != nil {
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
	if err := state.Write(out, widthOf(out)); err != nil {
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

// widthOf is how wide a table is printed: as a terminal is, or as fits on most.
func widthOf(out io.Writer) int {
	if isTerminal(out) {
		return terminalWidth(out)
	}
	return 100
}
