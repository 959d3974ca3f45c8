package neo

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/admin"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/listener"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// questions are the questions of a connection that are not answered yet, oldest first. They are
// answered one after another by a goroutine, because answers may take long.
type questions []*question

// question is a request of ours (docs/protocol.md).
type question struct {
	session *Session
	id      uint64
	ask     wire.Question
	over    bool // the connection is gone

	status wire.AnswerStatus
	body   []byte
}

// mostAnswering is how many questions of all connections are answered at the same time.
const mostAnswering = 4

// startQuestion notes a question. There is an answer to each, also if it is malformed.
func (s *Session) startQuestion(id uint64, code wire.Code, fields []byte) {
	ask, err := wire.ParseQuestion(code, fields)
	if err != nil {
		s.answer(id, wire.QuestionMalformed, []byte(err.Error()))
		return
	}
	for i, name := range ask.Names {
		ask.Names[i] = slices.Clone(name) // which is in the input
	}
	q := &question{session: s, id: id, ask: ask}
	s.questions = append(s.questions, q)
	if len(s.questions) == 1 {
		q.start()
	}
}

// asked reports whether a question with that id is not answered yet.
func (s *Session) asked(id uint64) bool {
	return slices.ContainsFunc(s.questions, func(q *question) bool { return q.id == id })
}

func (s *Session) answer(id uint64, status wire.AnswerStatus, body []byte) {
	s.conn.Appended(wire.AppendAnswerPrefix(s.buffer(), id, status, len(body)))
	s.conn.Write(body)
}

func (q *question) start() {
	n, client, loop := q.session.node, q.session.client, q.session.conn.Loop()
	n.answering.Go(func() {
		n.answerers <- struct{}{}
		q.status, q.body = answer(n.options.Admin, client, q.ask)
		<-n.answerers
		if q.status == wire.QuestionFailed {
			n.failures.Log(errors.New(string(q.body)), zap.String("client", client), zap.String("request", wire.QuestionName(q.ask.Code)))
		}
		loop.Post(q)
	})
}

// Run implements listener.Task: the question is answered.
func (q *question) Run() {
	if q.over {
		return
	}
	s := q.session
	s.questions = slices.Delete(s.questions, 0, 1)
	if !s.conn.Closing() {
		s.answer(q.id, q.status, q.body)
	}
	if len(s.questions) > 0 {
		s.questions[0].start()
	}
	s.conn.Continue()
}

var _ listener.Task = (*question)(nil)

// forgetQuestions is called when the connection is gone.
func (s *Session) forgetQuestions() {
	for _, q := range s.questions {
		q.over = true
	}
}

// WaitForAnswers waits until nobody is answering any more. All connections must be closed.
func (n *Node) WaitForAnswers() { n.answering.Wait() }

// answer does what a question asks for.
func answer(o *admin.Operations, client string, q wire.Question) (wire.AnswerStatus, []byte) {
	if wire.Changes(q.Code) && !o.MayChange(client) {
		return wire.QuestionDenied, []byte("client " + client + " may not change anything: it is not one of [Admin] clients of the node")
	}
	var result any
	var err error
	name := func(i int) string { return string(q.Names[i]) }
	switch q.Code {
	case wire.CodeListQueues:
		result, err = o.Queues(name(0), name(1), int(min(q.Numbers[0], admin.MostQueues)))
	case wire.CodeQueueInfo:
		result, err = o.Queue(name(0))
	case wire.CodePeek:
		var peeked []storage.Peeked
		if peeked, err = o.Peek(name(0), q.Numbers[0], q.Numbers[1], q.Numbers[2]); err == nil {
			return wire.Answered, peekBody(peeked)
		}
	case wire.CodeClients:
		result = o.Clients(name(0))
	case wire.CodeDisconnect:
		err = o.Disconnect(q.Numbers[0])
	case wire.CodeClear:
		result, err = o.Clear(name(0))
	case wire.CodeRemoveSubscriber:
		switch q.Numbers[0] {
		case wire.RemoveAnyway:
			err = o.RemoveSubscriber(name(0))
		case wire.RemoveIfUnused:
			err = o.RemoveUnused(name(0))
		default:
			err = fmt.Errorf("%w: there is no condition %d", admin.ErrMalformed, q.Numbers[0])
		}
	case wire.CodeRemoveChannel:
		err = o.RemoveChannel(name(0))
	case wire.CodePause, wire.CodeResume:
		err = o.Pause(name(0), q.Code == wire.CodePause)
	}
	var body []byte
	if err == nil && result != nil {
		body, err = json.Marshal(result)
	}
	switch {
	case err == nil:
		return wire.Answered, body
	case errors.Is(err, storage.ErrNoQueue), errors.Is(err, admin.ErrNoClient):
		return wire.QuestionUnknown, []byte(err.Error())
	case errors.Is(err, storage.ErrInUse):
		return wire.QuestionInUse, []byte(err.Error())
	case errors.Is(err, admin.ErrMalformed):
		return wire.QuestionMalformed, []byte(err.Error())
	}
	return wire.QuestionFailed, []byte(err.Error())
}

func peekBody(peeked []storage.Peeked) (body []byte) {
	for _, p := range peeked {
		r := wire.PeekRecord{Size: uint64(p.Size), Bytes: p.Bytes}
		if p.Unconfirmed {
			r.State |= wire.PeekUnconfirmed
		}
		if p.Returned {
			r.State |= wire.PeekReturned
		}
		if len(p.Bytes) < p.Size {
			r.State |= wire.PeekCut
		}
		body = wire.AppendPeekRecord(body, r)
	}
	return body
}
