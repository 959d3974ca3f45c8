package dmq

import (
	"errors"
	"fmt"
	"net"
)

// Why a request failed. Use errors.Is.
var (
	// ErrNotConnected means that no node is connected, so nothing was sent.
	ErrNotConnected = errors.New("not connected")

	// ErrEmpty is the outcome of a Pop if no connected node has a record in the channel.
	ErrEmpty = errors.New("the channel is empty")

	// ErrHasSubscribers means that a node can't Pop from the channel because it has had a
	// Consume. It stays so until the channel is removed. (With legacy see
	// legacy.ErrNoSuchChannelOrSubscribed.)
	ErrHasSubscribers = errors.New("the channel has subscribers")

	// ErrChannelRemoved ends the part of a node in a Consume: the channel was removed
	// there.
	ErrChannelRemoved = errors.New("the channel was removed")

	// ErrNodeError means that a node could not carry out the request. Nothing was done;
	// the node's log has the reason.
	ErrNodeError = errors.New("error of the node")

	// ErrUnsupported means that a node does not know the request, or not in this version.
	ErrUnsupported = errors.New("the node does not support the request")

	// ErrDenied, ErrNotFound, ErrInUse and ErrMalformed are for what operators ask of a node,
	// see client.Node: the client is not one of [Admin] clients there; there is no such queue,
	// channel or connection; the queue has consumers, or records; the request, such as its
	// pattern, makes no sense.
	ErrDenied    = errors.New("denied")
	ErrNotFound  = errors.New("not found")
	ErrInUse     = errors.New("in use")
	ErrMalformed = errors.New("the node can't make sense of it")

	// ErrUncertain means that a node may have carried out the request, but its answer did
	// not come: a Push may have stored the record, a Pop may have removed one.
	ErrUncertain = errors.New("outcome uncertain")

	// ErrDisconnected means that the connection broke while a request waited for it. For
	// a Push or Pop it comes with ErrUncertain, unless nothing was sent yet.
	ErrDisconnected = errors.New("the connection was lost")

	// ErrBadName means that a channel or subscriber has a name that no node accepts:
	// names consist of the letters A to Z and a to z, digits, _ and -. A channel has at
	// least one of them, and with its subscriber 251 at most. The legacy protocol has no
	// subscriber names: there it also stands for one that is not empty.
	ErrBadName = errors.New("bad name")

	// ErrNoChannels and ErrTooManyChannels are for a Push to no channel or to more than
	// 255, with legacy 65,536.
	ErrNoChannels      = errors.New("no channel given")
	ErrTooManyChannels = errors.New("too many channels")

	// ErrTooLarge means that a record is larger than Options.MaxMessage allows, with legacy
	// than 10 MiB. Nothing was sent.
	ErrTooLarge = errors.New("the record is too large")

	// ErrEmptyRecord means that a record has no bytes, which the legacy protocol can't
	// store. Nothing was sent.
	ErrEmptyRecord = errors.New("empty record")

	// ErrRejected means that a node does not accept the credentials. It is found in
	// NodeState.Err; requests see a node that is not connected.
	ErrRejected = errors.New("the node rejects the credentials")

	// ErrWrongPort means that what listens at an address speaks another protocol. It is
	// found in NodeState.Err; requests see a node that is not connected.
	ErrWrongPort = errors.New("wrong port")

	// ErrClosed means that the Client, Consumer or Producer was closed. It is net.ErrClosed
	// too.
	ErrClosed error = closedError{}
)

type closedError struct{}

func (closedError) Error() string        { return "closed" }
func (closedError) Is(target error) bool { return target == net.ErrClosed }

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
