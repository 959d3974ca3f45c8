package legacy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	wire "github.com/sociomantic-tsunami/dmqnode/internal/protocol/legacy"
)

// Push appends value, 1 to [MaxValue] bytes, to the channel, which is created if needed.
// When Push returns nil the node has stored it, once for each subscriber.
func (c *Client) Push(ctx context.Context, channel string, value []byte) error {
	req := newRequest(wire.Push, channel)
	if err := cmp.Or(checkName(channel), checkValue(value)); err != nil {
		return c.fail(req, err)
	}
	req.setValue(value)
	return c.finish(ctx, req)
}

// PushMulti appends value, 1 to [MaxValue] bytes, to each of the channels, of which there
// must be one at least; twice if a name is there twice. If the node refuses it is stored
// in none of them, if the outcome is uncertain maybe in some.
func (c *Client) PushMulti(ctx context.Context, channels []string, value []byte) error {
	req := request{command: wire.PushMulti, channel: strings.Join(channels, ",")}
	if len(channels) == 0 {
		return c.fail(req, errors.New("no channel given"))
	}
	req.head = wire.AppendCommand(nil, wire.PushMulti)
	for _, channel := range channels {
		if err := checkName(channel); err != nil {
			return c.fail(req, fmt.Errorf("%q: %w", channel, err))
		}
		req.head = wire.AppendArray(req.head, channel)
	}
	if err := checkValue(value); err != nil {
		return c.fail(req, err)
	}
	req.head = append(req.head, wire.EndMark...)
	req.setValue(value)
	return c.finish(ctx, req)
}

// Pop takes the oldest record out of the channel. The error is [ErrEmpty] if there is
// none, and [ErrNoSuchChannelOrSubscribed] if the channel can't be popped from. If it is
// [ErrUncertain] the node may have taken out a record, which is then lost.
func (c *Client) Pop(ctx context.Context, channel string) ([]byte, error) {
	req := newRequest(wire.Pop, channel)
	if err := checkName(channel); err != nil {
		return nil, c.fail(req, err)
	}
	cn, err := c.do(ctx, req)
	if err != nil {
		return nil, err
	}
	value, err := cn.readArray()
	if err != nil {
		cn.close()
		return nil, c.broken(ctx, req, fmt.Errorf("%w: %w", ErrUncertain, err))
	}
	c.release(cn)
	if len(value) == 0 {
		return nil, c.fail(req, ErrEmpty)
	}
	return value, nil
}

// RemoveChannel removes the channel with all its records and subscribers, and ends every
// Consume of it. It is not an error if there is none. The next Push creates it anew.
func (c *Client) RemoveChannel(ctx context.Context, channel string) error {
	req := newRequest(wire.RemoveChannel, channel)
	req.repeatable = true
	if err := checkName(channel); err != nil {
		return c.fail(req, err)
	}
	return c.finish(ctx, req)
}

// finish sends a request whose answer is a status alone.
func (c *Client) finish(ctx context.Context, req request) error {
	cn, err := c.do(ctx, req)
	if err != nil {
		return err
	}
	c.release(cn)
	return nil
}
