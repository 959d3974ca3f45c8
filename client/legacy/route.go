package legacy

import (
	"context"
	"errors"
	"sync"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/nodes"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
)

// inTurn returns the nodes that can be asked, each once, in the order in which to ask them
// (§11.3).
func (c *Client) inTurn(rotation *nodes.Rotation) []*node {
	usable := make([]*node, 0, 2*len(c.nodes)) // so that the order needs no second one
	for _, n := range c.nodes {
		if n.usable() {
			usable = append(usable, n)
		}
	}
	start := rotation.Start(len(usable))
	return append(usable, usable[:start]...)[start:]
}

// doOnOne sends a request to one node after the other until one accepts it. The error is an
// [*Error].
func (c *Client) doOnOne(ctx context.Context, req request, rotation *nodes.Rotation) (*node, *conn, error) {
	var failed failures
	for _, n := range c.inTurn(rotation) {
		cn, err := n.do(ctx, req)
		if err == nil {
			return n, cn, nil
		}
		failed.add(n, err)
		if !c.mayGoOn(ctx, req, err) {
			break
		}
	}
	if len(failed) == 0 {
		return nil, nil, c.failUnconnected(req)
	}
	return nil, nil, req.failAt(failed)
}

// mayGoOn tells whether another node may be asked after one that failed with err (§11.10).
func (c *Client) mayGoOn(ctx context.Context, req request, err error) bool {
	if ended(ctx) != nil || c.ctx.Err() != nil {
		return false
	}
	if errors.Is(err, ErrUncertain) {
		return c.options.AtLeastOnce && (req.command == wire.Push || req.command == wire.PushMulti)
	}
	var status Status
	if errors.As(err, &status) {
		return status == ErrOutOfMemory // others would say the same
	}
	return true
}

// doOnAll sends a request to all nodes at the same time and calls then for each that accepts
// it, which has to release or drop the connection. It is called in several goroutines.
func (c *Client) doOnAll(ctx context.Context, req request, then func(*node, *conn) error) error {
	errs := make([]error, len(c.nodes))
	var group sync.WaitGroup
	for i, n := range c.nodes {
		group.Go(func() {
			cn, err := n.do(ctx, req)
			if err == nil {
				err = then(n, cn)
			}
			errs[i] = err
		})
	}
	group.Wait()
	var failed failures
	for i, err := range errs {
		if err != nil {
			failed.add(c.nodes[i], err)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return req.failAt(failed)
}

// failEverywhere wraps an outcome that is the same for all nodes.
func (c *Client) failEverywhere(req request, err error) error {
	if len(c.nodes) == 1 {
		return req.fail(c.nodes[0], err)
	}
	return req.fail(nil, err)
}

// failUnconnected returns the error of a request for which there is no node to ask.
func (c *Client) failUnconnected(req request) error {
	if c.ctx.Err() != nil {
		return c.failEverywhere(req, ErrClosed)
	}
	var all failures
	for _, n := range c.nodes {
		all.add(n, n.unconnected())
	}
	return req.failAt(all)
}
