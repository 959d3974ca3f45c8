package neo

import "encoding/binary"

// PopStatus begins the node's second message of a Pop (neo protocol spec §10).
type PopStatus uint8

// Pop statuses. All end the request.
const (
	Popped        PopStatus = 1 // the value follows
	PopEmpty      PopStatus = 2
	PopError      PopStatus = 3 // node error
	PopSubscribed PopStatus = 4 // the channel has subscribers, popping is impossible
	PopMalformed  PopStatus = 5 // of a PopWait: the message is
)

// PoppedPrefixSize is the size in bytes of what [AppendPoppedPrefix] appends.
const PoppedPrefixSize = FramePrefixSize + 1 + countSize

// ParsePop decodes the fields of a Pop. The name is as received, valid or not. Error:
// [ErrMalformed].
func ParsePop(fields []byte) (channel []byte, err error) {
	return parseArray(fields, "Pop, channel name")
}

// AppendPopStatus appends the node's second message of a Pop that has no value.
func AppendPopStatus(dst []byte, id uint64, status PopStatus) []byte {
	return appendByteFrame(dst, id, byte(status))
}

// AppendPopped appends the node's second message of a Pop that has one.
func AppendPopped(dst []byte, id uint64, value []byte) []byte {
	return append(AppendPoppedPrefix(dst, id, len(value)), value...)
}

// AppendPoppedPrefix appends what precedes the value in the node's second message of a Pop that
// has one. The caller has to let value bytes follow.
func AppendPoppedPrefix(dst []byte, id uint64, value int) []byte {
	dst = AppendFramePrefix(dst, id, 1+countSize+value)
	dst = append(dst, byte(Popped))
	return binary.LittleEndian.AppendUint64(dst, uint64(value))
}

// AppendPop appends the first message of a Pop.
func AppendPop(dst []byte, id uint64, channel string) []byte {
	dst = AppendFramePrefix(dst, id, startSize+countSize+len(channel))
	dst = append(dst, byte(CodePop), PopVersion)
	return appendArray(dst, channel)
}

// ParsePopReply decodes the node's second message of a Pop. value is nil unless status is
// [Popped]. A status that is none of the constants is returned as it is and means an error
// of the node, too. Error: [ErrMalformed].
func ParsePopReply(payload []byte) (status PopStatus, value []byte, err error) {
	if len(payload) > 0 && PopStatus(payload[0]) == Popped {
		value, err = parseArray(payload[1:], "Pop, value")
		return Popped, value, err
	}
	b, err := parseByte(payload, "Pop status")
	return PopStatus(b), nil, err
}
