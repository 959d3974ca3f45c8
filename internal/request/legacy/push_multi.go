package legacy

import (
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
)

// pushMulti stores a record in several channels (legacy protocol spec §6.5). A D client drops the record
// silently when it gets any error status, so a failure closes the connection instead.
func (s *Session) pushMulti(r *wire.Request) {
	if !allValid(r.Channels) {
		s.reply(wire.BadChannelName)
		return
	}
	if len(r.Value) == 0 {
		s.reply(wire.EmptyValue)
		return
	}
	for name := range r.Channels.All {
		if _, err := s.batch.Open(name); err != nil {
			s.fail(r.Command, err)
			return
		}
	}
	for name := range r.Channels.All {
		c, err := s.batch.Open(name)
		if err == nil {
			err = c.Push(r.Value)
		}
		if err != nil {
			s.fail(r.Command, err)
			return
		}
	}
	s.reply(wire.OK)
}

func allValid(channels wire.Names) bool {
	for name := range channels.All {
		if !names.ValidChannel(name) {
			return false
		}
	}
	return true
}
