package neo

import (
	"encoding/binary"
	"fmt"
)

// A Work is a Consume for work queues (docs/protocol.md): the client says how large a batch is at
// most, may have several, and settles each by its number. It begins with a [ConsumeStatus] and ends
// with [Stopped] or [ChannelRemoved].

// Work is the first message of a Work. The names are as received, valid or not.
type Work struct {
	Channel    []byte
	Subscriber []byte // may be empty
	Records    uint64 // of a batch at most; 0 = any number
	Bytes      uint64 // at which a batch ends; 0 = [MinBatch]
	Batches    uint64 // unsettled at most
}

// ParseWork decodes the fields of a Work. Error: [ErrMalformed].
func ParseWork(fields []byte) (Work, error) {
	var w Work
	var numbers [3]uint64
	var err error
	w.Channel, w.Subscriber, err = parseNamesAndNumbers(fields, numbers[:], "Work")
	w.Records, w.Bytes, w.Batches = numbers[0], numbers[1], numbers[2]
	return w, err
}

// AppendWork appends the first message of a Work.
func AppendWork(dst []byte, id uint64, channel, subscriber string, records, bytes, batches uint64) []byte {
	return appendNamesAndNumbers(dst, id, CodeWork, WorkVersion, channel, subscriber, records, bytes, batches)
}

// Batch is a Records message of a Work.
type Batch struct {
	Number  uint64 // 1, 2, …
	Tries   uint64 // deliveries of each of the records before, which were not confirmed
	Records Arrays // at least one
}

// BatchPrefixSize is the size in bytes of what [AppendBatchPrefix] appends.
const BatchPrefixSize = RecordsPrefixSize + 2*countSize

// AppendBatchPrefix appends what precedes the records of a Records message. The caller has to let
// them follow, size bytes: each a u64 length and the bytes.
func AppendBatchPrefix(dst []byte, id, number, tries uint64, size int) []byte {
	dst = AppendFramePrefix(dst, id, 1+3*countSize+size)
	dst = append(dst, byte(Records))
	dst = binary.LittleEndian.AppendUint64(dst, number)
	dst = binary.LittleEndian.AppendUint64(dst, tries)
	return binary.LittleEndian.AppendUint64(dst, uint64(size))
}

// ParseWorkMessage decodes what a node sends after Started. batch is that of a Records message.
// Error: [ErrMalformed], also for other types.
func ParseWorkMessage(payload []byte) (message ConsumeMessage, batch Batch, err error) {
	if len(payload) == 0 || ConsumeMessage(payload[0]) != Records {
		message, _, err = ParseConsumeMessage(payload)
		return message, Batch{}, err
	}
	fields := payload[1:]
	if len(fields) < 2*countSize {
		return 0, Batch{}, tooShort("Work, batch")
	}
	batch.Number = binary.LittleEndian.Uint64(fields)
	batch.Tries = binary.LittleEndian.Uint64(fields[countSize:])
	batch.Records, err = parseBatch(fields[2*countSize:])
	return Records, batch, err
}

// Settlement is what a client says of a batch. Its codes are none of a request, so that one which has
// crossed the end of its Work is told from the start of another.
type Settlement uint8

// Settlements.
const (
	Confirm Settlement = 0xf1 // it is done
	Return  Settlement = 0xf2 // it is to be delivered again after a delay: the delivery has failed
	Release Settlement = 0xf3 // it is to be delivered again, as if it had not been
)

// Settling is a client's message about a batch.
type Settling struct {
	Settlement
	Number uint64
	Delay  uint64 // of a Return, in milliseconds
}

// IsSettlement reports whether a message on an id without request is about a batch of a Work that is
// over; it is to be discarded.
func IsSettlement(code Code) bool {
	return code >= Code(Confirm) && code <= Code(Release)
}

// ParseSettling decodes a client's message about a batch. Error: [ErrMalformed].
func ParseSettling(payload []byte) (Settling, error) {
	if len(payload) == 0 || !IsSettlement(Code(payload[0])) {
		return Settling{}, fmt.Errorf("%w: feedback of a Work begins with none of %x, %x, %x", ErrMalformed, Confirm, Return, Release)
	}
	s := Settling{Settlement: Settlement(payload[0])}
	fields := payload[1:]
	want := countSize
	if s.Settlement == Return {
		want += countSize
	}
	if len(fields) != want {
		return Settling{}, fmt.Errorf("%w: feedback %x of a Work has %d bytes, must have %d", ErrMalformed, payload[0], len(fields), want)
	}
	s.Number = binary.LittleEndian.Uint64(fields)
	if s.Settlement == Return {
		s.Delay = binary.LittleEndian.Uint64(fields[countSize:])
	}
	return s, nil
}

// AppendSettling appends a client's message about a batch.
func AppendSettling(dst []byte, id uint64, s Settling) []byte {
	size := 1 + countSize
	if s.Settlement == Return {
		size += countSize
	}
	dst = append(AppendFramePrefix(dst, id, size), byte(s.Settlement))
	dst = binary.LittleEndian.AppendUint64(dst, s.Number)
	if s.Settlement == Return {
		dst = binary.LittleEndian.AppendUint64(dst, s.Delay)
	}
	return dst
}
