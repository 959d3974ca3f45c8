package legacy

import (
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// pop hands out the oldest record (legacy protocol spec §6.2). Records of length 0 are skipped: to the
// client that would mean an empty channel.
func (s *Session) pop(r *wire.Request) (done bool) {
	if !names.ValidChannel(r.Channel) {
		s.reply(wire.BadChannelName)
		return true
	}
	err := s.batch.Failed()
	c := s.batch.Find(r.Channel)
	if c == nil {
		s.reply(wire.Error)
		return true
	}
	var run *storage.Run
	if err == nil {
		run, err = c.Pop(true)
	}
	if s.mustWait(err) {
		return false
	}
	if err != nil {
		if err != storage.ErrSubscribed {
			s.failed(r.Command, err)
		}
		s.reply(wire.Error)
		return true
	}
	s.reply(wire.OK)
	if run == nil {
		s.conn.Write(wire.EndMark)
		return true
	}
	s.conn.Write(run.Bytes())
	s.popped.Add(run, s.conn.OutputEnd())
	if size := len(run.Payload()); size > largeValue {
		s.warnOfLarge(r, size)
	}
	return true
}
