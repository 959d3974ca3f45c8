package legacy

import (
	"encoding/binary"
	"fmt"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/internal/core"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
)

// request is what is sent to a node before the status.
type request struct {
	command  wire.Command
	channels []string
	head     []byte // all but value
	value    []byte // bytes of the array whose length is the end of head

	// repeatable: if the connection breaks before the status, sending it again does no
	// harm (legacy protocol spec §11.10).
	repeatable bool

	stream bool // it keeps its connection until somebody ends it
}

// newRequest begins a request for channels, which are checked.
func newRequest(command wire.Command, channels ...string) request {
	r := request{command: command, channels: channels, head: wire.AppendCommand(nil, command)}
	for _, channel := range channels {
		r.head = wire.AppendArray(r.head, channel)
	}
	if command == wire.PushMulti || command == wire.ProduceMulti {
		r.head = append(r.head, wire.EndMark...)
	}
	return r
}

// choose returns the command for one channel or the one for several.
func choose(channels []string, one, several wire.Command) wire.Command {
	if len(channels) == 1 {
		return one
	}
	return several
}

// setValue ends a request with a value, which is not copied.
func (r *request) setValue(value []byte) {
	r.head = appendLength(r.head, value)
	r.value = value
}

// appendLength appends what precedes the bytes of an array (legacy protocol spec §2.2).
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

// fail wraps the reason why a request failed that has to do with no node.
func (r *request) fail(err error) error { return core.Fail(r.command.String(), r.channels, err) }

// failAt wraps the reasons why a request has failed at nodes.
func (r *request) failAt(f core.Failures) error {
	return core.FailAt(r.command.String(), r.channels, f)
}
