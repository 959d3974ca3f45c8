package neo

import (
	"encoding/binary"
	"fmt"
)

// A question is a request of our own, which the D node does not have: one message asks, one answers
// (docs/protocol.md). All of them have the same form, so that a client and a node of different
// age get on: what is not known is an answer, never a broken protocol.

// Codes of questions. A node answers those that it does not know with [RequestNotSupported].
const (
	CodeListQueues       Code = 128
	CodeQueueInfo        Code = 129
	CodePeek             Code = 130
	CodeClients          Code = 131
	CodeDisconnect       Code = 132
	CodeClear            Code = 133
	CodeRemoveSubscriber Code = 134
	CodeRemoveChannel    Code = 135
	CodePause            Code = 136
	CodeResume           Code = 137
)

// QuestionVersion is the version of all questions.
const QuestionVersion = 1

// form is how many names a question has, and how many numbers.
type form struct {
	name           string
	names, numbers int
}

var forms = [...]form{
	{"list-queues", 2, 1},       // pattern, after; limit
	{"queue-info", 1, 0},        // queue
	{"peek", 1, 3},              // queue; skip, records, bytes
	{"clients", 1, 0},           // queue or nothing
	{"disconnect", 0, 1},        // client
	{"clear", 1, 0},             // queue
	{"remove-subscriber", 1, 1}, // queue; condition
	{"remove-channel", 1, 0},    // channel
	{"pause", 1, 0},             // queue
	{"resume", 1, 0},            // queue
}

func formOf(code Code) (form, bool) {
	if code < CodeListQueues || int(code-CodeListQueues) >= len(forms) {
		return form{}, false
	}
	return forms[code-CodeListQueues], true
}

// IsQuestion reports whether a request is a question.
func IsQuestion(code Code) bool {
	_, ok := formOf(code)
	return ok
}

// Changes reports whether a question is not only a question: whoever asks has to be allowed to.
func Changes(code Code) bool { return IsQuestion(code) && code >= CodeDisconnect }

// QuestionName is the name of a question in messages.
func QuestionName(code Code) string {
	f, _ := formOf(code)
	return f.name
}

// Question is the first message of a question.
type Question struct {
	Code    Code
	Names   [][]byte // as received, valid or not
	Numbers []uint64
}

// ParseQuestion decodes the fields of a question. Error: [ErrMalformed], which a node answers with
// [QuestionMalformed].
func ParseQuestion(code Code, fields []byte) (Question, error) {
	f, ok := formOf(code)
	if !ok {
		return Question{}, fmt.Errorf("%w: no question has code %d", ErrMalformed, code)
	}
	q := Question{Code: code}
	for range f.names {
		name, rest, ok := cutArray(fields)
		if !ok {
			return Question{}, tooShort(f.name + ", name")
		}
		q.Names, fields = append(q.Names, name), rest
	}
	if len(fields) != f.numbers*countSize {
		return Question{}, fmt.Errorf("%w: %s has %d bytes behind its names, must have %d",
			ErrMalformed, f.name, len(fields), f.numbers*countSize)
	}
	for ; len(fields) > 0; fields = fields[countSize:] {
		q.Numbers = append(q.Numbers, binary.LittleEndian.Uint64(fields))
	}
	return q, nil
}

// AppendQuestion appends the first message of a question, which must have the form of its code.
func AppendQuestion(dst []byte, id uint64, q Question) []byte {
	size := startSize + len(q.Numbers)*countSize
	for _, name := range q.Names {
		size += countSize + len(name)
	}
	dst = AppendFramePrefix(dst, id, size)
	dst = append(dst, byte(q.Code), QuestionVersion)
	for _, name := range q.Names {
		dst = appendArray(dst, name)
	}
	for _, number := range q.Numbers {
		dst = binary.LittleEndian.AppendUint64(dst, number)
	}
	return dst
}

// AnswerStatus begins the answer to a question.
type AnswerStatus uint8

// Statuses of answers. All but the first are followed by a text for people.
const (
	Answered          AnswerStatus = 1
	QuestionDenied    AnswerStatus = 2 // the client may not change anything
	QuestionUnknown   AnswerStatus = 3 // there is no such queue, channel or client
	QuestionMalformed AnswerStatus = 4
	QuestionFailed    AnswerStatus = 5 // the node could not do it
	QuestionInUse     AnswerStatus = 6 // the condition of the question does not hold
)

// Conditions of the removal of a subscriber.
const (
	RemoveAnyway   = 0
	RemoveIfUnused = 1 // if it has no consumers, and no records that no other subscriber gets
)

// AppendAnswerPrefix appends what precedes the body in the node's second message of a question,
// which ends it. The caller has to let body bytes follow.
func AppendAnswerPrefix(dst []byte, id uint64, status AnswerStatus, body int) []byte {
	dst = AppendFramePrefix(dst, id, 1+countSize+body)
	dst = append(dst, byte(status))
	return binary.LittleEndian.AppendUint64(dst, uint64(body))
}

// ParseAnswer decodes the node's second message of a question. A status that is none of the constants
// is returned as it is, and means that the node could not do it. Error: [ErrMalformed].
func ParseAnswer(payload []byte) (status AnswerStatus, body []byte, err error) {
	if len(payload) == 0 {
		return 0, nil, tooShort("answer")
	}
	body, err = parseArray(payload[1:], "answer")
	return AnswerStatus(payload[0]), body, err
}

// PeekState tells what is known of a record that was peeked at.
type PeekState uint8

// States, which add up.
const (
	PeekUnconfirmed PeekState = 1 // a client has it, and has not confirmed it
	PeekReturned    PeekState = 2 // a client has had it before
	PeekCut         PeekState = 4 // there is more of it
)

// PeekRecord is a record that was peeked at.
type PeekRecord struct {
	State PeekState
	Size  uint64 // of the whole record in bytes
	Bytes []byte // what there is of it
}

// AppendPeekRecord appends a record to the body of an answer to Peek.
func AppendPeekRecord(dst []byte, r PeekRecord) []byte {
	dst = append(dst, byte(r.State))
	dst = binary.LittleEndian.AppendUint64(dst, r.Size)
	return appendArray(dst, r.Bytes)
}

// ParsePeekRecords decodes the body of an answer to Peek. Error: [ErrMalformed].
func ParsePeekRecords(body []byte) (records []PeekRecord, err error) {
	for len(body) > 0 {
		if len(body) < 1+countSize {
			return nil, tooShort("peek, record")
		}
		r := PeekRecord{State: PeekState(body[0]), Size: binary.LittleEndian.Uint64(body[1:])}
		var ok bool
		if r.Bytes, body, ok = cutArray(body[1+countSize:]); !ok {
			return nil, tooShort("peek, record")
		}
		if uint64(len(r.Bytes)) > r.Size || (r.State&PeekCut == 0) != (uint64(len(r.Bytes)) == r.Size) {
			return nil, fmt.Errorf("%w: peek, record: %d bytes of %d, state %d", ErrMalformed, len(r.Bytes), r.Size, r.State)
		}
		records = append(records, r)
	}
	return records, nil
}
