package neo

import "fmt"

// MaxRequests is the number of requests that may be active on one connection (neo protocol spec §7.4).
const MaxRequests = 5000

// Code says what a request asks for (neo protocol spec §8).
type Code uint8

// Request codes.
const (
	CodePush    Code = 1
	CodePop     Code = 2
	CodeConsume Code = 6
	CodePopWait Code = 138 // ours: see PopWait
	CodeWork    Code = 139 // ours: see Work
)

// Versions of the requests that a node supports, and no other (neo protocol spec §8).
const (
	PushVersion    = 3
	PopVersion     = 1
	ConsumeVersion = 4
	PopWaitVersion = 1
	WorkVersion    = 1
)

// Support is the node's first message of each request (neo protocol spec §7.2).
type Support uint8

// Support statuses. Only after Supported does the request go on.
const (
	Supported           Support = 0xfd
	VersionNotSupported Support = 0xfe
	RequestNotSupported Support = 0xff
)

// Supports returns the status a node answers a request of that code and version with.
func Supports(code Code, version uint8) Support {
	var supported uint8
	switch code {
	case CodePush:
		supported = PushVersion
	case CodePop:
		supported = PopVersion
	case CodeConsume:
		supported = ConsumeVersion
	case CodePopWait:
		supported = PopWaitVersion
	case CodeWork:
		supported = WorkVersion
	default:
		if !IsQuestion(code) {
			return RequestNotSupported
		}
		supported = QuestionVersion
	}
	if version != supported {
		return VersionNotSupported
	}
	return Supported
}

// startSize is the size of code and version.
const startSize = 2

// ParseStart decodes what the first message of every request begins with (neo protocol spec §7.2). fields
// is the rest, to be given to [ParsePush], [ParsePop] or [ParseConsume] after [Supports]
// and after the support status was sent.
//
// A shorter payload is an error, which for a node means: a one-byte message on an id
// without request. It may be feedback that crossed the end of a Consume and then is legal,
// see [ParseFeedback].
func ParseStart(payload []byte) (code Code, version uint8, fields []byte, err error) {
	if len(payload) < startSize {
		return 0, 0, nil, fmt.Errorf("%w: the start of a request has %d bytes, must have at least %d",
			ErrMalformed, len(payload), startSize)
	}
	return Code(payload[0]), payload[1], payload[startSize:], nil
}

// AppendSupport appends the node's first message of a request. It is always a frame of
// its own; what the node has to say besides follows in further frames.
func AppendSupport(dst []byte, id uint64, support Support) []byte {
	return appendByteFrame(dst, id, byte(support))
}

// ParseSupport decodes the node's first message of a request. A value that is none of the
// statuses is returned as it is; like the negative ones it ends the request.
func ParseSupport(payload []byte) (Support, error) {
	b, err := parseByte(payload, "support status")
	return Support(b), err
}
