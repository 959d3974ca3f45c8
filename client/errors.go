package client

import (
	"errors"
	"fmt"
	"strings"
)

// Why a request failed. Use errors.Is.
var (
	// ErrNotConnected means that no node is connected, so nothing was sent.
	ErrNotConnected = errors.New("no node is connected")

	// ErrEmpty is the outcome of a Pop if every connected node has no record in the
	// channel.
	ErrEmpty = errors.New("the channel is empty")

	// ErrHasSubscribers means that a node can't Pop from the channel because it has had a
	// Consume. It stays so until the channel is removed.
	ErrHasSubscribers = errors.New("the channel has subscribers")

	// ErrChannelRemoved ends the part of a node in a Consume: the channel was removed
	// there.
	ErrChannelRemoved = errors.New("the channel was removed")

	// ErrNodeError means that a node could not carry out the request. Nothing was done;
	// the node's log has the reason.
	ErrNodeError = errors.New("error of the node")

	// ErrUnsupported means that a node does not know the request, or not in this version.
	ErrUnsupported = errors.New("the node does not support the request")

	// ErrUncertain means that a node may have carried out the request, but its answer did
	// not come: a Push may have stored the record, a Pop may have removed one.
	ErrUncertain = errors.New("outcome uncertain")

	// ErrDisconnected means that the connection broke while a request waited for it. For
	// a Push or Pop it comes with ErrUncertain, unless nothing was sent yet.
	ErrDisconnected = errors.New("the connection was lost")

	// ErrBadName means that a channel or subscriber has a name that no node accepts:
	// names consist of the letters A to Z and a to z, digits, _ and -. A channel has at
	// least one of them, and with its subscriber 251 at most.
	ErrBadName = errors.New("bad name")

	// ErrNoChannels and ErrTooManyChannels are for a Push to no channel or to more than
	// 255.
	ErrNoChannels      = errors.New("no channel given")
	ErrTooManyChannels = errors.New("too many channels")

	// ErrTooLarge means that a record is larger than Options.MaxMessage allows, or than a
	// Producer may hold.
	ErrTooLarge = errors.New("the record is too large")

	// ErrRejected means that a node does not accept the credentials. It is found in
	// NodeState.Err; requests see a node that is not connected.
	ErrRejected = errors.New("the node rejects the credentials")

	// ErrClosed means that the Client, Consumer or Producer was closed.
	ErrClosed = errors.New("closed")
)

// Error tells which request failed where. Use errors.Is and errors.As to find out why.
type Error struct {
	Request string // "Push", "Pop", "Consume", …
	Channel string // of a Push to several the names with commas between
	Node    string // address; empty if it is about no node, or about several
	Err     error
}

// Error implements error.
func (e *Error) Error() string {
	text := e.Request
	if e.Channel != "" {
		text = fmt.Sprintf("%s %q", text, e.Channel)
	}
	if e.Node != "" {
		text += " at " + e.Node
	}
	return fmt.Sprintf("%s: %v", text, e.Err)
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// failure is the outcome of a request at one node.
type failure struct {
	node string
	err  error
}

// failures are the outcomes of a request that has failed at one node after the other.
type failures []failure

func (f failures) Error() string {
	texts := make([]string, len(f))
	for i := range f {
		texts[i] = fmt.Sprintf("%s: %v", f[i].node, f[i].err)
	}
	return strings.Join(texts, "; ")
}

// Unwrap lets errors.Is find every reason.
func (f failures) Unwrap() []error {
	reasons := make([]error, len(f))
	for i := range f {
		reasons[i] = f[i].err
	}
	return reasons
}

func joined(channels []string) string { return strings.Join(channels, ",") }

// newError makes the error of a request that has failed as f says. Without failures no
// node was connected.
func newError(request string, channels []string, f failures) *Error {
	e := &Error{Request: request, Channel: joined(channels)}
	switch len(f) {
	case 0:
		e.Err = ErrNotConnected
	case 1:
		e.Node, e.Err = f[0].node, f[0].err
	default:
		e.Err = f
	}
	return e
}
