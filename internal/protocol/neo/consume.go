package neo

import (
	"encoding/binary"
	"fmt"
)

// MinBatch is the batch length in bytes, record lengths included, at which a node stops
// adding records (neo protocol spec §11.3). A batch is longer by at most one record, or shorter if there are
// no more.
const MinBatch = 100_000

// ConsumeStatus is the node's second message of a Consume (neo protocol spec §11.1).
type ConsumeStatus uint8

// Consume statuses. Only after Started does the request go on.
const (
	Started      ConsumeStatus = 1
	ConsumeError ConsumeStatus = 2 // node error
	Malformed    ConsumeStatus = 3 // of a Work: the message is
)

// Feedback is what a client sends after Started: one for each Records, and Stop also at
// any other time (neo protocol spec §11.2).
type Feedback uint8

// Feedback messages.
const (
	Continue Feedback = 1 // batch processed, send the next
	Stop     Feedback = 2
)

// ConsumeMessage is the type of what a node sends after Started (neo protocol spec §11.1).
type ConsumeMessage uint8

// Messages of a node. Stopped and ChannelRemoved end the request: nothing follows them.
const (
	Records        ConsumeMessage = 3 // a batch follows
	Stopped        ConsumeMessage = 4
	ChannelRemoved ConsumeMessage = 5
)

// RecordsPrefixSize is the size in bytes of what [AppendRecordsPrefix] appends.
const RecordsPrefixSize = FramePrefixSize + 1 + countSize

// Consume is the first message of a Consume (neo protocol spec §11.1). The names are as received, valid or
// not.
type Consume struct {
	Channel    []byte
	Subscriber []byte // may be empty
}

// ParseConsume decodes the fields of a Consume. Error: [ErrMalformed].
func ParseConsume(fields []byte) (Consume, error) {
	channel, rest, ok := cutArray(fields)
	if !ok {
		return Consume{}, tooShort("Consume, channel name")
	}
	subscriber, err := parseArray(rest, "Consume, subscriber name")
	if err != nil {
		return Consume{}, err
	}
	return Consume{channel, subscriber}, nil
}

// ParseFeedback decodes a client's message on the id of an active Consume. Error:
// [ErrMalformed] for anything but the one byte of Continue or Stop.
//
// A node gives it also one-byte messages on ids without request, because feedback may
// cross the end of a Consume (neo protocol spec §11.5). There Continue is to be discarded and Stop to be
// answered with [Stopped] (neo protocol spec §15).
func ParseFeedback(payload []byte) (Feedback, error) {
	b, err := parseByte(payload, "Consume feedback")
	if err != nil {
		return 0, err
	}
	feedback := Feedback(b)
	if feedback != Continue && feedback != Stop {
		return 0, fmt.Errorf("%w: Consume feedback is %d, allowed are %d and %d", ErrMalformed, b, Continue, Stop)
	}
	return feedback, nil
}

// AppendConsumeStatus appends the node's second message of a Consume.
func AppendConsumeStatus(dst []byte, id uint64, status ConsumeStatus) []byte {
	return appendByteFrame(dst, id, byte(status))
}

// AppendRecordsPrefix appends what precedes the batch of a Records message. The caller has
// to let the batch follow, batch bytes: at least one record, each a u64 length and the
// bytes. A caller that learns the length of the batch only from copying it leaves
// [RecordsPrefixSize] bytes free in front of it, and appends to a slice of them.
func AppendRecordsPrefix(dst []byte, id uint64, batch int) []byte {
	dst = AppendFramePrefix(dst, id, 1+countSize+batch)
	dst = append(dst, byte(Records))
	return binary.LittleEndian.AppendUint64(dst, uint64(batch))
}

// AppendStopped appends the message that answers Stop.
func AppendStopped(dst []byte, id uint64) []byte {
	return appendByteFrame(dst, id, byte(Stopped))
}

// AppendChannelRemoved appends the message that ends a Consume whose channel was removed.
func AppendChannelRemoved(dst []byte, id uint64) []byte {
	return appendByteFrame(dst, id, byte(ChannelRemoved))
}

// AppendConsume appends the first message of a Consume.
func AppendConsume(dst []byte, id uint64, channel, subscriber string) []byte {
	dst = AppendFramePrefix(dst, id, startSize+countSize+len(channel)+countSize+len(subscriber))
	dst = append(dst, byte(CodeConsume), ConsumeVersion)
	return appendArray(appendArray(dst, channel), subscriber)
}

// AppendFeedback appends a client's message after Started.
func AppendFeedback(dst []byte, id uint64, feedback Feedback) []byte {
	return appendByteFrame(dst, id, byte(feedback))
}

// ParseConsumeStatus decodes the node's second message of a Consume. A value that is none
// of the statuses is returned as it is and means an error of the node, too.
func ParseConsumeStatus(payload []byte) (ConsumeStatus, error) {
	b, err := parseByte(payload, "Consume status")
	return ConsumeStatus(b), err
}

// ParseConsumeMessage decodes what a node sends after Started. batch holds the records of
// a Records message, at least one, each of which may be empty. Error: [ErrMalformed], also
// for other types and for a batch that is not made up of whole records.
func ParseConsumeMessage(payload []byte) (message ConsumeMessage, batch Arrays, err error) {
	if len(payload) > 0 && ConsumeMessage(payload[0]) == Records {
		batch, err = parseBatch(payload[1:])
		return Records, batch, err
	}
	b, err := parseByte(payload, "Consume message")
	if err != nil {
		return 0, Arrays{}, err
	}
	message = ConsumeMessage(b)
	if message != Stopped && message != ChannelRemoved {
		return 0, Arrays{}, fmt.Errorf("%w: Consume message has type %d, allowed are %d, %d and %d",
			ErrMalformed, b, Records, Stopped, ChannelRemoved)
	}
	return message, Arrays{}, nil
}

func parseBatch(b []byte) (Arrays, error) {
	batch, err := parseArray(b, "Consume, batch")
	if err != nil {
		return Arrays{}, err
	}
	if len(batch) == 0 {
		return Arrays{}, fmt.Errorf("%w: Consume, batch has no records, must have at least 1", ErrMalformed)
	}
	return parseArrays(batch, "Consume, record of a batch")
}
