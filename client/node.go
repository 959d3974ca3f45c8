package client

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// Node is one node of a client: what operators ask of it, to see into its queues and to steer
// them. Nothing here goes to another node instead; [AskAll] asks all of them.
//
// A queue is named as in statistics: "channel" if the channel has no subscribers, else
// "subscriber@channel", where the subscriber may be empty. Who is connected may look; what
// changes something is ErrDenied unless [Admin] clients of the node has the name of the
// credentials. A node that is not connected is ErrNotConnected at once, and one that does not know
// the request, such as a D node, ErrUnsupported. ErrUncertain comes only from what changes
// something: the node may have done it.
type Node struct {
	client  *Client
	address string
}

// Node returns the node of that address, which is one of Nodes.
func (c *Client) Node(address string) *Node { return &Node{c, address} }

// Answer is what one node says to AskAll.
type Answer[T any] struct {
	Node  string // address
	Value T
	Err   error
}

// AskAll asks all nodes at once, and returns their answers in the order of Nodes.
//
//	answers := client.AskAll(c, func(n *client.Node) ([]client.Queue, error) { return n.Queues(ctx, "job*") })
func AskAll[T any](c *Client, ask func(*Node) (T, error)) []Answer[T] {
	states := c.Nodes()
	answers := make([]Answer[T], len(states))
	var asking sync.WaitGroup
	for i, state := range states {
		asking.Go(func() {
			value, err := ask(c.Node(state.Address))
			answers[i] = Answer[T]{state.Address, value, err}
		})
	}
	asking.Wait()
	return answers
}

// Address is the address of the node.
func (n *Node) Address() string { return n.address }

// page is how many queues are asked for at once.
const page = 1000

// Queues returns the queues whose name, or whose channel, matches a pattern, in the order of their
// names. In a pattern * is any characters, ? one, [a-c] one of several; the empty one matches all.
// Error: ErrMalformed for a bad pattern.
func (n *Node) Queues(ctx context.Context, pattern string) (all []Queue, err error) {
	for after := ""; ; {
		var more []Queue
		if err := n.askJSON(ctx, "Queues", pattern, question(wire.CodeListQueues, pattern, after).with(page), &more); err != nil {
			return nil, err
		}
		if len(more) == 0 {
			return all, nil
		}
		all = append(all, more...)
		after = more[len(more)-1].Name
	}
}

// QueueInfo returns what there is to tell of a queue, and who consumes it. Error: ErrNotFound.
func (n *Node) QueueInfo(ctx context.Context, queue string) (info QueueInfo, err error) {
	err = n.askJSON(ctx, "QueueInfo", queue, question(wire.CodeQueueInfo, queue), &info)
	return info, err
}

// Peek returns records of a queue, oldest first, without taking them: first those that clients have
// or have had. It passes over skip of them, and returns no more than so many records, and bytes of
// them, of which a node sends 1 MiB at most; the last one may be cut. No node shows records behind
// the first 100,000. Error: ErrNotFound.
func (n *Node) Peek(ctx context.Context, queue string, skip, records, bytes int) ([]Peeked, error) {
	q := question(wire.CodePeek, queue).with(uint64(max(skip, 0)), uint64(max(records, 0)), uint64(max(bytes, 0)))
	body, err := n.ask(ctx, "Peek", queue, q)
	if err != nil {
		return nil, err
	}
	found, err := wire.ParsePeekRecords(body)
	if err != nil {
		return nil, n.fail("Peek", queue, fmt.Errorf("%w: %w", ErrNodeError, err))
	}
	peeked := make([]Peeked, len(found))
	for i, r := range found {
		peeked[i] = Peeked{
			Bytes: r.Bytes, Size: r.Size,
			Unconfirmed: r.State&wire.PeekUnconfirmed != 0, Returned: r.State&wire.PeekReturned != 0,
		}
	}
	return peeked, nil
}

// Connections returns the connections of a node in the order in which they were made: all, or
// those that consume a queue if one is named.
func (n *Node) Connections(ctx context.Context, queue string) (all []Connection, err error) {
	err = n.askJSON(ctx, "Connections", queue, question(wire.CodeClients, queue), &all)
	return all, err
}

// Disconnect ends a connection by its Connection.ID. What it has not confirmed goes back to its
// queues. Error: ErrNotFound.
func (n *Node) Disconnect(ctx context.Context, id uint64) error {
	_, err := n.ask(ctx, "Disconnect", fmt.Sprint(id), question(wire.CodeDisconnect).with(id))
	return err
}

// Clear drops all records of a queue that no client has at the moment, and returns how many.
// Subscribers and consumers stay. Error: ErrNotFound.
func (n *Node) Clear(ctx context.Context, queue string) (dropped Amount, err error) {
	err = n.askJSON(ctx, "Clear", queue, question(wire.CodeClear, queue), &dropped)
	return dropped, err
}

// RemoveSubscriber drops the queue of a subscriber, "subscriber@channel", and sends its consumers
// home with ErrChannelRemoved. With the last subscriber the channel goes, too. Error: ErrNotFound.
func (n *Node) RemoveSubscriber(ctx context.Context, queue string) error {
	_, err := n.ask(ctx, "RemoveSubscriber", queue, question(wire.CodeRemoveSubscriber, queue).with(wire.RemoveAnyway))
	return err
}

// RemoveUnused does what RemoveSubscriber does if nobody misses the queue: it has no consumers, and
// no records if it is the last one of the channel. So no record is lost that somebody else gets, or
// would have popped. Errors: ErrNotFound; ErrInUse, then nothing is changed.
func (n *Node) RemoveUnused(ctx context.Context, queue string) error {
	_, err := n.ask(ctx, "RemoveUnused", queue, question(wire.CodeRemoveSubscriber, queue).with(wire.RemoveIfUnused))
	return err
}

// RemoveChannel drops a channel with all its subscribers, and sends its consumers home with
// ErrChannelRemoved. Error: ErrNotFound.
func (n *Node) RemoveChannel(ctx context.Context, channel string) error {
	_, err := n.ask(ctx, "RemoveChannel", channel, question(wire.CodeRemoveChannel, channel))
	return err
}

// Pause keeps a queue from handing out records: consumers wait, a Pop gets ErrEmpty. Pushes go on.
// It lasts until Resume, also through a restart. Error: ErrNotFound.
func (n *Node) Pause(ctx context.Context, queue string) error {
	_, err := n.ask(ctx, "Pause", queue, question(wire.CodePause, queue))
	return err
}

// Resume ends a pause. Error: ErrNotFound.
func (n *Node) Resume(ctx context.Context, queue string) error {
	_, err := n.ask(ctx, "Resume", queue, question(wire.CodeResume, queue))
	return err
}

// asked is a question being put together.
type asked wire.Question

func question(code wire.Code, names ...string) asked {
	q := asked{Code: code}
	for _, name := range names {
		q.Names = append(q.Names, []byte(name))
	}
	return q
}

func (q asked) with(numbers ...uint64) asked {
	q.Numbers = numbers
	return q
}

// askJSON decodes the answer.
func (n *Node) askJSON(ctx context.Context, request, about string, q asked, into any) error {
	body, err := n.ask(ctx, request, about, q)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return n.fail(request, about, fmt.Errorf("%w: its answer is not understood: %w", ErrNodeError, err))
	}
	return nil
}

// ask asks the node and waits for the answer. While the connection has no room it waits.
func (n *Node) ask(ctx context.Context, request, about string, q asked) ([]byte, error) {
	for {
		change := n.client.cluster.Change.Wait()
		body, err := n.askOnce(ctx, q)
		switch {
		case err == errFull:
		case err != nil:
			return nil, n.fail(request, about, err)
		default:
			return body, nil
		}
		select {
		case <-change:
		case <-ctx.Done():
			return nil, n.fail(request, about, context.Cause(ctx))
		}
	}
}

func (n *Node) askOnce(ctx context.Context, q asked) ([]byte, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	conns := n.client.connections()
	i := slices.IndexFunc(conns, func(c *conn) bool { return c.link.Address == n.address })
	if i < 0 {
		return nil, n.unconnected()
	}
	s := newSingle(q.Code)
	if err := conns[i].ask(&s.call, wire.Question(q)); err != nil {
		s.release()
		if err == errBroken {
			err = n.unconnected()
		}
		return nil, err
	}
	return s.await(ctx, conns[i])
}

// unconnected says why the node can't be asked.
func (n *Node) unconnected() error {
	if n.client.cluster.Closed() {
		return ErrClosed
	}
	states := n.client.Nodes()
	i := slices.IndexFunc(states, func(s NodeState) bool { return s.Address == n.address })
	switch {
	case i < 0:
		return fmt.Errorf("%w: it is not one of the nodes of the client", ErrNotConnected)
	case states[i].Err == nil:
		return ErrNotConnected
	}
	return fmt.Errorf("%w: %w", ErrNotConnected, states[i].Err)
}

func (n *Node) fail(request, about string, err error) error {
	return &Error{Request: request, Channel: about, Node: n.address, Err: err}
}
