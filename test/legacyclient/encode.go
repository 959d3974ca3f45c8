// Package legacyclient is a small client of the legacy protocol for tests.
//
// It is written from the protocol specification (legacy protocol spec §2, §6) alone and
// shares no code with the node, so that a mistake made in both would have to be made
// twice. It does exactly what it is told: it checks no names and no order of calls, and
// the encoders build wrong requests as readily as right ones.
package legacyclient

import "encoding/binary"

// Command is a request code, legacy protocol spec §2.5.
type Command int32

// The requests of the protocol.
const (
	Push              Command = 1
	Pop               Command = 2
	Consume           Command = 6
	GetNumConnections Command = 8
	PushMulti         Command = 9
	Produce           Command = 10
	ProduceMulti      Command = 11
	RemoveChannel     Command = 12
)

// Status is a status code, legacy protocol spec §2.6.
type Status int32

// The status codes that the node sends.
const (
	Ok             Status = 200
	NotSupported   Status = 406
	OutOfMemory    Status = 407
	EmptyValue     Status = 408
	BadChannelName Status = 409
	Error          Status = 500
)

// AppendCommand appends a command code.
func AppendCommand(b []byte, command Command) []byte {
	return binary.LittleEndian.AppendUint32(b, uint32(command))
}

// AppendLength appends the length field of an array whose bytes are not (all) sent.
func AppendLength(b []byte, length uint64) []byte {
	return binary.LittleEndian.AppendUint64(b, length)
}

// AppendArray appends an array, legacy protocol spec §2.2.
func AppendArray(b []byte, data string) []byte {
	return append(AppendLength(b, uint64(len(data))), data...)
}

// AppendStatus appends a status code, as the node sends it.
func AppendStatus(b []byte, status Status) []byte {
	return binary.LittleEndian.AppendUint32(b, uint32(status))
}

// Request returns a command followed by arrays.
func Request(command Command, arrays ...string) []byte {
	b := AppendCommand(nil, command)
	for _, array := range arrays {
		b = AppendArray(b, array)
	}
	return b
}

// ListRequest returns a PushMulti (with its value as tail) or ProduceMulti (no tail):
// a command, the channel list closed by a zero-length array, then arrays.
func ListRequest(command Command, channels []string, tail ...string) []byte {
	b := Request(command, channels...)
	for _, array := range append([]string{""}, tail...) {
		b = AppendArray(b, array)
	}
	return b
}

// Records returns records as arrays, the body of a Produce.
func Records(records ...string) []byte {
	var b []byte
	for _, record := range records {
		b = AppendArray(b, record)
	}
	return b
}
