package legacy

import (
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
)

// removeChannel drops a channel, if it exists, and ends its consumers (legacy protocol spec §6.8, §8).
func (s *Session) removeChannel(r *wire.Request) {
	if !names.ValidChannel(r.Channel) {
		s.reply(wire.BadChannelName)
		return
	}
	s.batch.Remove(r.Channel)
	s.reply(wire.OK)
}
