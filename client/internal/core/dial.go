package core

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"
)

// dialer notices the death of a node's machine in 14 s, as existing clients do (neo protocol
// neo protocol spec §2.2, legacy protocol spec §11.1). TCP_NODELAY is what package net sets anyway.
var dialer = net.Dialer{KeepAliveConfig: net.KeepAliveConfig{
	Enable: true, Idle: 5 * time.Second, Interval: 3 * time.Second, Count: 3,
}}

// Dial makes a connection to a node and begins it with greet, which does I/O until the node
// has answered. It does not bound the connection any more when it returns.
func (n *Node) Dial(ctx context.Context, greet func(net.Conn) error) (net.Conn, error) {
	limit := n.Cluster.Options.ConnectTimeout
	ctx, cancel := context.WithTimeoutCause(ctx, limit, timeout{fmt.Sprintf("no connection within %v", limit)})
	defer cancel()
	dial := n.Cluster.Options.Dial
	if dial == nil {
		dial = dialer.DialContext
	}
	nc, err := dial(ctx, "tcp", n.Address)
	if err != nil {
		return nil, causeOr(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	err = greet(nc)
	if !stop() && err == nil {
		err = ctx.Err() // and the connection is closed
	}
	if err != nil {
		nc.Close()
		return nil, causeOr(ctx, err)
	}
	n.Connects.Add(1)
	return nc, nil
}

// causeOr returns why ctx has ended, or err if it has not.
func causeOr(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// timeout is a time-out of Options that has passed.
type timeout struct{ text string }

func (t timeout) Error() string { return t.text }
func (t timeout) Timeout() bool { return true }
func (t timeout) Is(target error) bool {
	return target == context.DeadlineExceeded || target == os.ErrDeadlineExceeded
}

// NoAnswer returns the error of a node that has not answered within limit.
func NoAnswer(limit time.Duration) error {
	return timeout{fmt.Sprintf("the node has not answered for %v", limit)}
}
