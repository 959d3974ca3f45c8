package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/ping"
	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

func newPing(t *tool) *cobra.Command {
	var count int
	cmd := &cobra.Command{
		Use:   "ping",
		Short: "Find out which nodes answer, and how fast",
		Long: `Ping connects to every node at the same time, authenticates if the protocol is
neo, asks it --count times for something that changes nothing, and prints how
long each took. The round trip is the shortest of all.

The exit status is 1 if a node did not answer, 4 if none did.`,
		Example: `  dmq ping -a queue-1:10000,queue-2:10000
  dmq ping -c credentials -N nodes --json | jq 'select(.error)'`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := t.resolve()
			if err == nil && count < 1 {
				err = fmt.Errorf("--count %d: want 1 or more", count)
			}
			var options queue.Options
			if err == nil {
				options, err = t.options()
			}
			if err != nil {
				return &usageError{cmd.CommandPath(), err}
			}
			return t.ping(cmd.Context(), options, count)
		},
	}
	cmd.Flags().IntVarP(&count, "count", "n", 5, "round trips to make with each node")
	return cmd
}

// pinged is how ping reports a node; times are in seconds.
type pinged struct {
	Node      string   `json:"node"`
	Protocol  string   `json:"protocol"`
	Connect   *float64 `json:"connect_seconds,omitempty"`
	Handshake *float64 `json:"handshake_seconds,omitempty"`
	RoundTrip *float64 `json:"round_trip_seconds,omitempty"`
	Error     string   `json:"error,omitempty"`
}

func (t *tool) ping(ctx context.Context, options queue.Options, count int) error {
	results := make([]ping.Result, len(options.Nodes))
	errs := make([]error, len(options.Nodes))
	over := t.waiting("for the answers of %s", strings.Join(options.Nodes, ", "))
	var group sync.WaitGroup
	for i, node := range options.Nodes {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, options.Timeout)
			defer cancel()
			if options.Protocol == queue.Neo {
				results[i], errs[i] = ping.Neo(ctx, node, options.Credentials, count)
			} else {
				results[i], errs[i] = ping.Legacy(ctx, node, count)
			}
		})
	}
	group.Wait()
	over()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := t.printPings(options, results, errs); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	failed, cause := 0, error(nil)
	for i, err := range errs {
		if err != nil {
			failed, cause = failed+1, fmt.Errorf("%s: %w", options.Nodes[i], err)
		}
	}
	return unreached(failed, len(errs), cause)
}

func (t *tool) printPings(options queue.Options, results []ping.Result, errs []error) error {
	if t.json {
		for i, r := range results {
			p := pinged{Node: options.Nodes[i], Protocol: string(options.Protocol),
				Connect: seconds(r.Connect), Handshake: seconds(r.Handshake), RoundTrip: seconds(r.RoundTrip)}
			if errs[i] != nil {
				p.Error = errs[i].Error()
			}
			if err := t.printJSON(p); err != nil {
				return err
			}
		}
		return nil
	}
	table := tabwriter.NewWriter(t.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "NODE\tCONNECT\tHANDSHAKE\tROUND TRIP\tSTATE")
	for i, r := range results {
		state := "ok"
		if errs[i] != nil {
			state = errs[i].Error()
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", options.Nodes[i], short(r.Connect), short(r.Handshake), short(r.RoundTrip), state)
	}
	return table.Flush()
}

// seconds is nil for what was not measured.
func seconds(d time.Duration) *float64 {
	if d == 0 {
		return nil
	}
	s := d.Seconds()
	return &s
}

// short prints a time with three digits.
func short(d time.Duration) string {
	switch {
	case d == 0:
		return "-"
	case d < time.Millisecond:
		return fmt.Sprintf("%.3g µs", float64(d)/1e3)
	case d < time.Second:
		return fmt.Sprintf("%.3g ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.3g s", d.Seconds())
}
