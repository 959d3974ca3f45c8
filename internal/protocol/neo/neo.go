// Package neo translates between bytes and the messages of the neo protocol, for the node
// and for clients. It is pure: no I/O, no goroutines, no state but that of [Handshake].
// Section numbers (§) refer to the neo protocol specification.
//
// A connection starts with one version byte each way and four authentication frames
// ([Handshake] is the node's side, the functions in authentication.go are the client's).
// From then on it carries request frames, of many requests at once:
//
//	      header, 10 bytes                      body, as long as announced
//	┌──────┬─────────────┬────────┬────────────┬───────────────────────────┐
//	│ type │ body length │ parity │ request id │ payload                   │
//	│  u8  │     u64     │   u8   │    u64     │                           │
//	└──────┴─────────────┴────────┴────────────┴───────────────────────────┘
//
// The parity makes the XOR of the ten header bytes 0. Integers are little-endian. An array
// is its length in a u64 and then its bytes. An authentication frame has no request id: its
// body is the message.
//
// A request is a first message of the client (a code, a version, fields), the node's
// support status, and what the request adds:
//
//	Push v3     channels, value        → fd, status
//	Pop v1      channel                → fd, status [value]
//	Consume v4  channel, subscriber    → fd, status, Records …, Stopped or ChannelRemoved
//	                                     one Continue or Stop for each Records
//
// and, of our own, which the D node does not have (docs/protocol.md),
//
//	PopWait v1  channel, subscriber, … → fd, status [value]
//	Work v1     channel, subscriber, … → fd, status, Records …, Stopped or ChannelRemoved
//	                                     one Confirm, Return or Release for each Records
//
// Decoders return slices of their input, so their results live as long as the input does.
// They consume a message exactly: bytes missing and bytes left over are errors. They check
// every length against the bytes that are there before they use it, whatever a peer
// announces, and never panic. Encoders append to a given slice. Neither allocates, except
// for errors, the growth of a slice that is too short, and in the handshake.
//
// Functions may be called concurrently; a value may not be used so.
package neo

import "errors"

// Version is the only version of the protocol, the byte each side sends first (neo protocol spec §3.1).
const Version = 1

// What can be wrong with received bytes. Every one of them is a protocol error: the
// receiver closes the connection, since the protocol has no error message (neo protocol spec §1). The
// errors returned wrap one of these and tell the values found and those allowed.
var (
	ErrVersion   = errors.New("wrong protocol version")
	ErrParity    = errors.New("wrong frame header parity")
	ErrType      = errors.New("wrong frame type")
	ErrLength    = errors.New("wrong frame body length")
	ErrRequestID = errors.New("wrong request id")
	ErrMalformed = errors.New("malformed message")
)
