package neo

import (
	"errors"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/listener"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// popWait is a PopWait that waits for a record, in one line with the consumers of its storage
// (docs/protocol.md).
type popWait struct {
	session  *Session
	id       uint64
	name     string // of the storage, for messages
	consumer storage.Consumer
	timer    *listener.Timer
	inLine   bool // for room in the output
	over     bool
}

// startPopWait answers if there is a record, or an error, and else waits. It reports whether it is
// done, or else has to wait for files.
func (s *Session) startPopWait(id uint64, fields []byte) (done bool) {
	r, err := wire.ParsePopWait(fields)
	if err != nil {
		s.refused(wire.CodePopWait, err)
		s.conn.Appended(wire.AppendPopStatus(s.buffer(), id, wire.PopMalformed))
		return true
	}
	p, status, done := s.waitFor(id, r)
	if p == nil {
		if done {
			s.conn.Appended(wire.AppendPopStatus(s.buffer(), id, status))
		}
		return done
	}
	s.node.stats.Pop.Begin()
	s.active[id] = p
	s.synced.Subscribed()
	p.timer = s.conn.Loop().After(milliseconds(r.Milliseconds), listener.TaskFunc(p.late))
	s.batch.End()
	p.serve()
	return true
}

// waitFor joins those who want records of the queue, or tells why there will be none, unless it has
// to wait for files.
func (s *Session) waitFor(id uint64, r wire.PopWait) (p *popWait, status wire.PopStatus, done bool) {
	if !names.ValidChannel(r.Channel) || !names.ValidSubscriber(r.Subscriber) || !names.Fits(r.Subscriber, r.Channel) {
		return nil, wire.PopError, true
	}
	channel, err := s.open(r.Channel)
	var queue *storage.Storage
	if err == nil && len(r.Subscriber) == 0 {
		queue, err = channel.Popped()
	} else if err == nil {
		queue, err = s.node.options.Limits.Subscribe(s.node.channels, channel, string(r.Subscriber))
	}
	switch {
	case s.mustWait(err):
		return nil, 0, false
	case errors.Is(err, storage.ErrSubscribed):
		return nil, wire.PopSubscribed, true
	case err != nil:
		s.failed(wire.CodePopWait, err)
		return nil, wire.PopError, true
	}
	p = &popWait{session: s, id: id, name: names.Storage(string(r.Subscriber), string(r.Channel), len(r.Subscriber) > 0)}
	p.consumer.Attach(queue, p)
	return p, wire.Popped, true
}

// longestDelay is the longest time that a client can ask for.
const longestDelay = 365 * 24 * time.Hour

func milliseconds(n uint64) time.Duration {
	return time.Duration(min(n, uint64(longestDelay/time.Millisecond))) * time.Millisecond
}

func (p *popWait) String() string { return p.name }

func (p *popWait) code() wire.Code { return wire.CodePopWait }

// Wake implements storage.Waker.
func (p *popWait) Wake() { p.session.conn.Loop().Post(p) }

// Run implements listener.Task: there are records, or none that it can have.
func (p *popWait) Run() {
	if !p.over {
		p.serve()
		p.session.flushSoon()
	}
}

// serve answers if there is a record, and room for it, and nobody is in line for that.
func (p *popWait) serve() {
	s := p.session
	if !s.conn.Closing() && !s.full() && len(s.line) == 0 {
		p.next()
		return
	}
	p.consumer.Pause(nil)
	if !p.inLine && !s.conn.Closing() {
		p.inLine = true
		s.line = append(s.line, p)
	}
	s.advanceLine()
}

func (p *popWait) next() {
	if p.inLine = false; p.over {
		return
	}
	s := p.session
	run, removed, err := p.consumer.Take(1, 1)
	switch {
	case run != nil:
		value := run.Payload()
		p.leave()
		s.conn.Appended(wire.AppendPoppedPrefix(s.buffer(), p.id, len(value)))
		s.conn.Write(value)
		s.sending.Add(run, s.conn.OutputEnd())
	case errors.Is(err, storage.ErrSubscribed):
		p.answer(wire.PopSubscribed)
	case err != nil:
		s.failed(wire.CodePopWait, err)
		p.answer(wire.PopError)
	case removed:
		p.answer(wire.PopEmpty)
	}
}

// fetchPeriod is how often it is looked whether a record has come from the disk.
const fetchPeriod = 5 * time.Millisecond

// late is called when it has waited long enough. If there is a record that has to be read from the disk
// first, it waits for that.
func (p *popWait) late() {
	s := p.session
	if p.timer = nil; p.over {
		return
	}
	if !s.conn.Closing() && !s.full() && len(s.line) == 0 {
		p.next()
	}
	switch {
	case p.over:
	case p.consumer.Stalled():
		p.timer = s.conn.Loop().After(fetchPeriod, listener.TaskFunc(p.late))
		return
	default:
		p.answer(wire.PopEmpty)
	}
	s.flushSoon()
}

// receive handles a message of the client, which can only be that it waits no longer.
func (p *popWait) receive(payload []byte) {
	if !wire.IsCancel(payload) {
		p.session.breach()
		return
	}
	p.answer(wire.PopEmpty)
}

func (p *popWait) answer(status wire.PopStatus) {
	p.leave()
	p.session.conn.Appended(wire.AppendPopStatus(p.session.buffer(), p.id, status))
}

func (p *popWait) unconfirmed() []*storage.Run { return nil }

func (p *popWait) sent() bool { return true }

func (p *popWait) abandon() { p.leave() }

func (p *popWait) leave() {
	p.over = true
	p.session.conn.Loop().StopTimer(p.timer)
	p.timer = nil
	p.consumer.Leave(nil, 0)
	delete(p.session.active, p.id)
	p.session.node.stats.Pop.EndUntimed()
}
