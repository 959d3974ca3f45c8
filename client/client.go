package client

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/dmq"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/internal/core"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/nodes"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// Client is a client of all nodes of a DMQ. It implements [dmq.Client], whose methods are
// described there.
type Client struct {
	cluster  *core.Cluster
	rotation *nodes.Rotation
	conns    atomic.Pointer[[]*conn] // stored while links change, one at a time
}

var _ dmq.Client = (*Client)(nil)

// New returns a client and starts to connect to its nodes in the background. The only
// errors are those of the options: bad addresses, files that can't be read.
func New(options Options) (*Client, error) {
	c := &Client{rotation: nodes.NewRotation()}
	c.conns.Store(new([]*conn))
	err := fill(&options)
	if err == nil {
		c.cluster, err = core.NewCluster(options, c.newLink)
	}
	if err != nil {
		return nil, core.Fail("New", nil, err)
	}
	c.cluster.Start()
	return c, nil
}

// fill checks what only this protocol has, and fills in defaults.
func fill(o *Options) error {
	core.Default(&o.MaxRequests, dmq.DefaultMaxRequests)
	core.Default(&o.MaxMessage, dmq.DefaultMaxMessage)
	switch {
	case o.MaxRequests > wire.MaxRequests:
		return fmt.Errorf("MaxRequests is %d, allowed are %d", o.MaxRequests, wire.MaxRequests)
	case o.MaxMessage >= 0 && o.MaxMessage < minMessage:
		return fmt.Errorf("MaxMessage is %d, must be at least %d", o.MaxMessage, minMessage)
	}
	return o.Credentials.Check()
}

// minMessage has room for every request without its value.
const minMessage = 64 << 10

// maxInput is the largest body of a frame accepted from a node: a batch has less than
// MinBatch bytes and one record more (neo protocol spec §11.3), an answer to a question about as
// much as a thousand queues, or ten thousand connections, have to tell.
func maxInput(o *Options) uint64 { return max(uint64(o.MaxMessage)+2*wire.MinBatch, maxAnswer) }

const maxAnswer = 16 << 20

// Consume implements [dmq.Client].
func (c *Client) Consume(ctx context.Context, channel string, options ConsumeOptions) (Consumer, error) {
	return c.cluster.Consume(ctx, channel, options)
}

// WaitConnected implements [dmq.Client].
func (c *Client) WaitConnected(ctx context.Context, n int) error {
	return c.cluster.WaitConnected(ctx, n)
}

// Nodes implements [dmq.Client].
func (c *Client) Nodes() []NodeState { return c.cluster.Nodes() }

// Close implements [dmq.Client].
func (c *Client) Close() error { return c.cluster.Close() }
