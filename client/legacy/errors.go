package legacy

import (
	"context"
	"errors"
	"fmt"
	"io"

	wire "github.com/sociomantic-tsunami/dmqnode/internal/protocol/legacy"
)

// Status is a status code of the protocol (§2.6). Every value but 200 is an error.
type Status int32

const statusOK = Status(wire.OK)

// What a node may answer to a request. ErrEmptyValue, ErrBadChannelName and
// ErrValueTooBig also stand for the same finding before anything is sent.
const (
	ErrInvalidRequest = Status(400)
	ErrWrongNode      = Status(404)
	ErrNotSupported   = Status(wire.NotSupported)
	ErrOutOfMemory    = Status(wire.OutOfMemory)
	ErrEmptyValue     = Status(wire.EmptyValue)
	ErrBadChannelName = Status(wire.BadChannelName)
	ErrValueTooBig    = Status(410)
	ErrInternal       = Status(wire.Error)
)

var statusText = map[Status]string{
	0:                 "status 0 (undefined)",
	statusOK:          "ok",
	ErrInvalidRequest: "invalid request",
	ErrWrongNode:      "wrong node",
	ErrNotSupported:   "request not supported",
	ErrOutOfMemory:    "the node can't store the record now",
	ErrEmptyValue:     "empty record",
	ErrBadChannelName: "bad channel name",
	ErrValueTooBig:    "record too big",
	ErrInternal:       "internal error of the node",
}

func (s Status) Error() string {
	if text, ok := statusText[s]; ok {
		return text
	}
	return fmt.Sprintf("unknown status %d", int32(s))
}

// known reports whether s is in the protocol.
func (s Status) known() bool {
	_, ok := statusText[s]
	return ok
}

var (
	// ErrEmpty is the answer to a Pop of a channel without records.
	ErrEmpty = errors.New("the channel is empty")

	// ErrNoSuchChannelOrSubscribed is the answer to a Pop of a channel that nothing was
	// ever pushed to, or that has subscribers. A node can't tell them apart for a
	// client. After its first Consume a channel stays subscribed until it is removed.
	ErrNoSuchChannelOrSubscribed = errors.New("no such channel, or it has subscribers")

	// ErrChannelRemoved ends a Consume whose channel was removed.
	ErrChannelRemoved = errors.New("the channel was removed")

	// ErrUncertain means that the node may have executed the request, or a part of a
	// Produce, but did not confirm it. Doing it again may do it twice.
	ErrUncertain = errors.New("outcome uncertain")

	errNodeClosed = fmt.Errorf("the node closed the connection: %w", io.ErrUnexpectedEOF)
)

// Error tells what failed where. Use errors.Is to find out why.
type Error struct {
	Request string // as the protocol calls it: "Push", "Consume", … or "Dial"
	Channel string // for PushMulti the names with commas between
	Node    string // address given to Dial
	Err     error
}

func (e *Error) Error() string {
	if e.Channel == "" {
		return fmt.Sprintf("%s %s: %v", e.Request, e.Node, e.Err)
	}
	return fmt.Sprintf("%s %q at %s: %v", e.Request, e.Channel, e.Node, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// fail wraps the reason why a request failed.
func (c *Client) fail(req request, err error) error {
	return &Error{Request: req.command.String(), Channel: req.channel, Node: c.node, Err: err}
}

// broken wraps an error of I/O. If ctx has ended that is the reason, and the time-out of
// the connection only its consequence.
func (c *Client) broken(ctx context.Context, req request, err error) error {
	if cause := ctx.Err(); cause != nil {
		if errors.Is(err, ErrUncertain) {
			cause = fmt.Errorf("%w: %w", ErrUncertain, cause)
		}
		err = cause
	}
	return c.fail(req, err)
}
