package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/cmd/dmq/internal/queue"
)

func newPeek(t *tool) *cobra.Command {
	var p peeking
	cmd := &cobra.Command{
		Use:   "peek QUEUE",
		Short: "Look at the oldest records of a queue without taking them",
		Long: `Peek prints the oldest records that each node has in QUEUE, which is CHANNEL, or
SUBSCRIBER@CHANNEL if the channel has subscribers, and leaves them there: first
those that consumers have at the moment, or have given back, then those in the
ring, then those on disk.

Records are printed as by 'dmq pop'; with --hex as a dump of their bytes, with
where they are and what is known of them above. --json tells that of each
record, too: node, place in the queue from 0, size, and whether a client has it
and has not confirmed it, or has had it before.

A node shows 1 MiB of a record at most, and the first 100,000 records.`,
		Example: `  dmq peek jobs -c credentials
  dmq peek audit@hits -n 3 --skip 1000 --hex
  dmq peek jobs --json | jq -r 'select(.unconfirmed) | .value'`,
		Args:              exactlyQueue,
		ValidArgsFunction: t.completeQueues(1),
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			if p.records < 1 || p.skip < 0 {
				return &usageError{cmd.CommandPath(), fmt.Errorf("--count %d --skip %d: want 1 or more, and 0 or more", p.records, p.skip)}
			}
			return nil
		},
		RunE: t.asking(func(ctx context.Context, nodes *client.Client, args []string) error {
			p.tool, p.queue, p.out = t, args[0], t.newPrinter(p.format)
			return p.run(ctx, nodes)
		}),
	}
	cmd.Flags().IntVarP(&p.records, "count", "n", 10, "records of each node to print")
	cmd.Flags().IntVar(&p.skip, "skip", 0, "records of each node to pass over")
	cmd.Flags().BoolVar(&p.hex, "hex", false, "print records as hexadecimal dumps")
	p.format.addFlags(cmd)
	cmd.MarkFlagsMutuallyExclusive("hex", "raw", "length-prefixed")
	return cmd
}

// peeking is a peek under way.
type peeking struct {
	records, skip int
	hex           bool
	format        recordFormat

	*tool
	queue   string
	out     *printer
	printed int
	cut     int // of those, so many not completely
}

// run goes through the nodes one by one: what they have may be much.
func (p *peeking) run(ctx context.Context, nodes *client.Client) error {
	var answers []client.Answer[struct{}]
	for _, node := range nodes.Nodes() {
		err := p.node(ctx, nodes.Node(node.Address))
		if _, ok := errors.AsType[*client.Error](err); err != nil && !ok {
			return err
		}
		answers = append(answers, client.Answer[struct{}]{Node: node.Address, Err: err})
	}
	if p.cut > 0 {
		p.say("%s not printed completely: a node shows 1 MiB of one at most", counted(p.cut, "record is", "records are"))
	}
	_, err := sift(answers)
	if err == nil && p.printed == 0 {
		return &client.Error{Request: "Peek", Channel: p.queue, Err: errNoRecords}
	}
	return err
}

// errNoRecords is what is found where others have records.
var errNoRecords = errors.New("there are no records to look at")

// node prints the records of one node.
func (p *peeking) node(ctx context.Context, node *client.Node) error {
	for place, end := p.skip, p.skip+p.records; place < end; {
		records, err := node.Peek(ctx, p.queue, place, end-place, 1<<20)
		if err != nil {
			return err
		}
		if len(records) == 0 {
			return nil
		}
		if last := records[len(records)-1]; uint64(len(last.Bytes)) < last.Size && len(records) > 1 {
			records = records[:len(records)-1] // there is more of it the next time
		}
		for _, r := range records {
			p.print(node.Address(), place, r)
			place++
		}
		if err := p.out.flush(); err != nil {
			return err
		}
	}
	return nil
}

func (p *peeking) print(node string, place int, r client.Peeked) {
	p.printed++
	cut := uint64(len(r.Bytes)) < r.Size
	if cut {
		p.cut++
	}
	switch {
	case p.json:
		record := jsonRecord(queue.Record{Value: r.Bytes, Node: node})
		out := json.NewEncoder(p.out)
		out.SetEscapeHTML(false)
		out.Encode(struct {
			recordJSON
			Place       int    `json:"place"`
			Size        uint64 `json:"size"`
			Unconfirmed bool   `json:"unconfirmed,omitempty"`
			Returned    bool   `json:"returned,omitempty"`
			Cut         bool   `json:"cut,omitempty"`
		}{record, place, r.Size, r.Unconfirmed, r.Returned, cut})
	case p.hex:
		state := ""
		switch {
		case r.Unconfirmed:
			state = ", unconfirmed"
		case r.Returned:
			state = ", returned"
		}
		fmt.Fprintf(p.out, "%s record %d: %s%s\n%s", node, place, counted(r.Size, "byte", "bytes"), state, hex.Dump(r.Bytes))
	default:
		p.out.print(queue.Record{Value: r.Bytes, Node: node})
	}
}
