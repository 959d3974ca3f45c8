package legacy

import (
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
)

// push stores a record (legacy protocol spec §6.1). A record that cannot be stored is answered with
// OutOfMemory, which makes the client try the next node.
func (s *Session) push(r *wire.Request) (done bool) {
	if !names.ValidChannel(r.Channel) {
		s.reply(wire.BadChannelName)
		return true
	}
	c, err := s.open(r.Channel) // also if the value turns out to be empty
	switch {
	case err != nil:
	case len(r.Value) == 0:
		s.reply(wire.EmptyValue)
		return true
	default:
		err = c.Push(r.Value)
	}
	switch {
	case err == nil:
		s.reply(wire.OK)
	case s.mustWait(err):
		return false
	default:
		s.failed(r.Command, err)
		s.reply(wire.OutOfMemory)
	}
	return true
}
