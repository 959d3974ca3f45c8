package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/internal/core"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// Push implements [dmq.Client].
func (c *Client) Push(ctx context.Context, value []byte, channels ...string) (err error) {
	r := request{client: c, name: "Push", channels: channels}
	ctx, end := c.cluster.Begin(ctx, r.name, channels, len(value))
	defer func() { end(err) }()
	if err := c.checkPush(value, channels); err != nil {
		return r.error(err)
	}
	_, err = r.do(ctx, wire.CodePush, value)
	return err
}

// Pop implements [dmq.Client].
func (c *Client) Pop(ctx context.Context, channel string) (value []byte, err error) {
	r := request{client: c, name: "Pop", channels: []string{channel}}
	ctx, end := c.cluster.Begin(ctx, r.name, r.channels, 0)
	defer func() { end(err) }()
	if err := core.CheckChannels(r.channels, 1); err != nil {
		return nil, r.error(err)
	}
	return r.do(ctx, wire.CodePop, nil)
}

// request is a Push or Pop on its way from node to node.
type request struct {
	client   *Client
	name     string
	channels []string
	failed   core.Failures // nodes that were asked in vain, ErrEmpty included
}

// do asks one node after the other. While all that are left have no room it waits.
func (r *request) do(ctx context.Context, code wire.Code, value []byte) ([]byte, error) {
	var change <-chan struct{} // taken before looking for room the second time
	for {
		popped, err := r.round(ctx, code, value)
		if err != errFull {
			return popped, err
		}
		if change != nil {
			select {
			case <-change:
			case <-ctx.Done():
			}
		}
		change = r.client.cluster.Change.Wait()
	}
}

// round asks each connected node that was not asked yet until one has done it. The error is
// errFull if one had no room, else final.
func (r *request) round(ctx context.Context, code wire.Code, value []byte) ([]byte, error) {
	full := false
	conns := r.client.connections()
	start := r.client.rotation.Start(len(conns))
	for i := range conns {
		conn := conns[(start+i)%len(conns)]
		if r.failed.Contain(conn.link.Address) {
			continue
		}
		if ctx.Err() != nil {
			return nil, r.end(context.Cause(ctx))
		}
		popped, err := r.ask(ctx, conn, code, value)
		switch err {
		case nil:
			return popped, nil
		case errBroken: // not connected, as far as this request is concerned
		case errFull:
			full = true
		default:
			r.failed = append(r.failed, core.Failure{Node: conn.link.Address, Err: err})
			if errors.Is(err, ErrUncertain) && (ctx.Err() != nil || code == wire.CodePush && r.client.cluster.Options.AtMostOnce) {
				return nil, r.outcome()
			}
		}
	}
	if full {
		return nil, errFull
	}
	return nil, r.outcome()
}

// ask sends the request to one node and waits for the answer.
func (r *request) ask(ctx context.Context, conn *conn, code wire.Code, value []byte) ([]byte, error) {
	s := newSingle(code)
	var err error
	if code == wire.CodePush {
		err = conn.push(&s.call, value, r.channels)
	} else {
		err = conn.pop(&s.call, r.channels[0])
	}
	if err != nil {
		s.release()
		return nil, err
	}
	return s.await(ctx, conn)
}

// outcome returns the error of a request that no node has carried out.
func (r *request) outcome() error {
	refused := r.failed.Without(ErrEmpty)
	switch {
	case len(r.failed) == 0:
		return r.client.cluster.FailUnconnected(r.name, r.channels)
	case len(refused) == 0:
		return core.Alike(r.name, r.channels, r.failed, ErrEmpty)
	}
	return core.FailAt(r.name, r.channels, refused)
}

// end returns the error of a request whose context has ended before a node was asked.
func (r *request) end(cause error) error {
	return r.error(r.failed.Without(ErrEmpty).Because(cause))
}

func (r *request) error(err error) error { return core.Fail(r.name, r.channels, err) }

// checkPush checks the arguments of a Push.
func (c *Client) checkPush(value []byte, channels []string) error {
	if err := core.CheckChannels(channels, wire.MaxPushChannels); err != nil {
		return err
	}
	if size := pushSize(value, channels); size > c.cluster.Options.MaxMessage {
		return fmt.Errorf("%w: a message of %d bytes, allowed are %d", ErrTooLarge, size, c.cluster.Options.MaxMessage)
	}
	return nil
}

// pushSize returns the size of the message of a Push in bytes, and a little more.
func pushSize(value []byte, channels []string) int {
	size := len(value) + 64
	for _, channel := range channels {
		size += len(channel) + 8
	}
	return size
}
