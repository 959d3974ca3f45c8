package neo

import (
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/request"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// copying is how far a Push has come whose channels are too much for one turn of its
// connection. It stays in the input until it is done.
type copying struct {
	several bool // there is more than one channel
	step    step
	done    int // channels for which that has been done
	fresh   request.Fresh
}

// step is what is done with one channel after another.
type step int

const (
	counting  step = iota // those to be made, so that either all are or none
	opening               // so that they exist, whatever comes of the rest
	reserving             // disk space, so that none of several has the record if there is none
	storing
)

// push stores a record in some channels (neo protocol spec §9). All channels are opened first, so
// that an invalid name, or one that there is no disk space for, leaves nothing stored. It reports
// whether it is done. The error is that of a malformed message.
func (s *Session) push(id uint64, fields []byte) (done bool, err error) {
	p, err := wire.ParsePush(fields)
	if err != nil || s.begun {
		return err != nil || s.store(id, p), err
	}
	count := 0
	for name := range p.Channels.All {
		if !names.ValidChannel(name) {
			s.pushed(id, wire.PushError)
			return true, nil
		}
		count++
	}
	if err := s.node.options.Limits.CheckCopies(count, len(p.Value)); err != nil {
		s.failed(wire.CodePush, err)
		s.pushed(id, wire.PushError)
		return true, nil
	}
	s.copying = copying{several: count > 1, fresh: s.node.options.Limits.Fresh(s.node.channels, count)}
	if s.copying.fresh == nil {
		s.copying.step = opening
	}
	return s.store(id, p), nil
}

func (s *Session) pushed(id uint64, status wire.PushStatus) {
	s.conn.Appended(wire.AppendPushStatus(s.buffer(), id, status))
}

// store goes on until the turn is over, or a file has to be waited for. It reports whether the request is done, be it that it
// has failed.
func (s *Session) store(id uint64, p wire.Push) (done bool) {
	rest := p.Channels
	for range s.copying.done {
		rest.Next()
	}
	for s.conn.Turn() > 0 {
		name, more := rest.Next()
		switch {
		case more:
			err := s.storeCopy(name, p.Value)
			if s.mustWait(err) {
				return false
			}
			if err != nil {
				s.copying = copying{}
				s.failed(wire.CodePush, err)
				s.pushed(id, wire.PushError)
				return true
			}
			s.copying.done++
		case s.copying.step < storing:
			s.copying.step++
			if s.copying.step == reserving && !s.copying.several {
				s.copying.step++
			}
			s.copying.done, rest = 0, p.Channels
		default:
			s.copying = copying{}
			s.pushed(id, wire.Pushed)
			return true
		}
	}
	return false
}

// storeCopy does with a channel what is to be done now.
func (s *Session) storeCopy(name, value []byte) error {
	if s.copying.step == counting {
		if s.batch.Find(name) != nil {
			return nil
		}
		return s.node.options.Limits.Add(s.copying.fresh, s.node.channels, name)
	}
	c, err := s.open(name)
	if err != nil {
		return err
	}
	switch s.copying.step {
	case reserving:
		return c.Reserve(storage.Size(len(value)))
	case storing:
		s.conn.Work(request.CopyWork(len(value)))
		return c.Push(value)
	}
	return nil
}
