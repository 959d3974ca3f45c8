package legacy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/internal/core"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
)

// Push implements [dmq.Client]: as a Push to one channel, a PushMulti to several, 65,536 at
// most. value has 1 to [MaxValue] bytes. Refusals that would be the same everywhere end it at
// once. If the outcome of a PushMulti is uncertain, some of the channels may have it.
func (c *Client) Push(ctx context.Context, value []byte, channels ...string) (err error) {
	ctx, end := c.cluster.Begin(ctx, "Push", channels, len(value))
	defer func() { end(err) }()
	if err := cmp.Or(core.CheckChannels(channels, wire.MaxNames), checkValue(value)); err != nil {
		return core.Fail("Push", channels, err)
	}
	req := newRequest(choose(channels, wire.Push, wire.PushMulti), channels...)
	req.setValue(value)
	n, cn, err := c.doOnOne(ctx, req, c.pushes)
	if err != nil {
		return err
	}
	n.release(cn)
	n.Pushed.Add(1)
	return nil
}

// Pop implements [dmq.Client]. The error is [ErrNoSuchChannelOrSubscribed] if all nodes said that
// the channel can't be popped from.
func (c *Client) Pop(ctx context.Context, channel string) (value []byte, err error) {
	ctx, end := c.cluster.Begin(ctx, "Pop", []string{channel}, 0)
	defer func() { end(err) }()
	req := newRequest(wire.Pop, channel)
	if err := core.CheckChannels(req.channels, 1); err != nil {
		return nil, req.fail(err)
	}
	var failed core.Failures
	for _, n := range c.inTurn(c.pops) {
		value, err := n.pop(ctx, req)
		if err == nil {
			return value, nil
		}
		failed = append(failed, core.Failure{Node: n.Address, Err: err})
		if !errors.Is(err, ErrEmpty) && !errors.Is(err, ErrNoSuchChannelOrSubscribed) && !c.mayGoOn(ctx, req, err) {
			break
		}
	}
	refused := failed.Without(ErrEmpty).Without(ErrNoSuchChannelOrSubscribed)
	switch {
	case len(failed) == 0:
		return nil, c.cluster.FailUnconnected("Pop", req.channels)
	case len(refused) > 0:
		return nil, req.failAt(refused)
	case len(failed.Without(ErrNoSuchChannelOrSubscribed)) > 0:
		return nil, core.Alike("Pop", req.channels, failed, ErrEmpty)
	}
	return nil, core.Alike("Pop", req.channels, failed, ErrNoSuchChannelOrSubscribed)
}

// pop does a Pop at one node.
func (n *node) pop(ctx context.Context, req request) ([]byte, error) {
	cn, err := n.try(ctx, req)
	if errors.Is(err, ErrNoSuchChannelOrSubscribed) {
		return nil, err
	}
	var value []byte
	if err == nil {
		value, err = n.readValue(ctx, cn)
	}
	switch {
	case err != nil:
		n.Failed.Add(1)
		return nil, err
	case len(value) == 0:
		return nil, ErrEmpty
	}
	n.Popped.Add(1)
	return value, nil
}

// readValue reads the value behind the status of a Pop.
func (n *node) readValue(ctx context.Context, cn *conn) ([]byte, error) {
	value, err := cn.readArray()
	if err == nil {
		n.release(cn)
		return value, nil
	}
	n.drop(cn)
	if !errors.Is(err, ErrValueTooBig) {
		n.broken(ctx, err)
		err = n.disconnected(ctx, n.client.cluster.Options.RequestTimeout, err)
	}
	return nil, fmt.Errorf("%w: %w", ErrUncertain, err)
}

// RemoveChannel removes the channel with all its records and subscribers from all nodes,
// and ends every Consume of it. It is not an error if a node does not have it. The next Push
// creates it anew. The error names the nodes that are not known to have done it.
func (c *Client) RemoveChannel(ctx context.Context, channel string) error {
	req := newRequest(wire.RemoveChannel, channel)
	req.repeatable = true
	if err := core.CheckChannels(req.channels, 1); err != nil {
		return req.fail(err)
	}
	return c.doOnAll(ctx, req, func(n *node, cn *conn) error {
		n.release(cn)
		return nil
	})
}

// GetNumConnections asks all nodes how many connections they serve, and returns the number
// by address of those that answer. The error is about the others. No known node supports
// this: their answer is [ErrNotSupported], which at least says that they are alive.
func (c *Client) GetNumConnections(ctx context.Context) (map[string]uint64, error) {
	req := request{command: wire.GetNumConnections, head: wire.AppendCommand(nil, wire.GetNumConnections), repeatable: true}
	counts := make(map[string]uint64)
	var mu sync.Mutex // guards counts
	err := c.doOnAll(ctx, req, func(n *node, cn *conn) error {
		count, err := cn.readNumConnections()
		if err != nil {
			n.drop(cn)
			n.broken(ctx, err)
			return n.disconnected(ctx, c.cluster.Options.RequestTimeout, err)
		}
		n.release(cn)
		mu.Lock()
		defer mu.Unlock()
		counts[n.Address] = count
		return nil
	})
	return counts, err
}
