package legacy

import (
	"errors"
	"fmt"

	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
)

// Status is a status code of the protocol (legacy protocol spec §2.6). Every value but 200 is an error.
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

// Is makes an answer of a node the same as the error of package dmq that means the same.
func (s Status) Is(target error) bool {
	switch s {
	case ErrNotSupported:
		return target == ErrUnsupported
	case ErrBadChannelName:
		return target == ErrBadName
	case ErrValueTooBig:
		return target == ErrTooLarge
	case ErrEmptyValue:
		return target == ErrEmptyRecord
	}
	return target == ErrNodeError
}

// ErrNoSuchChannelOrSubscribed is the answer of all nodes to a Pop of a channel that
// nothing was ever pushed to, or that has subscribers. A node can't tell them apart for
// a client. After its first Consume a channel stays subscribed until it is removed.
var ErrNoSuchChannelOrSubscribed = errors.New("no such channel, or it has subscribers")
