package neo

import (
	"errors"
	"fmt"
)

// MaxPushChannels is the number of channels one Push can name.
const MaxPushChannels = 255

// ErrTooManyChannels is the error of [AppendPush].
var ErrTooManyChannels = errors.New("too many channels in a Push")

// PushStatus is the node's second message of a Push (neo protocol spec §9).
type PushStatus uint8

// Push statuses. Both end the request.
const (
	Pushed    PushStatus = 1 // to all channels
	PushError PushStatus = 2 // node error, nothing pushed
)

// Push is the first message of a Push (neo protocol spec §9): store Value in each of Channels, in their
// order, as often as a channel is named. There may be no channels, and Value may be
// empty. The names are as received, valid or not.
type Push struct {
	Channels Arrays
	Value    []byte
}

// ParsePush decodes the fields of a Push. Error: [ErrMalformed].
func ParsePush(fields []byte) (Push, error) {
	if len(fields) == 0 {
		return Push{}, tooShort("Push, number of channels")
	}
	channels, rest, ok := cutArrays(fields[1:], int(fields[0]))
	if !ok {
		return Push{}, tooShort("Push, channel name")
	}
	value, err := parseArray(rest, "Push, value")
	if err != nil {
		return Push{}, err
	}
	return Push{channels, value}, nil
}

// AppendPushStatus appends the node's second message of a Push.
func AppendPushStatus(dst []byte, id uint64, status PushStatus) []byte {
	return appendByteFrame(dst, id, byte(status))
}

// AppendPush appends the first message of a Push. Error: [ErrTooManyChannels], which
// leaves dst as it is.
func AppendPush(dst []byte, id uint64, channels []string, value []byte) ([]byte, error) {
	if len(channels) > MaxPushChannels {
		return dst, fmt.Errorf("%w: %d, allowed are %d", ErrTooManyChannels, len(channels), MaxPushChannels)
	}
	size := startSize + 1 + countSize + len(value)
	for _, channel := range channels {
		size += countSize + len(channel)
	}
	dst = AppendFramePrefix(dst, id, size)
	dst = append(dst, byte(CodePush), PushVersion, byte(len(channels)))
	for _, channel := range channels {
		dst = appendArray(dst, channel)
	}
	return appendArray(dst, value), nil
}

// ParsePushStatus decodes the node's second message of a Push. A value that is none of the
// statuses is returned as it is and means an error of the node, too.
func ParsePushStatus(payload []byte) (PushStatus, error) {
	b, err := parseByte(payload, "Push status")
	return PushStatus(b), err
}
