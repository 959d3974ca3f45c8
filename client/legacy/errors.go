package legacy

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
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
	// ErrNotConnected means that there is no connection to a node, so nothing was sent to
	// it. The reason why comes with it.
	ErrNotConnected = errors.New("not connected")

	// ErrClosed means that the client was closed. It is [net.ErrClosed].
	ErrClosed = net.ErrClosed

	// ErrEmpty is the outcome of a Pop if every node that could be asked was asked, and none
	// has a record in the channel.
	ErrEmpty = errors.New("the channel is empty")

	// ErrNoSuchChannelOrSubscribed is the answer of all nodes to a Pop of a channel that
	// nothing was ever pushed to, or that has subscribers. A node can't tell them apart for
	// a client. After its first Consume a channel stays subscribed until it is removed.
	ErrNoSuchChannelOrSubscribed = errors.New("no such channel, or it has subscribers")

	// ErrChannelRemoved ends the part of a node in a Consume: the channel was removed
	// there.
	ErrChannelRemoved = errors.New("the channel was removed")

	// ErrUncertain means that the node may have executed the request, or a part of a
	// Produce, but did not confirm it. Doing it again may do it twice.
	ErrUncertain = errors.New("outcome uncertain")

	errNodeClosed = fmt.Errorf("the node closed the connection: %w", io.ErrUnexpectedEOF)
)

// Error tells what failed where. Use errors.Is to find out why.
type Error struct {
	Request string // as the protocol calls it: "Push", "Consume", … or "Dial", "New", …
	Channel string // for PushMulti and ProduceMulti the names with commas between
	Node    string // address; empty if it is about no node, or about several
	Err     error
}

func (e *Error) Error() string {
	text := e.Request
	if e.Channel != "" {
		text = fmt.Sprintf("%s %q", text, e.Channel)
	}
	switch {
	case e.Node == "":
	case e.Channel == "":
		text += " " + e.Node
	default:
		text += " at " + e.Node
	}
	return fmt.Sprintf("%s: %v", text, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// failures are the reasons why a request has failed at several nodes.
type failures []failure

type failure struct {
	node *node
	err  error
}

func (f *failures) add(n *node, err error) { *f = append(*f, failure{n, err}) }

func (f failures) Error() string {
	var text strings.Builder
	for i, at := range f {
		if i > 0 {
			text.WriteString("; ")
		}
		fmt.Fprintf(&text, "%s: %v", at.node.address, at.err)
	}
	return text.String()
}

func (f failures) Unwrap() (all []error) {
	for _, at := range f {
		all = append(all, at.err)
	}
	return all
}

// fail wraps the reason why a request failed at a node; n is nil if it has to do with none.
func (r *request) fail(n *node, err error) error {
	e := &Error{Request: r.command.String(), Channel: r.channel, Err: err}
	if n != nil {
		e.Node = n.address
	}
	return e
}

// failAt wraps the reasons why a request has failed at one node or several.
func (r *request) failAt(f failures) error {
	if len(f) == 1 {
		return r.fail(f[0].node, f[0].err)
	}
	return r.fail(nil, f)
}
