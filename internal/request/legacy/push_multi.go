package legacy

import (
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/request"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// multi is how far a PushMulti has come whose channels are too many for one turn of its
// connection. It stays in the input until it is done. It is done in steps, each for all
// channels.
type multi struct {
	size  int // bytes of the request in the input; 0 = there is none
	names int // bytes of its list of channels
	value int // bytes of its record
	at    int // position of the next channel in the list
	step  step
	fresh request.Fresh
}

// step is what is done with one channel after another.
type step int

const (
	counting  step = iota // those to be made, so that either all are or none
	open                  // so that they exist, whatever comes of the rest
	reserving             // disk space, so that none of them has the record if there is none
	storing
)

// pushMulti stores a record in several channels (legacy protocol spec §6.5), and reports whether it is done with
// the request, which takes that many bytes of the input. A D client drops the record silently when
// it gets any error status, so a failure closes the connection instead.
func (s *Session) pushMulti(r *wire.Request, size int) (done bool) {
	if !allValid(r.Channels) {
		s.reply(wire.BadChannelName)
		return true
	}
	if len(r.Value) == 0 {
		s.reply(wire.EmptyValue)
		return true
	}
	count := r.Channels.Len()
	s.conn.Work(count / namesPerUnit)
	if err := s.node.options.Limits.CheckCopies(count, len(r.Value)); err != nil {
		s.fail(r.Command, err)
		return true
	}
	s.multi = multi{size: size, names: r.Channels.Size(), value: len(r.Value),
		fresh: s.node.options.Limits.Fresh(s.node.channels, count)}
	if s.multi.fresh == nil {
		s.multi.step = open
	}
	return s.storeCopies(r.Channels, r.Value)
}

// pushMultiOn goes on with a PushMulti at the start of the input.
func (s *Session) pushMultiOn(in []byte) (used int, more bool) {
	m := s.multi
	channels := wire.NamesIn(in[wire.CodeSize : wire.CodeSize+m.names])
	if !s.storeCopies(channels, in[m.size-m.value:m.size]) {
		return 0, false
	}
	return m.size, true
}

// storeCopies goes on until the turn is over, or a file has to be waited for. It reports whether the request is done, be it that
// it has failed.
func (s *Session) storeCopies(channels wire.Names, value []byte) (done bool) {
	m := &s.multi
	for s.conn.Turn() > 0 {
		name, next := channels.At(m.at)
		switch {
		case name != nil:
			err := s.storeCopy(name, value)
			if s.mustWait(err) {
				return false
			}
			if err != nil {
				s.multi = multi{}
				s.fail(wire.PushMulti, err)
				return true
			}
			m.at = next
		case m.step < storing:
			m.at, m.step = 0, m.step+1
		default:
			s.multi = multi{}
			s.reply(wire.OK)
			return true
		}
	}
	return false
}

// storeCopy does with a channel what is to be done now.
func (s *Session) storeCopy(name, value []byte) error {
	if s.multi.step == counting {
		s.conn.Work(1)
		if s.batch.Find(name) != nil {
			return nil
		}
		return s.node.options.Limits.Add(s.multi.fresh, s.node.channels, name)
	}
	c, err := s.open(name)
	if err != nil {
		return err
	}
	switch s.multi.step {
	case reserving:
		s.conn.Work(1)
		return c.Reserve(storage.Size(len(value)))
	case storing:
		s.conn.Work(request.CopyWork(len(value)))
		return c.Push(value)
	}
	s.conn.Work(1)
	return nil
}

// namesPerUnit is how many names to check are as much work as a small request.
const namesPerUnit = 8

func allValid(channels wire.Names) bool {
	for name := range channels.All {
		if !names.ValidChannel(name) {
			return false
		}
	}
	return true
}
