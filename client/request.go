package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// Push stores value in all the channels, on one node.
//
// It asks the connected nodes one after the other, round robin from a random start, each at
// most once, until one has stored the record. If a connection breaks after the request was
// sent and before the answer, the record may have been stored: Push goes on to the next
// node nevertheless, and the record may be stored twice (or see Options.AtMostOnce).
//
// The error wraps the reason of every node that was asked, or is ErrNotConnected.
// ErrUncertain is among them if the record may be stored, also when ctx ends before the
// answer. Push keeps neither slice.
func (c *Client) Push(ctx context.Context, value []byte, channels ...string) error {
	if err := c.checkPush(value, channels); err != nil {
		return &Error{Request: "Push", Channel: joined(channels), Err: err}
	}
	r := request{client: c, name: "Push", channels: channels}
	_, err := r.do(ctx, wire.CodePush, value)
	return err
}

// Pop removes the oldest record of a channel from one node and returns it.
//
// It asks the connected nodes one after the other, each at most once, until one has a
// record. The error is ErrEmpty only if every connected node was asked and is empty, and
// ErrNotConnected if there was none; otherwise it wraps the reason of each node that failed.
// ErrUncertain is among them if a record may have been removed, also when ctx ends before
// the answer.
func (c *Client) Pop(ctx context.Context, channel string) ([]byte, error) {
	channels := []string{channel}
	if err := checkChannels(channels); err != nil {
		return nil, &Error{Request: "Pop", Channel: channel, Err: err}
	}
	r := request{client: c, name: "Pop", channels: channels}
	return r.do(ctx, wire.CodePop, nil)
}

// request is a Push or Pop on its way from node to node.
type request struct {
	client   *Client
	name     string
	channels []string
	failed   failures // nodes that were asked in vain, ErrEmpty included
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
		change = r.client.change.wait()
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
		if r.failed.contains(conn.node.address) {
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
			r.failed = append(r.failed, failure{conn.node.address, err})
			if errors.Is(err, ErrUncertain) && (ctx.Err() != nil || code == wire.CodePush && r.client.options.AtMostOnce) {
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
	select {
	case <-s.done:
	case <-ctx.Done():
		if conn.abandon(&s.call) {
			return nil, fmt.Errorf("%w: %w", ErrUncertain, context.Cause(ctx))
		}
		<-s.done
	}
	defer s.release()
	return s.value, s.err
}

// outcome returns the error of a request that no node has carried out.
func (r *request) outcome() error {
	refused := r.refused()
	switch {
	case len(r.failed) == 0 && r.client.closed():
		return r.error(ErrClosed)
	case len(r.failed) > 0 && len(refused) == 0:
		return r.error(ErrEmpty)
	}
	return newError(r.name, r.channels, refused)
}

// end returns the error of a request whose context has ended before a node was asked.
func (r *request) end(cause error) error {
	if refused := r.refused(); len(refused) > 0 {
		cause = fmt.Errorf("%w; %w", cause, refused)
	}
	return r.error(cause)
}

// refused returns the failures that are not ErrEmpty.
func (r *request) refused() (f failures) {
	for _, failure := range r.failed {
		if !errors.Is(failure.err, ErrEmpty) {
			f = append(f, failure)
		}
	}
	return f
}

func (r *request) error(err error) error {
	return &Error{Request: r.name, Channel: joined(r.channels), Err: err}
}

// checkPush checks the arguments of a Push.
func (c *Client) checkPush(value []byte, channels []string) error {
	if err := checkChannels(channels); err != nil {
		return err
	}
	if size := pushSize(value, channels); size > c.options.MaxMessage {
		return fmt.Errorf("%w: a message of %d bytes, allowed are %d", ErrTooLarge, size, c.options.MaxMessage)
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

func checkChannels(channels []string) error {
	switch {
	case len(channels) == 0:
		return ErrNoChannels
	case len(channels) > wire.MaxPushChannels:
		return fmt.Errorf("%w: %d, allowed are %d", ErrTooManyChannels, len(channels), wire.MaxPushChannels)
	}
	for _, channel := range channels {
		if !names.ValidChannel([]byte(channel)) {
			return fmt.Errorf("%w of a channel: %.300q", ErrBadName, channel)
		}
	}
	return nil
}
