// Package ping measures how long a node takes to let a client in and to answer.
//
// It asks for what changes nothing and what every node answers: over the legacy protocol
// GetNumConnections (status 406), over neo a request that does not exist (support status
// "request not supported"). It speaks the protocols itself, since the clients do not show
// the steps one by one, and may import the protocol packages and client.
package ping

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// Result is how long the steps took; 0 for those that were not made.
type Result struct {
	Connect   time.Duration // TCP, with looking up the name
	Handshake time.Duration // neo only
	RoundTrip time.Duration // the shortest of all
}

// noRequest is no request of the protocol.
const noRequest = 0xff

// silence is how long nothing comes before a port is suspected of the other protocol: a legacy
// listener waits for more of what a neo client says first, and the client for its answer.
const silence = time.Second

var errLegacyPort = errors.New("this is the legacy port of a node, not its neo port")

var errClosed = fmt.Errorf("the node has closed the connection: %w", io.ErrUnexpectedEOF)

// Legacy pings the legacy listener of a node; ctx bounds it.
func Legacy(ctx context.Context, node string, count int) (r Result, err error) {
	conn, err := dial(ctx, node, &r)
	if err != nil {
		return r, err
	}
	defer conn.close()
	request := legacy.AppendCommand(nil, legacy.GetNumConnections)
	var status [4]byte
	return r, conn.roundTrips(&r, count, request, status[:], func() error {
		if s := legacy.Status(binary.LittleEndian.Uint32(status[:])); s != legacy.NotSupported {
			return fmt.Errorf("unexpected status %d: is this the legacy port of a node?", s)
		}
		return nil
	})
}

// Neo pings the neo listener of a node; ctx bounds it.
func Neo(ctx context.Context, node string, credentials client.Credentials, count int) (r Result, err error) {
	conn, err := dial(ctx, node, &r)
	if err != nil {
		return r, err
	}
	defer conn.close()
	start := time.Now()
	if err := conn.handshake(credentials); err != nil {
		return r, conn.why(err)
	}
	r.Handshake = time.Since(start)
	request := append(neo.AppendFramePrefix(nil, 1, 2), noRequest, 0)
	reply := make([]byte, len(request)-1)
	return r, conn.roundTrips(&r, count, request, reply, func() error {
		_, payload, _, err := neo.Next(reply, uint64(len(reply)))
		if err != nil {
			return err
		}
		support, err := neo.ParseSupport(payload)
		if err == nil && support != neo.RequestNotSupported {
			err = fmt.Errorf("unexpected support status %d", support)
		}
		return err
	})
}

// conn is a connection that breaks when its context ends.
type conn struct {
	net.Conn
	ctx  context.Context
	stop func() bool
}

func dial(ctx context.Context, node string, r *Result) (*conn, error) {
	start := time.Now()
	var dialer net.Dialer
	nc, err := dialer.DialContext(ctx, "tcp", node)
	if err != nil {
		if e, ok := errors.AsType[*net.OpError](err); ok {
			err = e.Err // the address is known
		}
		return nil, err
	}
	r.Connect = time.Since(start)
	return &conn{nc, ctx, context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })}, nil
}

func (c *conn) close() {
	c.stop()
	c.Close()
}

// why returns the error of the context instead of its consequence.
func (c *conn) why(err error) error {
	if c.ctx.Err() != nil {
		return c.ctx.Err()
	}
	return err
}

// ask sends a message and reads the reply into it.
func (c *conn) ask(message, reply []byte) error {
	if _, err := c.Write(message); err != nil {
		return err
	}
	_, err := io.ReadFull(c, reply)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errClosed
	}
	return err
}

// goOnReading reads without a deadline but that of the context.
func (c *conn) goOnReading(reply []byte) error {
	c.SetReadDeadline(time.Time{})
	if err := c.ctx.Err(); err != nil { // its deadline may have been overwritten
		return err
	}
	_, err := io.ReadFull(c, reply)
	return err
}

// isLegacy tells whether a legacy listener answers, and soon.
func isLegacy(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, silence)
	defer cancel()
	_, err := Legacy(ctx, address, 1)
	return err == nil
}

func (c *conn) roundTrips(r *Result, count int, request, reply []byte, check func() error) error {
	for range count {
		start := time.Now()
		err := c.ask(request, reply)
		taken := time.Since(start)
		if err == nil {
			err = check()
		}
		if err != nil {
			return c.why(err)
		}
		if r.RoundTrip == 0 || taken < r.RoundTrip {
			r.RoundTrip = taken
		}
	}
	return nil
}

// handshake is the client's side of the neo protocol spec §3.
func (c *conn) handshake(credentials client.Credentials) error {
	version := make([]byte, 1)
	c.SetReadDeadline(time.Now().Add(silence))
	err := c.ask([]byte{neo.Version}, version)
	if errors.Is(err, os.ErrDeadlineExceeded) && c.ctx.Err() == nil {
		if isLegacy(c.ctx, c.RemoteAddr().String()) {
			return errLegacyPort
		}
		err = c.goOnReading(version)
	}
	if err != nil {
		return err
	}
	if version[0] != neo.Version {
		return fmt.Errorf("unexpected protocol version %d: is this the neo port of a node?", version[0])
	}
	now := uint64(time.Now().Unix())
	frame := make([]byte, neo.NonceFrameSize)
	if err := c.ask(neo.AppendTimestamp(nil, now), frame); err != nil {
		return err
	}
	nonce, err := neo.ParseNonce(frame)
	if err != nil {
		return err
	}
	code := neo.AuthenticationCode(&credentials.Key, now, nonce)
	frame = make([]byte, neo.VerdictFrameSize)
	if err := c.ask(neo.AppendCredentials(nil, credentials.Name, code), frame); err != nil {
		return err
	}
	accepted, err := neo.ParseVerdict(frame)
	if err == nil && !accepted {
		err = client.ErrRejected
	}
	return err
}
