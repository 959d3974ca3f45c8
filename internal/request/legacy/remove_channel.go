package legacy

import (
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/request"
)

// removeChannel drops a channel, if it exists, and ends its consumers (legacy protocol spec §6.8, §8).
func (s *Session) removeChannel(r *wire.Request) (done bool) {
	if !names.ValidChannel(r.Channel) {
		s.reply(wire.BadChannelName)
		return true
	}
	err := s.batch.Failed()
	if err == nil {
		err = s.batch.Remove(r.Channel)
	}
	switch {
	case s.mustWait(err):
		return false
	case err != nil:
		s.fail(r.Command, err)
		return true
	}
	s.conn.Work(request.CreateWork)
	s.reply(wire.OK)
	return true
}
