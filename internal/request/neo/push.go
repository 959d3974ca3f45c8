package neo

import (
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// push stores a record in some channels (neo protocol spec §9). All channels are opened first, so
// that an invalid name, or one that cannot be opened, leaves nothing stored. The error is
// that of a malformed message.
func (s *Session) push(id uint64, fields []byte) error {
	p, err := wire.ParsePush(fields)
	if err != nil {
		return err
	}
	status := wire.Pushed
	if !s.store(p) {
		status = wire.PushError
	}
	s.conn.Appended(wire.AppendPushStatus(s.buffer(), id, status))
	return nil
}

func (s *Session) store(p wire.Push) bool {
	for name := range p.Channels.All {
		if !names.ValidChannel(name) {
			return false
		}
	}
	for name := range p.Channels.All {
		if _, err := s.batch.Open(name); err != nil {
			s.failed(wire.CodePush, err)
			return false
		}
	}
	for name := range p.Channels.All {
		c, err := s.batch.Open(name)
		if err == nil {
			err = c.Push(p.Value)
		}
		if err != nil {
			s.failed(wire.CodePush, err)
			return false
		}
	}
	return true
}
