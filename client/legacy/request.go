package legacy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"

	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
)

// Push appends value, 1 to [MaxValue] bytes, to the channel of one node, which is created
// if needed. When Push returns nil the node has stored it, once for each subscriber.
//
// It asks the nodes one after the other, each at most once, while it is certain that none
// has stored the record: it could not be sent completely, or the node said that it is out
// of memory. If that is not certain the error is [ErrUncertain] (or see
// [Options.AtLeastOnce]). Other refusals end it at once, since they would be the same
// everywhere.
func (c *Client) Push(ctx context.Context, channel string, value []byte) error {
	req := newRequest(wire.Push, channel)
	if err := cmp.Or(checkName(channel), checkValue(value)); err != nil {
		return req.fail(nil, err)
	}
	req.setValue(value)
	return c.store(ctx, req)
}

// PushMulti appends value, 1 to [MaxValue] bytes, to each of the channels, on one node, as
// Push does. There must be one channel at least, 65,536 at most; a channel that is there
// twice gets it twice. If the outcome is uncertain, some of the channels may have it.
func (c *Client) PushMulti(ctx context.Context, channels []string, value []byte) error {
	req, err := newMultiRequest(wire.PushMulti, channels)
	if err != nil {
		return err
	}
	if err := checkValue(value); err != nil {
		return req.fail(nil, err)
	}
	req.setValue(value)
	return c.store(ctx, req)
}

// store sends a Push or PushMulti.
func (c *Client) store(ctx context.Context, req request) error {
	n, cn, err := c.doOnOne(ctx, req, c.pushes)
	if err != nil {
		return err
	}
	n.release(cn)
	n.pushed.Add(1)
	return nil
}

// Pop takes the oldest record of the channel out of one node.
//
// It asks the nodes one after the other until one has a record. The error is [ErrEmpty] if
// every node that could be asked said so, and [ErrNoSuchChannelOrSubscribed] if all said
// that the channel can't be popped from. A node that fails while it is asked makes Pop fail
// if no other has a record. If the error is [ErrUncertain] a node may have taken out a
// record, which is then lost; Pop ends with it.
func (c *Client) Pop(ctx context.Context, channel string) ([]byte, error) {
	req := newRequest(wire.Pop, channel)
	if err := checkName(channel); err != nil {
		return nil, req.fail(nil, err)
	}
	var failed, empty, unknown failures
	for _, n := range c.inTurn(c.pops) {
		value, err := n.pop(ctx, req)
		switch {
		case err == nil:
			return value, nil
		case errors.Is(err, ErrEmpty):
			empty.add(n, err)
			continue
		case errors.Is(err, ErrNoSuchChannelOrSubscribed):
			unknown.add(n, err)
			continue
		}
		failed.add(n, err)
		if !c.mayGoOn(ctx, req, err) {
			break
		}
	}
	switch {
	case len(failed) > 0:
		return nil, req.failAt(failed)
	case len(empty) > 0:
		return nil, c.failEverywhere(req, ErrEmpty)
	case len(unknown) > 0:
		return nil, c.failEverywhere(req, ErrNoSuchChannelOrSubscribed)
	}
	return nil, c.failUnconnected(req)
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
		n.failures.Add(1)
		return nil, err
	case len(value) == 0:
		return nil, ErrEmpty
	}
	n.popped.Add(1)
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
		err = n.reason(ctx, n.client.options.RequestTimeout, err)
	}
	return nil, fmt.Errorf("%w: %w", ErrUncertain, err)
}

// RemoveChannel removes the channel with all its records and subscribers from all nodes,
// and ends every Consume of it. It is not an error if a node does not have it. The next Push
// creates it anew. The error names the nodes that are not known to have done it.
func (c *Client) RemoveChannel(ctx context.Context, channel string) error {
	req := newRequest(wire.RemoveChannel, channel)
	req.repeatable = true
	if err := checkName(channel); err != nil {
		return req.fail(nil, err)
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
			return n.reason(ctx, c.options.RequestTimeout, err)
		}
		n.release(cn)
		mu.Lock()
		defer mu.Unlock()
		counts[n.address] = count
		return nil
	})
	return counts, err
}
