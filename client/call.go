package client

import (
	"context"
	"fmt"
	"sync"

	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// call is one Push, Pop or question (docs/protocol.md) at one node, from its first message to
// the answer. Between start and finish it belongs to the connection, under its lock; before and
// after to who made it.
type call struct {
	code  wire.Code
	owner owner // told of the end

	id        uint64 // of the request on its connection
	batch     uint64 // which write of the connection it is part of
	supported bool   // the first of the two answers has come
	abandoned bool   // nobody waits any more, the id is still in use
	patient   bool   // the answer may take its time

	err   error  // the outcome
	value []byte // of a Pop, or the answer to a question, if err is nil
}

// owner is who waits for the end of a call. finished is called without any lock; it must
// not block.
type owner interface {
	finished()
}

// single is a call that one goroutine waits for.
type single struct {
	call
	done chan struct{} // one token when finished
}

func (s *single) finished() { s.done <- struct{}{} }

var singles = sync.Pool{New: func() any {
	s := &single{done: make(chan struct{}, 1)}
	s.owner = s
	return s
}}

func newSingle(code wire.Code) *single {
	s := singles.Get().(*single)
	s.code = code
	return s
}

// release returns s for reuse. It must not be abandoned.
func (s *single) release() {
	s.value, s.err = nil, nil
	singles.Put(s)
}

// await waits for the end of a call that conn has, and releases s.
func (s *single) await(ctx context.Context, conn *conn) ([]byte, error) {
	select {
	case <-s.done:
	case <-ctx.Done():
		if conn.abandon(&s.call) {
			return nil, s.unanswered(context.Cause(ctx))
		}
		<-s.done
	}
	defer s.release()
	return s.value, s.err
}

// unanswered returns the outcome of a call that was sent and not answered.
func (k *call) unanswered(reason error) error {
	if wire.IsQuestion(k.code) && !wire.Changes(k.code) {
		return reason
	}
	return fmt.Errorf("%w: %w", ErrUncertain, reason)
}

// answer takes in a message of the node. over tells whether it was the last one, and then
// the outcome is set. err is a breach of the protocol.
func (k *call) answer(payload []byte) (over bool, err error) {
	if !k.supported {
		support, err := wire.ParseSupport(payload)
		if err != nil {
			return false, err
		}
		k.supported = support == wire.Supported
		k.err = supportError(support)
		return !k.supported, nil
	}
	switch {
	case wire.IsQuestion(k.code):
		status, body, err := wire.ParseAnswer(payload)
		if err != nil {
			return false, err
		}
		if k.err = questionError(status, body); k.err == nil {
			k.value = append([]byte{}, body...)
		}
	case k.code == wire.CodePush:
		status, err := wire.ParsePushStatus(payload)
		if err != nil {
			return false, err
		}
		k.err = pushError(status)
	default:
		status, value, err := wire.ParsePopReply(payload)
		if err != nil {
			return false, err
		}
		if k.err = popError(status); k.err == nil {
			k.value = append([]byte{}, value...)
		}
	}
	return true, nil
}

// supportError returns the outcome of a request with that support status, nil if it goes
// on.
func supportError(support wire.Support) error {
	switch support {
	case wire.Supported:
		return nil
	case wire.RequestNotSupported:
		return ErrUnsupported
	case wire.VersionNotSupported:
		return fmt.Errorf("%w in this version", ErrUnsupported)
	}
	return fmt.Errorf("%w: unknown support status %d", ErrNodeError, int8(support))
}

func pushError(status wire.PushStatus) error {
	switch status {
	case wire.Pushed:
		return nil
	case wire.PushError:
		return ErrNodeError
	}
	return fmt.Errorf("%w: unknown Push status %d", ErrNodeError, int8(status))
}

func popError(status wire.PopStatus) error {
	switch status {
	case wire.Popped:
		return nil
	case wire.PopEmpty:
		return ErrEmpty
	case wire.PopSubscribed:
		return ErrHasSubscribers
	case wire.PopError:
		return ErrNodeError
	}
	return fmt.Errorf("%w: unknown Pop status %d", ErrNodeError, int8(status))
}

// questionError returns the outcome of a question. text is the node's, for people.
func questionError(status wire.AnswerStatus, text []byte) error {
	reason := ErrNodeError
	switch status {
	case wire.Answered:
		return nil
	case wire.QuestionDenied:
		reason = ErrDenied
	case wire.QuestionUnknown:
		reason = ErrNotFound
	case wire.QuestionInUse:
		reason = ErrInUse
	case wire.QuestionMalformed:
		reason = ErrMalformed
	}
	return fmt.Errorf("%w: %s", reason, text)
}
