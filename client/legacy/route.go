package legacy

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/internal/core"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/nodes"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
)

// usable returns the nodes that can be asked.
func (c *Client) usable() []*node {
	return slices.DeleteFunc(c.all(), func(n *node) bool { return !n.usable() })
}

// inTurn returns the nodes that can be asked, each once, in the order in which to ask them
// (legacy protocol spec §11.3).
func (c *Client) inTurn(rotation *nodes.Rotation) []*node {
	usable := c.usable()
	start := rotation.Start(len(usable))
	return append(usable, usable[:start]...)[start:]
}

// doOnOne sends a request to one node after the other until one accepts it. The error is an
// [*Error].
func (c *Client) doOnOne(ctx context.Context, req request, rotation *nodes.Rotation) (*node, *conn, error) {
	var failed core.Failures
	for _, n := range c.inTurn(rotation) {
		cn, err := n.do(ctx, req)
		if err == nil {
			return n, cn, nil
		}
		failed = append(failed, core.Failure{Node: n.Address, Err: err})
		if !c.mayGoOn(ctx, req, err) {
			break
		}
	}
	if len(failed) == 0 {
		return nil, nil, c.cluster.FailUnconnected(req.command.String(), req.channels)
	}
	return nil, nil, req.failAt(failed)
}

// mayGoOn tells whether another node may be asked after one that failed with err (legacy protocol spec §11.10).
func (c *Client) mayGoOn(ctx context.Context, req request, err error) bool {
	if core.EndOf(ctx) != nil || c.cluster.Closed() {
		return false
	}
	if errors.Is(err, ErrUncertain) {
		return !c.cluster.Options.AtMostOnce && (req.command == wire.Push || req.command == wire.PushMulti)
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
	all := c.all()
	errs := make([]error, len(all))
	var group sync.WaitGroup
	for i, n := range all {
		group.Go(func() {
			cn, err := n.do(ctx, req)
			if err == nil {
				err = then(n, cn)
			}
			errs[i] = err
		})
	}
	group.Wait()
	var failed core.Failures
	for i, err := range errs {
		if err != nil {
			failed = append(failed, core.Failure{Node: all[i].Address, Err: err})
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return req.failAt(failed)
}
