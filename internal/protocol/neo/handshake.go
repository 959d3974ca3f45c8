package neo

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// MaxSkew is how far the timestamp of a client may be off the node's clock (neo protocol spec §3.3).
const MaxSkew = 1800 * time.Second

// MaxHandshakeFrame is the size in bytes of the longest frame a client may send during the
// handshake, and so of the input a node has to buffer until then.
const MaxHandshakeFrame = HeaderSize + maxAuthenticationBody

// Keys is the credentials table. It is asked once, when the client has named itself.
type Keys interface {
	// Key returns the key of the client of that name. It may not keep name.
	Key(name []byte) (key *Key, ok bool)
}

// Handshake is the node's side of a new connection, up to its authentication:
//
//	version      ← 01                        → 01
//	timestamp    ← time                      → nonce
//	credentials  ← name, code                → 01 accepted or 00 rejected
//	ended
//
// The zero value with Keys set is ready for a connection, and only for one. Time limits
// are up to the owner.
type Handshake struct {
	Keys  Keys
	Now   func() time.Time // the node's clock; nil = time.Now
	Nonce func() Nonce     // a fresh one at each call; nil = a cryptographically random one

	stage     stage
	timestamp uint64    // of the client
	received  time.Time // when it came
	nonce     Nonce
	name      string // set once accepted
	err       error  // once ended
}

// stage is what a handshake waits for.
type stage uint8

const (
	stageVersion stage = iota
	stageTimestamp
	stageCredentials
	stageEnded
)

// Step takes in what was received and not consumed yet, and appends to out what is to be
// sent. n bytes of in are consumed.
//
//   - done: the client is accepted, what follows in in are request frames.
//   - err: close the connection as soon as out is sent. A [*Rejection] is to be logged; the
//     other errors ([ErrVersion], [ErrParity], [ErrType], [ErrLength], [ErrMalformed]) are
//     not.
//   - neither: more input is needed, [MaxHandshakeFrame] bytes at most with those of in
//     that were not consumed.
//
// After the end Step consumes nothing and returns the same outcome.
//
// A client that does not wait for the node's replies is served nevertheless (neo protocol spec §3.1). One that sends
// garbage with its version byte gets no reply at all.
func (h *Handshake) Step(in, out []byte) (n int, reply []byte, done bool, err error) {
	rest, before := in, len(out)
	first := h.stage == stageVersion && len(in) > 1
	for h.stage != stageEnded {
		waiting := len(rest)
		rest, out, err = h.advance(rest, out)
		if err != nil {
			h.stage, h.err = stageEnded, err
		} else if len(rest) == waiting {
			break
		}
	}
	if h.err != nil {
		if first && h.garbage() {
			out = out[:before] // not even the version: the original refuses more than a byte
		}
		return len(in) - len(rest), out, false, h.err
	}
	return len(in) - len(rest), out, h.stage == stageEnded, nil
}

// garbage tells whether the handshake has ended because what followed the version was none.
func (h *Handshake) garbage() bool {
	var rejection *Rejection
	return !errors.Is(h.err, ErrVersion) && !errors.As(h.err, &rejection)
}

// Name returns the name of the client once it is accepted, before that the empty string.
func (h *Handshake) Name() string { return h.name }

// advance does at most one stage. It returns in as it is if that is not complete.
func (h *Handshake) advance(in, out []byte) (rest, reply []byte, err error) {
	switch h.stage {
	case stageVersion:
		return h.version(in, out)
	case stageTimestamp:
		return h.challenge(in, out)
	default:
		return h.verdict(in, out)
	}
}

// version exchanges the version bytes. The node's is sent even if they differ (neo protocol spec §3.1).
func (h *Handshake) version(in, out []byte) (rest, reply []byte, err error) {
	if len(in) == 0 {
		return in, out, nil
	}
	out = append(out, Version)
	if in[0] != Version {
		return in[1:], out, fmt.Errorf("%w %d, allowed is %d", ErrVersion, in[0], Version)
	}
	h.stage = stageTimestamp
	return in[1:], out, nil
}

// challenge takes the timestamp and answers with the nonce. The clock is read now, so that
// it doesn't matter how long the client took (Q3).
func (h *Handshake) challenge(in, out []byte) (rest, reply []byte, err error) {
	body, rest, err := nextAuthentication(in, timestampSize, timestampSize)
	if err != nil || body == nil {
		return in, out, err
	}
	h.timestamp = binary.LittleEndian.Uint64(body)
	h.received = h.now()
	h.nonce = h.newNonce()
	h.stage = stageCredentials
	out = AppendHeader(out, Header{Type: TypeAuthentication, Body: nonceSize})
	return rest, append(out, h.nonce[:]...), nil
}

// verdict takes name and code and judges them.
func (h *Handshake) verdict(in, out []byte) (rest, reply []byte, err error) {
	body, rest, err := nextAuthentication(in, minCredentials, maxAuthenticationBody)
	if err != nil || body == nil {
		return in, out, err
	}
	name, err := parseArray(body[:len(body)-CodeSize], "credentials, client name")
	if err != nil {
		return in, out, err
	}
	out = AppendHeader(out, Header{Type: TypeAuthentication, Body: verdictSize})
	if reason := h.judge(name, body[len(body)-CodeSize:]); reason != 0 {
		return rest, append(out, rejected), &Rejection{string(name), reason}
	}
	h.name = string(name)
	h.stage = stageEnded
	return rest, append(out, accepted), nil
}

// judge applies the rules of neo protocol spec §3.3 in their order. It returns 0 if the client is accepted.
func (h *Handshake) judge(name, code []byte) Reason {
	if len(name) == 0 {
		return NameEmpty
	}
	if len(name) > MaxName {
		return NameTooLong
	}
	key, ok := h.Keys.Key(name)
	if !ok {
		return unknown(name)
	}
	if reason := judgeTimestamp(h.timestamp, h.received.Unix()); reason != 0 {
		return reason
	}
	want := AuthenticationCode(key, h.timestamp, h.nonce)
	if subtle.ConstantTimeCompare(want[:], code) != 1 {
		return CodeDiffers
	}
	return 0
}

func judgeTimestamp(timestamp uint64, now int64) Reason {
	if timestamp > math.MaxInt64 {
		return TimestampTooLarge
	}
	if timestamp == 0 {
		return TimestampZero
	}
	// The difference of two signed numbers, computed unsigned, can't overflow.
	skew := timestamp - uint64(now)
	if int64(timestamp) < now {
		skew = -skew
	}
	if skew > uint64(MaxSkew/time.Second) {
		return TimestampOff
	}
	return 0
}

// unknown tells the names a credentials file can't have from those it just doesn't have.
func unknown(name []byte) Reason {
	for _, c := range name {
		if c < 0x21 || c > 0x7e {
			return NameCharacter
		}
	}
	return NameUnknown
}

func (h *Handshake) now() time.Time {
	if h.Now == nil {
		return time.Now()
	}
	return h.Now()
}

func (h *Handshake) newNonce() (nonce Nonce) {
	if h.Nonce == nil {
		rand.Read(nonce[:]) // never fails: without randomness the process ends
		return nonce
	}
	return h.Nonce()
}
