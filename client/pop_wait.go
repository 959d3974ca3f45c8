package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/internal/core"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// How long PopWait waits at a node.
const (
	nodeTurn = 200 * time.Millisecond // while there are others to ask
	onlyTurn = time.Minute            // at the only one, so that one that is dead is noticed
)

// PopOptions are the options of a PopWait.
type PopOptions struct {
	// Subscriber is the name of the subscriber from whose queue the record comes, which is added if
	// it is new, as by Consume. Without a name the channel must have no subscribers, or one
	// without a name; that is the one of legacy consumers.
	Subscriber string

	// Wait is how long to wait for a record; 0 means until ctx ends.
	Wait time.Duration
}

// PopWait is [Client.Pop] that waits for a record. At one node it is served at once when there is one,
// in one line with consumers and others that wait. Of several nodes it asks one after the other, a
// fifth of a second each, and not all at once: so it never takes a record too many.
//
// When the time is over the error is ErrEmpty; when ctx ends, it is that of ctx, unless a record was on
// its way, which is returned. Nothing is taken that is not returned, unless the connection breaks. A
// node that does not know the request, such as a D node, is asked with Pop, again and again; with a
// Subscriber that is ErrUnsupported.
func (c *Client) PopWait(ctx context.Context, channel string, options PopOptions) (value []byte, err error) {
	r := request{client: c, name: "PopWait", channels: []string{channel}}
	ctx, end := c.cluster.Begin(ctx, r.name, r.channels, 0)
	defer func() { end(err) }()
	if err := core.CheckConsume(channel, options.Subscriber); err != nil {
		return nil, r.error(err)
	}
	waiting := ctx
	if options.Wait > 0 {
		var cancel context.CancelFunc
		waiting, cancel = context.WithTimeout(ctx, options.Wait)
		defer cancel()
	}
	for {
		r.failed = nil
		value, err := r.waitRound(waiting, options.Subscriber)
		if !errors.Is(err, ErrEmpty) && !errors.Is(err, ErrNotConnected) {
			return value, err
		}
		switch {
		case ctx.Err() != nil:
			return nil, r.error(context.Cause(ctx))
		case waiting.Err() != nil:
			return nil, err
		}
	}
}

// waitRound asks each node once. It takes nodeTurn at least if there is no record.
func (r *request) waitRound(ctx context.Context, subscriber string) ([]byte, error) {
	turn, done := context.WithTimeout(ctx, nodeTurn)
	defer done()
	conns := r.client.connections()
	start := r.client.rotation.Start(len(conns))
	for i := range conns {
		conn := conns[(start+i)%len(conns)]
		wait := nodeTurn
		if len(conns) == 1 {
			wait = onlyTurn
		}
		value, err := r.waitAt(ctx, conn, subscriber, wait)
		if errors.Is(err, ErrUnsupported) && subscriber == "" {
			value, err = r.ask(context.WithoutCancel(ctx), conn, wire.CodePop, nil)
		}
		switch err {
		case nil:
			return value, nil
		case errBroken, errFull:
		default:
			r.failed = append(r.failed, core.Failure{Node: conn.link.Address, Err: err})
			if errors.Is(err, ErrUncertain) {
				return nil, r.outcome()
			}
		}
	}
	err := r.outcome()
	if errors.Is(err, ErrEmpty) || errors.Is(err, ErrNotConnected) {
		<-turn.Done()
	}
	return nil, err
}

// waitAt waits for a record of one node. When ctx ends, or the time is over, the node is told, and what
// it answers is what counts.
func (r *request) waitAt(ctx context.Context, conn *conn, subscriber string, wait time.Duration) ([]byte, error) {
	s := newSingle(wire.CodePopWait)
	if err := conn.popWait(&s.call, r.channels[0], subscriber, wait); err != nil {
		s.release()
		return nil, err
	}
	over, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	select {
	case <-s.done:
	case <-over.Done():
		conn.hurry(&s.call)
		<-s.done
	}
	defer s.release()
	if s.err != nil && !errors.Is(s.err, ErrEmpty) && ctx.Err() != nil {
		return nil, fmt.Errorf("%w: %w", s.err, context.Cause(ctx))
	}
	return s.value, s.err
}
