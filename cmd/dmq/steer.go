package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/figures"
)

// steering is a change that is made to queues at all nodes.
type steering struct {
	done string // what is done to a queue
	ask  string // the question before that; "" if there is none
	// change returns what is dropped; nil if nothing is, or it is not known.
	change func(ctx context.Context, n *client.Node, queue string) (*client.Amount, error)
}

// steered is how a change of a queue at a node is reported.
type steered struct {
	Node    string         `json:"node"`
	Queue   string         `json:"queue"`
	Done    string         `json:"done"`
	Dropped *client.Amount `json:"dropped,omitempty"`
}

func newClear(t *tool) *cobra.Command {
	return t.newSteering(steering{
		done: "cleared", ask: "Drop all records of",
		change: func(ctx context.Context, n *client.Node, queue string) (*client.Amount, error) {
			dropped, err := n.Clear(ctx, queue)
			return &dropped, err
		},
	}, &cobra.Command{
		Use:   "clear QUEUE...",
		Short: "Drop all records of queues",
		Long: `Clear drops the records that all nodes have in each QUEUE, which is CHANNEL, or
SUBSCRIBER@CHANNEL if the channel has subscribers. Subscribers and consumers
stay, and so do records that consumers have and have not confirmed yet. On a
terminal it asks first, unless there is --yes.

It prints a row for each node that has the queue. ` + mayChange,
		Example: `  dmq clear jobs -c credentials -a queue-1:10001,queue-2:10001
  dmq clear audit@hits audit@clicks --yes`,
	})
}

const mayChange = `The nodes have to allow it to the
name of the credentials, with [Admin] clients in their etc/config.ini.`

func newUnsubscribe(t *tool) *cobra.Command {
	return t.newSteering(steering{
		done: "unsubscribed", ask: "Drop all records, and the subscriber, of",
		change: func(ctx context.Context, n *client.Node, queue string) (*client.Amount, error) {
			return nil, n.RemoveSubscriber(ctx, queue)
		},
	}, &cobra.Command{
		Use:   "unsubscribe SUBSCRIBER@CHANNEL...",
		Short: "Remove subscribers with all records that wait for them",
		Long: `Unsubscribe removes each SUBSCRIBER of its CHANNEL from all nodes, with all
records that wait for it, and ends its consumers. @CHANNEL is the subscriber
without a name, as that of legacy consumers. With its last subscriber the
channel goes, too, until somebody names it again: it can be popped from then. On
a terminal it asks first, unless there is --yes.

It prints a row for each node that has the queue. ` + mayChange,
		Example: `  dmq unsubscribe adit@hits -c credentials
  dmq unsubscribe @jobs --yes`,
	})
}

func newPause(t *tool) *cobra.Command {
	return t.newSteering(steering{
		done: "paused",
		change: func(ctx context.Context, n *client.Node, queue string) (*client.Amount, error) {
			return nil, n.Pause(ctx, queue)
		},
	}, &cobra.Command{
		Use:   "pause QUEUE...",
		Short: "Keep queues from handing out records",
		Long: `Pause keeps all nodes from handing out records of each QUEUE, which is CHANNEL, or
SUBSCRIBER@CHANNEL if the channel has subscribers, until 'dmq resume', also if
they are restarted meanwhile: consumers wait, and a pop finds nothing. Pushes go
on. A node that does not have the queue yet will not pause it.

It prints a row for each node that has the queue. ` + mayChange,
		Example: `  dmq pause jobs -c credentials -a queue-1:10001,queue-2:10001
  dmq pause audit@hits`,
	})
}

func newResume(t *tool) *cobra.Command {
	return t.newSteering(steering{
		done: "resumed",
		change: func(ctx context.Context, n *client.Node, queue string) (*client.Amount, error) {
			return nil, n.Resume(ctx, queue)
		},
	}, &cobra.Command{
		Use:   "resume QUEUE...",
		Short: "End the pause of queues",
		Long: `Resume lets all nodes hand out records of each QUEUE again, after 'dmq pause'.

It prints a row for each node that has the queue. ` + mayChange,
		Example: `  dmq resume jobs -c credentials -a queue-1:10001,queue-2:10001`,
	})
}

// newSteering completes the command of a change.
func (t *tool) newSteering(s steering, cmd *cobra.Command) *cobra.Command {
	var confirmation confirmation
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return fmt.Errorf("%s needs a queue", cmd.Name())
		}
		return nil
	}
	cmd.ValidArgsFunction = t.completeQueues(-1)
	cmd.RunE = t.asking(func(ctx context.Context, nodes *client.Client, queues []string) error {
		if s.ask != "" {
			if err := confirmation.confirm(ctx, t, "%s %s at %s?", s.ask, t.described(ctx, nodes, queues), counted(len(nodes.Nodes()), "node", "nodes")); err != nil {
				return err
			}
		}
		return t.steer(ctx, nodes, queues, s)
	})
	if s.ask != "" {
		confirmation.addFlags(cmd)
	}
	return cmd
}

// described tells a person which queues these are, and what is in them at present.
func (t *tool) described(ctx context.Context, nodes *client.Client, queues []string) string {
	var text string
	for i, queue := range queues {
		answers, _ := askAll(t, nodes, func(n *client.Node) (client.QueueInfo, error) { return n.QueueInfo(ctx, queue) })
		var records uint64
		for _, a := range answers {
			records += a.Value.Records
		}
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%s (%s)", plain(queue), counted(records, "record", "records"))
	}
	return text
}

func (t *tool) steer(ctx context.Context, nodes *client.Client, queues []string, s steering) error {
	out := newTable("NODE", "QUEUE", "DONE")
	var failed []error
	for _, queue := range queues {
		answers, err := askAll(t, nodes, func(n *client.Node) (*client.Amount, error) { return s.change(ctx, n, queue) })
		failed = append(failed, err)
		for _, a := range answers {
			words := s.done
			if a.Value != nil {
				words += ": " + figures.Count(a.Value.Records) + " records, " + figures.Size(a.Value.Bytes)
			}
			out.add(a.Node, plain(queue), words)
			if t.json {
				failed = append(failed, t.printJSON(steered{a.Node, queue, s.done, a.Value}))
			}
		}
	}
	if len(out.rows) > 1 && !t.json {
		failed = append(failed, out.print(t.stdout))
	}
	return errors.Join(failed...)
}

func newDisconnect(t *tool) *cobra.Command {
	var confirmation confirmation
	cmd := &cobra.Command{
		Use:   "disconnect NODE ID",
		Short: "End the connection of a client",
		Long: `Disconnect ends the connection ID, as 'dmq clients' shows it, of NODE, which is one
of the nodes. What the client has and has not confirmed goes back to its queues.
As a rule the client connects again. On a terminal disconnect asks first, unless
there is --yes.

` + mayChange,
		Example:           `  dmq disconnect queue-1:10001 17 -c credentials -a queue-1:10001,queue-2:10001`,
		Args:              exactlyTwo("a NODE and an ID"),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.RunE = t.asking(func(ctx context.Context, nodes *client.Client, args []string) error {
		id, err := strconv.ParseUint(args[1], 10, 64)
		if err != nil {
			return &usageError{cmd.CommandPath(), fmt.Errorf("ID %q is no number", args[1])}
		}
		isNode := func(s client.NodeState) bool { return s.Address == args[0] }
		if !slices.ContainsFunc(nodes.Nodes(), isNode) {
			return &usageError{cmd.CommandPath(), fmt.Errorf("NODE %s is not one of those of --address and --nodes", args[0])}
		}
		if err := confirmation.confirm(ctx, t, "End connection %d at %s?", id, args[0]); err != nil {
			return err
		}
		if err := nodes.Node(args[0]).Disconnect(ctx, id); err != nil {
			return err
		}
		return t.report(struct {
			Node         string `json:"node"`
			Disconnected uint64 `json:"disconnected"`
		}{args[0], id}, fmt.Sprintf("disconnected: %d at %s", id, args[0]))
	})
	confirmation.addFlags(cmd)
	return cmd
}
