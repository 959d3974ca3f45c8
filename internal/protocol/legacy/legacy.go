// Package legacy is the legacy wire protocol: bytes to requests and back, without I/O.
// Node and client share it. (legacy protocol spec §2, §6.)
//
// # The bytes
//
// All integers are little-endian. An array is an 8-byte length and that many bytes; a
// list is arrays in a row, closed by an empty one.
//
//	Push          i32(1)  arr(channel) arr(value)    ─▶ i32(status)
//	Pop           i32(2)  arr(channel)               ─▶ i32(200) arr(value) | i32(status)
//	Consume       i32(6)  arr(channel)               ─▶ i32(200) arr(record)… arr("")
//	GetNumConn.   i32(8)                             ─▶ i32(406)
//	PushMulti     i32(9)  list(channels) arr(value)  ─▶ i32(status)
//	Produce       i32(10) arr(channel)               ─▶ i32(200); then arr(record)… arr("")
//	ProduceMulti  i32(11) list(channels)             ─▶ i32(200); then arr(record)… arr("")
//	RemoveChannel i32(12) arr(channel)               ─▶ i32(status)
//
// A run of records, as Produce sends and Consume receives them, is laid out like the
// records in a ring.
//
// The package imports names and nothing else of the node.
package legacy

import (
	"encoding/binary"
	"fmt"
)

// Command is a request code.
type Command int32

// The commands of this protocol; every other code is invalid.
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

func (c Command) String() string {
	switch c {
	case Push:
		return "Push"
	case Pop:
		return "Pop"
	case Consume:
		return "Consume"
	case GetNumConnections:
		return "GetNumConnections"
	case PushMulti:
		return "PushMulti"
	case Produce:
		return "Produce"
	case ProduceMulti:
		return "ProduceMulti"
	case RemoveChannel:
		return "RemoveChannel"
	}
	return fmt.Sprintf("Command(%d)", int32(c))
}

// Status is a reply code.
type Status int32

// The status codes a node may send. Error only answers a Pop: D clients answer it, and
// every unknown number, to a Push with an endless storm of retries (spec Q16).
const (
	OK             Status = 200
	NotSupported   Status = 406
	OutOfMemory    Status = 407
	EmptyValue     Status = 408
	BadChannelName Status = 409
	Error          Status = 500
)

func (s Status) String() string {
	switch s {
	case OK:
		return "OK"
	case NotSupported:
		return "request not supported"
	case OutOfMemory:
		return "out of memory"
	case EmptyValue:
		return "empty value"
	case BadChannelName:
		return "bad channel name"
	case Error:
		return "error"
	}
	return fmt.Sprintf("status %d", int32(s))
}

// Sizes and limits in bytes.
const (
	CodeSize   = 4 // of a command or status
	LengthSize = 8 // of the length of an array

	// MaxArray is the largest array that is accepted (legacy protocol spec §2.4).
	MaxArray = 10 << 20
	// MaxNames and MaxNamesSize bound a list of channels; the original has no limit.
	MaxNames     = 65536
	MaxNamesSize = 16 << 20
)

// AppendCommand appends a request code.
func AppendCommand(b []byte, c Command) []byte {
	return binary.LittleEndian.AppendUint32(b, uint32(c))
}

// AppendStatus appends a reply code.
func AppendStatus(b []byte, s Status) []byte {
	return binary.LittleEndian.AppendUint32(b, uint32(s))
}

// AppendArray appends an array.
func AppendArray[T string | []byte](b []byte, array T) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(len(array)))
	return append(b, array...)
}

// EndMark is the empty array that ends a list or a stream.
var EndMark = make([]byte, LengthSize)
