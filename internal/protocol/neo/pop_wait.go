package neo

import (
	"encoding/binary"
	"fmt"
)

// PopWait is the first message of a PopWait, a Pop that waits for a record (docs/protocol.md). The
// names are as received, valid or not. The node answers as to a Pop, or with [PopMalformed]; until
// then the client may send [AppendCancel].
type PopWait struct {
	Channel      []byte
	Subscriber   []byte // may be empty
	Milliseconds uint64 // how long to wait
}

// ParsePopWait decodes the fields of a PopWait. Error: [ErrMalformed].
func ParsePopWait(fields []byte) (PopWait, error) {
	var p PopWait
	var numbers [1]uint64
	var err error
	p.Channel, p.Subscriber, err = parseNamesAndNumbers(fields, numbers[:], "PopWait")
	p.Milliseconds = numbers[0]
	return p, err
}

// AppendPopWait appends the first message of a PopWait.
func AppendPopWait(dst []byte, id uint64, channel, subscriber string, milliseconds uint64) []byte {
	return appendNamesAndNumbers(dst, id, CodePopWait, PopWaitVersion, channel, subscriber, milliseconds)
}

// cancel is what a client sends to wait no longer: none of a Feedback, so that one which has crossed
// the answer needs none.
const cancel = 0xf4

// AppendCancel appends a client's message after that of a PopWait.
func AppendCancel(dst []byte, id uint64) []byte { return appendByteFrame(dst, id, cancel) }

// IsCancel reports whether a message is that. On an id without request it is to be discarded.
func IsCancel(payload []byte) bool { return len(payload) == 1 && payload[0] == cancel }

// parseNamesAndNumbers decodes the names of a channel and a subscriber, and numbers behind them.
func parseNamesAndNumbers(fields []byte, numbers []uint64, what string) (channel, subscriber []byte, err error) {
	channel, rest, ok := cutArray(fields)
	if !ok {
		return nil, nil, tooShort(what + ", channel name")
	}
	subscriber, rest, ok = cutArray(rest)
	if !ok {
		return nil, nil, tooShort(what + ", subscriber name")
	}
	if want := len(numbers) * countSize; len(rest) != want {
		return nil, nil, fmt.Errorf("%w: %s has %d bytes behind its names, must have %d", ErrMalformed, what, len(rest), want)
	}
	for i := range numbers {
		numbers[i] = binary.LittleEndian.Uint64(rest[i*countSize:])
	}
	return channel, subscriber, nil
}

func appendNamesAndNumbers(dst []byte, id uint64, code Code, version uint8, channel, subscriber string, numbers ...uint64) []byte {
	dst = AppendFramePrefix(dst, id, startSize+countSize+len(channel)+countSize+len(subscriber)+len(numbers)*countSize)
	dst = append(dst, byte(code), version)
	dst = appendArray(appendArray(dst, channel), subscriber)
	for _, n := range numbers {
		dst = binary.LittleEndian.AppendUint64(dst, n)
	}
	return dst
}
