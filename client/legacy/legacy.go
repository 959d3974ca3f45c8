// Package legacy is a client for one DMQ node over the legacy protocol.
//
//	client, err := legacy.Dial(ctx, "127.0.0.1:10000")
//	…
//	defer client.Close()
//	err = client.Push(ctx, "jobs", []byte("a record"))
//	record, err := client.Pop(ctx, "jobs")
//
// # Connections
//
// A connection carries one request at a time. A [Client] keeps a few idle connections and
// opens another whenever all are in use, so its methods may be called from any number of
// goroutines. Each [Producer] and each Consume has a connection to itself until it ends.
//
//	          take                 status                 release
//	idle ───────────────▶ request ─────────▶ known status ─────────▶ idle
//	 ▲ └ none alive: dial     │
//	 │                        └ I/O error, ctx ended, unknown status: closed
//
// The node may have closed an idle connection, for example by a restart. It is looked at
// before it is used again, and a request that could not be sent completely, or that may
// safely be sent twice, is repeated on another one. Otherwise the error is [ErrUncertain].
//
// # Contexts
//
// The context of a request bounds it from dialling to the last byte of the answer; that
// of a Produce or Consume bounds the stream. There are no other time limits than ten
// seconds for connecting. A connection whose context ended is closed.
//
// # Errors
//
// Every error of a request is an [*Error], which names request, channel and node. What
// the node answered, or why it was not asked, is found with errors.Is:
// [ErrEmpty], [ErrNoSuchChannelOrSubscribed], [ErrChannelRemoved], [ErrUncertain] and
// the values of [Status]. Names and values that the node would refuse are refused here.
//
// # Stability
//
// The package will grow: several nodes behind one Client, ProduceMulti, pacing of
// reconnects. What is here is meant to stay; the legacy protocol specification, §11, is
// what it follows.
package legacy

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	wire "github.com/sociomantic-tsunami/dmqnode/internal/protocol/legacy"
)

const (
	// MaxValue is the largest record in bytes, and the largest array the client accepts
	// from a node (§2.4).
	MaxValue = wire.MaxArray

	dialTimeout = 10 * time.Second
	maxIdle     = 5 // the pool size of existing clients (§11.2)
)

// Client sends requests to one node. It is safe for concurrent use.
type Client struct {
	node   string
	dialer net.Dialer

	mu     sync.Mutex // guards what follows; not held across I/O
	idle   []*conn    // last used last; at most maxIdle
	closed bool
}

// Dial returns a client of the node at addr, "host:port", after opening a first
// connection to it. ctx bounds Dial only.
func Dial(ctx context.Context, addr string) (*Client, error) {
	c := &Client{
		node: addr,
		dialer: net.Dialer{
			Timeout: dialTimeout,
			// As existing clients set it (§11.1): a dead node is noticed in 14 s.
			KeepAliveConfig: net.KeepAliveConfig{
				Enable: true, Idle: 5 * time.Second, Interval: 3 * time.Second, Count: 3,
			},
		},
	}
	cn, err := c.dial(ctx)
	if err != nil {
		return nil, &Error{Request: "Dial", Node: addr, Err: err}
	}
	c.release(cn)
	return c, nil
}

// Close closes the idle connections. Requests and streams under way go on, and close
// theirs when they end; to end them now, end their contexts. Later requests fail with
// [net.ErrClosed].
func (c *Client) Close() error {
	c.mu.Lock()
	idle := c.idle
	c.idle, c.closed = nil, true
	c.mu.Unlock()
	for _, cn := range idle {
		cn.close()
	}
	return nil
}

// take returns a connection bound to ctx: an idle one that is still alive, else a new
// one.
func (c *Client) take(ctx context.Context) (*conn, error) {
	for {
		cn, err := c.takeIdle()
		if err != nil {
			return nil, err
		}
		if cn == nil {
			return c.dial(ctx)
		}
		if alive(cn.Conn) {
			cn.bind(ctx)
			return cn, nil
		}
		cn.close()
	}
}

// takeIdle returns the idle connection that was used last, or nil.
func (c *Client) takeIdle() (*conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, net.ErrClosed
	}
	last := len(c.idle) - 1
	if last < 0 {
		return nil, nil
	}
	cn := c.idle[last]
	c.idle = c.idle[:last]
	cn.reused = true
	return cn, nil
}

// dial opens a connection bound to ctx.
func (c *Client) dial(ctx context.Context) (*conn, error) {
	nc, err := c.dialer.DialContext(ctx, "tcp", c.node)
	if err != nil {
		return nil, err
	}
	cn := newConn(nc)
	cn.bind(ctx)
	return cn, nil
}

// release takes back a connection on which no answer is outstanding.
func (c *Client) release(cn *conn) {
	if !cn.unbind() {
		cn.close()
		return
	}
	c.mu.Lock()
	keep := !c.closed && len(c.idle) < maxIdle
	if keep {
		c.idle = append(c.idle, cn)
	}
	c.mu.Unlock()
	if !keep {
		cn.close()
	}
}

// do sends a request and returns its connection if the status is 200, for the caller to
// read on and to release or close.
func (c *Client) do(ctx context.Context, req request) (*conn, error) {
	for {
		cn, err := c.take(ctx)
		if err != nil {
			return nil, c.broken(ctx, req, err)
		}
		status, sent, err := cn.exchange(req)
		if err == nil {
			return c.judge(cn, req, status)
		}
		cn.close()
		if cn.reused && ctx.Err() == nil && (!sent || req.repeatable) {
			continue // ends at the latest with a connection that is not reused
		}
		if sent && !req.repeatable {
			err = fmt.Errorf("%w: %w", ErrUncertain, err)
		}
		return nil, c.broken(ctx, req, err)
	}
}

// judge turns every status but 200 into an error. After a known status the connection
// stays good, after another number it may be anything (§11.1).
func (c *Client) judge(cn *conn, req request, status Status) (*conn, error) {
	if status == statusOK {
		return cn, nil
	}
	if status.known() {
		c.release(cn)
	} else {
		cn.close()
	}
	return nil, c.fail(req, req.refusal(status))
}
