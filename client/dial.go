package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// keepAlive notices the death of a node's machine in 14 s (§2.2). TCP_NODELAY is what
// package net sets anyway.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 3 * time.Second, Count: 3}

// sendBuffer is how many bytes the kernel may hold for a node. Were it to hold all of a large
// record, nothing would be seen of its way over a slow link, which looks like a node that
// hangs. At this size a link of 30 kB/s is fast enough for DefaultRequestTimeout.
const sendBuffer = 256 << 10

// dial connects to a node and authenticates. Nothing behind the node's verdict is read.
func (c *Client) dial(ctx context.Context, address string) (net.Conn, error) {
	limit := c.options.ConnectTimeout
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no connection within %v", limit))
	defer cancel()
	dialer := net.Dialer{KeepAliveConfig: keepAlive}
	nc, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, causeOr(ctx, err)
	}
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	err = c.handshake(nc)
	if !stop() && err == nil {
		err = ctx.Err() // and the connection is closed
	}
	if err == nil {
		err = nc.(*net.TCPConn).SetWriteBuffer(sendBuffer)
	}
	if err != nil {
		nc.Close()
		return nil, causeOr(ctx, err)
	}
	return nc, nil
}

// causeOr returns why ctx has ended, or err if it has not.
func causeOr(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return err
}

// handshake is the client's side of §3. It is strictly half-duplex, and D nodes rely on
// that.
func (c *Client) handshake(nc net.Conn) error {
	if _, err := nc.Write([]byte{wire.Version}); err != nil {
		return err
	}
	version := make([]byte, 1)
	if err := receive(nc, version, "protocol version"); err != nil {
		return err
	}
	if version[0] != wire.Version {
		return fmt.Errorf("the node has protocol version %d, the client %d", version[0], wire.Version)
	}
	now := uint64(time.Now().Unix())
	if _, err := nc.Write(wire.AppendTimestamp(nil, now)); err != nil {
		return err
	}
	frame := make([]byte, wire.NonceFrameSize)
	if err := receive(nc, frame, "nonce"); err != nil {
		return err
	}
	nonce, err := wire.ParseNonce(frame)
	if err != nil {
		return err
	}
	credentials := &c.options.Credentials
	code := wire.AuthenticationCode(&credentials.Key, now, nonce)
	if _, err := nc.Write(wire.AppendCredentials(nil, credentials.Name, code)); err != nil {
		return err
	}
	frame = make([]byte, wire.VerdictFrameSize)
	if err := receive(nc, frame, "verdict"); err != nil {
		return err
	}
	accepted, err := wire.ParseVerdict(frame)
	if err == nil && !accepted {
		err = ErrRejected
	}
	return err
}

// receive fills b. what names it in the error.
func receive(nc net.Conn, b []byte, what string) error {
	_, err := io.ReadFull(nc, b)
	if errors.Is(err, io.EOF) {
		err = errNodeClosed
	}
	if err != nil {
		return fmt.Errorf("waiting for the node's %s: %w", what, err)
	}
	return nil
}

var errNodeClosed = fmt.Errorf("the node has closed the connection: %w", io.ErrUnexpectedEOF)
