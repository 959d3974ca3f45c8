package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/figures"
)

func newList(t *tool) *cobra.Command {
	var byNode bool
	cmd := &cobra.Command{
		Use:   "list [PATTERN]",
		Short: "List the queues of all nodes",
		Long: `List prints a row for each queue, with the figures of all nodes together; with
--by-node one for each queue of each node. A queue is named CHANNEL, or
SUBSCRIBER@CHANNEL if the channel has subscribers. With PATTERN only those are
listed whose name, or whose channel, it matches: * is any characters, ? one,
[a-c] one of several.

DISK is how many of the records are spilled to files behind the ring, FULL how
much of the ring is in use, OLDEST how old the oldest record is. Consumers count
at each node. A queue is "collecting" if it belongs to a subscriber, but nobody
consumes it.`,
		Example: `  dmq list -c credentials -a queue-1:10001,queue-2:10001
  dmq list 'audit@*' --by-node
  dmq list --json | jq -r 'select(.records > 1000) | .queue'`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("list needs a PATTERN at most, but has %d arguments; is it quoted?", len(args))
			}
			return nil
		},
		ValidArgsFunction: t.completeQueues(1),
		RunE: t.asking(func(ctx context.Context, nodes *client.Client, args []string) error {
			answers, err := askAll(t, nodes, func(n *client.Node) ([]client.Queue, error) {
				return n.Queues(ctx, strings.Join(args, ""))
			})
			if len(answers) == 0 {
				return err
			}
			return errors.Join(t.printQueues(answers, byNode), err)
		}),
	}
	cmd.Flags().BoolVar(&byNode, "by-node", false, "list the queues of each node by themselves")
	return cmd
}

// listed is a queue of one node, or what all nodes have of it.
type listed struct {
	Node     string `json:"node,omitempty"`
	Nodes    int    `json:"nodes,omitempty"`     // that have it
	PausedAt int    `json:"paused_at,omitempty"` // so many of them
	client.Queue
}

func (t *tool) printQueues(answers []client.Answer[[]client.Queue], byNode bool) error {
	var all []listed
	if byNode {
		for _, a := range answers {
			for _, q := range a.Value {
				all = append(all, listed{Node: a.Node, Queue: q})
			}
		}
	} else {
		all = together(answers)
	}
	if t.json {
		for _, q := range all {
			if err := t.printJSON(q); err != nil {
				return err
			}
		}
		return nil
	}
	titles := []string{"QUEUE", ">RECORDS", ">BYTES", ">DISK", ">FULL", ">UNCONFIRMED", ">OLDEST", ">CONSUMERS", "STATE"}
	if byNode {
		titles = append([]string{"NODE"}, titles...)
	}
	out := newTable(titles...)
	for _, q := range all {
		row := []string{
			plain(q.Name), figures.Count(q.Records), figures.Size(q.Bytes), figures.Count(q.Spilled.Records), full(q.Queue),
			figures.Count(q.Unconfirmed.Records), age(q.OldestSeconds, q.Records > 0), figures.Count(uint64(q.Consumers)), q.state(),
		}
		if byNode {
			row = append([]string{q.Node}, row...)
		}
		out.add(row...)
	}
	return out.print(t.stdout)
}

// together adds up what nodes have of each queue.
func together(answers []client.Answer[[]client.Queue]) []listed {
	sums := map[string]listed{}
	for _, a := range answers {
		for _, q := range a.Value {
			sum := sums[q.Name]
			sum.Nodes++
			if q.Paused {
				sum.PausedAt++
			}
			sum.Queue = plus(sum.Queue, q)
			sums[q.Name] = sum
		}
	}
	all := slices.Collect(maps.Values(sums))
	slices.SortFunc(all, func(a, b listed) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// plus adds b, at another node, to what is known of the queue; of ages the highest one counts.
func plus(a, b client.Queue) client.Queue {
	amount := func(a, b client.Amount) client.Amount {
		return client.Amount{Records: a.Records + b.Records, Bytes: a.Bytes + b.Bytes}
	}
	return client.Queue{
		Name: b.Name, Channel: b.Channel, Subscriber: b.Subscriber, Subscribed: b.Subscribed,
		Records: a.Records + b.Records, Bytes: a.Bytes + b.Bytes,
		InRing: amount(a.InRing, b.InRing), Spilled: amount(a.Spilled, b.Spilled),
		Capacity: a.Capacity + b.Capacity, Used: a.Used + b.Used,
		Unconfirmed:        amount(a.Unconfirmed, b.Unconfirmed),
		UnconfirmedSeconds: max(a.UnconfirmedSeconds, b.UnconfirmedSeconds),
		OldestSeconds:      max(a.OldestSeconds, b.OldestSeconds),
		Paused:             a.Paused || b.Paused,
		Consumers:          a.Consumers + b.Consumers, Waiting: a.Waiting + b.Waiting,
		Pushed: amount(a.Pushed, b.Pushed), Delivered: amount(a.Delivered, b.Delivered),
		Redelivered: amount(a.Redelivered, b.Redelivered), Overflowed: amount(a.Overflowed, b.Overflowed),
		Cleared: amount(a.Cleared, b.Cleared), Failed: amount(a.Failed, b.Failed), Delayed: amount(a.Delayed, b.Delayed),
	}
}

// full is how much of the ring is in use.
func full(q client.Queue) string {
	if q.Capacity == 0 {
		return "-"
	}
	return figures.Percent(float64(q.Used) / float64(q.Capacity))
}

// state says what is not as usual.
func (q *listed) state() string {
	var words []string
	switch {
	case q.Paused && q.PausedAt < q.Nodes:
		words = append(words, fmt.Sprintf("paused at %d of %d", q.PausedAt, q.Nodes))
	case q.Paused:
		words = append(words, "paused")
	}
	if q.Subscribed && q.Consumers == 0 {
		words = append(words, "collecting")
	}
	return strings.Join(words, ", ")
}
