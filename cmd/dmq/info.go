package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/figures"
)

func newInfo(t *tool) *cobra.Command {
	return &cobra.Command{
		Use:   "info QUEUE",
		Short: "Tell all of a queue, by node, and who consumes it",
		Long: `Info prints a row for each node that has QUEUE, which is CHANNEL, or
SUBSCRIBER@CHANNEL if the channel has subscribers; and then a row for each of
its consumers. DISK, FULL and OLDEST are as with 'dmq list'. UNCONFIRMED is what
consumers have and have not confirmed yet, FOR since when. PUSHED, DELIVERED and
REDELIVERED count records since the node was started. --json tells more.`,
		Example: `  dmq info jobs -c credentials -a queue-1:10001,queue-2:10001
  dmq info audit@hits --json | jq '.unconfirmed.records'`,
		Args:              exactlyQueue,
		ValidArgsFunction: t.completeQueues(1),
		RunE: t.asking(func(ctx context.Context, nodes *client.Client, args []string) error {
			answers, err := askAll(t, nodes, func(n *client.Node) (client.QueueInfo, error) { return n.QueueInfo(ctx, args[0]) })
			if len(answers) == 0 {
				return err
			}
			return errors.Join(t.printInfo(answers), err)
		}),
	}
}

// exactlyQueue is the check of the arguments of commands with a QUEUE alone.
func exactlyQueue(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s needs exactly a QUEUE, but has %d arguments", cmd.Name(), len(args))
	}
	return nil
}

func (t *tool) printInfo(answers []client.Answer[client.QueueInfo]) error {
	if t.json {
		for _, a := range answers {
			err := t.printJSON(struct {
				Node string `json:"node"`
				client.QueueInfo
			}{a.Node, a.Value})
			if err != nil {
				return err
			}
		}
		return nil
	}
	out := newTable("NODE", ">RECORDS", ">BYTES", ">DISK", ">FULL", ">OLDEST", ">UNCONFIRMED", ">FOR", ">PUSHED", ">DELIVERED", ">REDELIVERED", ">CONSUMERS", "STATE")
	var consumers []client.Answer[[]client.Connection]
	for _, a := range answers {
		q := a.Value
		out.add(a.Node, figures.Count(q.Records), figures.Size(q.Bytes), figures.Count(q.Spilled.Records), full(q.Queue), age(q.OldestSeconds, q.Records > 0),
			figures.Count(q.Unconfirmed.Records), age(q.UnconfirmedSeconds, q.Unconfirmed.Records > 0),
			figures.Count(q.Pushed.Records), figures.Count(q.Delivered.Records), figures.Count(q.Redelivered.Records), figures.Count(uint64(q.Consumers)),
			(&listed{Queue: q.Queue}).state())
		if len(q.Connections) > 0 {
			consumers = append(consumers, client.Answer[[]client.Connection]{Node: a.Node, Value: q.Connections})
		}
	}
	if err := out.print(t.stdout); err != nil || len(consumers) == 0 {
		return err
	}
	if _, err := fmt.Fprintln(t.stdout); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return t.printConnections(consumers)
}

func newClients(t *tool) *cobra.Command {
	return &cobra.Command{
		Use:   "clients [QUEUE]",
		Short: "Show who is connected to the nodes, or consumes a queue",
		Long: `Clients prints a row for each connection of each node, or for each that consumes
QUEUE: its id at that node, for 'dmq disconnect', where it comes from, the name
of its credentials if the protocol is neo, for how long it is there, bytes it
has sent (IN) and got (OUT), those that wait for it to read them (UNSENT), what
it has not confirmed and since when, and requests that last.`,
		Example: `  dmq clients -c credentials -a queue-1:10001,queue-2:10001
  dmq clients audit@hits --json | jq .address`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("clients needs a QUEUE at most, but has %d arguments", len(args))
			}
			return nil
		},
		ValidArgsFunction: t.completeQueues(1),
		RunE: t.asking(func(ctx context.Context, nodes *client.Client, args []string) error {
			queue := strings.Join(args, "")
			if queue != "" { // else a name that is misspelt would look like a queue without consumers
				there, err := askAll(t, nodes, func(n *client.Node) (client.QueueInfo, error) { return n.QueueInfo(ctx, queue) })
				if len(there) == 0 {
					return err
				}
			}
			answers, err := askAll(t, nodes, func(n *client.Node) ([]client.Connection, error) { return n.Connections(ctx, queue) })
			if len(answers) == 0 {
				return err
			}
			return errors.Join(t.printConnections(answers), err)
		}),
	}
}

func (t *tool) printConnections(answers []client.Answer[[]client.Connection]) error {
	out := newTable("NODE", ">ID", "ADDRESS", "PROTOCOL", "NAME", ">SINCE", ">IN", ">OUT", ">UNSENT", ">UNCONFIRMED", ">FOR", "REQUESTS")
	for _, a := range answers {
		for _, c := range a.Value {
			if t.json {
				err := t.printJSON(struct {
					Node string `json:"node"`
					client.Connection
				}{a.Node, c})
				if err != nil {
					return err
				}
				continue
			}
			unconfirmed, since := 0, 0.0
			var requests []string
			for _, r := range c.Requests {
				unconfirmed += r.UnconfirmedRecords
				since = max(since, r.UnconfirmedSeconds)
				requests = append(requests, plain(r.Request+" "+r.Queue))
			}
			if more := len(requests) - mostRequests; more > 0 {
				requests = append(requests[:mostRequests], fmt.Sprintf("%d more", more))
			}
			out.add(a.Node, fmt.Sprint(c.ID), plain(c.Address), c.Protocol, plain(c.Name), figures.ShortAge(time.Since(c.Since)),
				figures.Size(c.BytesIn), figures.Size(c.BytesOut), figures.Size(uint64(c.BytesUnsent)),
				figures.Count(uint64(unconfirmed)), age(since, unconfirmed > 0), strings.Join(requests, ", "))
		}
	}
	if t.json {
		return nil
	}
	return out.print(t.stdout)
}

// mostRequests is how many requests of a connection are named in a table.
const mostRequests = 3
