package neo

import "strconv"

// Reason says why a client was rejected (neo protocol spec §3.3).
type Reason uint8

// Reasons in the order in which they are looked for; the first that holds is given.
const (
	NameEmpty Reason = iota + 1
	NameTooLong
	NameCharacter // not in the table, and could not be
	NameUnknown   // not in the table
	TimestampTooLarge
	TimestampZero
	TimestampOff
	CodeDiffers
)

// String returns the reason in the words of the log.
func (r Reason) String() string {
	switch r {
	case NameEmpty:
		return "empty client name"
	case NameTooLong:
		return "client name too long, allowed are " + strconv.Itoa(MaxName) + " bytes"
	case NameCharacter:
		return "invalid character in client name"
	case NameUnknown:
		return "unknown client name"
	case TimestampTooLarge:
		return "time stamp too large"
	case TimestampZero:
		return "time stamp is zero"
	case TimestampOff:
		return "time stamp is more than 30 minutes off the clock of this node"
	case CodeDiffers:
		return "wrong authentication code: the client has another key"
	}
	return "reason " + strconv.Itoa(int(r))
}

// Rejection is the error of [Handshake.Step] for a client that kept to the protocol but is
// not let in. Unlike protocol errors it is to be logged (neo protocol spec §3.4).
type Rejection struct {
	Name   string // as received, up to 927 arbitrary bytes
	Reason Reason
}

// Error quotes the name, so that no client can write control characters into the log (Q2), and
// cuts one that is longer than a name can be.
func (r *Rejection) Error() string {
	name, cut := r.Name, ""
	if len(name) > MaxName {
		name, cut = name[:MaxName], "..."
	}
	return "client " + strconv.QuoteToASCII(name) + cut + " rejected: " + r.Reason.String()
}
