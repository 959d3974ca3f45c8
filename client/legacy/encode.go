package legacy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
)

// request is what is sent to a node before the status.
type request struct {
	command wire.Command
	channel string // for messages
	head    []byte // all but value
	value   []byte // bytes of the array whose length is the end of head

	// repeatable: if the connection breaks before the status, sending it again does no
	// harm (§11.10).
	repeatable bool

	stream bool // it keeps its connection until somebody ends it
}

// newRequest begins a request for one channel.
func newRequest(command wire.Command, channel string) request {
	head := wire.AppendCommand(nil, command)
	return request{command: command, channel: channel, head: wire.AppendArray(head, channel)}
}

// newMultiRequest begins a request for a list of channels, or tells what is wrong with it.
func newMultiRequest(command wire.Command, channels []string) (request, error) {
	req := request{command: command, channel: strings.Join(channels, ",")}
	if len(channels) == 0 {
		return req, req.fail(nil, errors.New("no channel given"))
	}
	if len(channels) > wire.MaxNames {
		req.channel = "" // would be a long message
		return req, req.fail(nil, fmt.Errorf("%d channels, allowed are %d", len(channels), wire.MaxNames))
	}
	req.head = wire.AppendCommand(nil, command)
	for _, channel := range channels {
		if err := checkName(channel); err != nil {
			return req, req.fail(nil, fmt.Errorf("%q: %w", channel, err))
		}
		req.head = wire.AppendArray(req.head, channel)
	}
	req.head = append(req.head, wire.EndMark...)
	return req, nil
}

// setValue ends a request with a value, which is not copied.
func (r *request) setValue(value []byte) {
	r.head = appendLength(r.head, value)
	r.value = value
}

// appendLength appends what precedes the bytes of an array (§2.2).
func appendLength(b, array []byte) []byte {
	return binary.LittleEndian.AppendUint64(b, uint64(len(array)))
}

// refusal is the error that a status other than 200 stands for.
func (r *request) refusal(status Status) error {
	switch {
	case status == ErrInternal && r.command == wire.Pop:
		return ErrNoSuchChannelOrSubscribed
	case !r.repeatable && (status == ErrInternal || !status.known()):
		return fmt.Errorf("%w: %w", ErrUncertain, status)
	}
	return status
}

// checkName finds what the node would answer 409 to. A node of the original kind does
// not survive a bad name in Consume, so none may leave (§11.1).
func checkName(channel string) error {
	if names.ValidChannel([]byte(channel)) {
		return nil
	}
	return fmt.Errorf("%w: want 1 to %d of A-Z a-z 0-9 _ -", ErrBadChannelName, names.MaxChannel)
}

// checkValue finds what the node would answer 408 to, or close the connection for. In a
// Produce, an empty record would end it.
func checkValue(value []byte) error {
	switch {
	case len(value) == 0:
		return ErrEmptyValue
	case len(value) > MaxValue:
		return fmt.Errorf("%w: %d bytes, allowed are %d", ErrValueTooBig, len(value), MaxValue)
	}
	return nil
}
