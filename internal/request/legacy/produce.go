package legacy

import (
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
)

// stream is a Produce or ProduceMulti in progress (legacy protocol spec §6.6, §6.7).
type stream struct {
	command  wire.Command
	channel  []byte     // Produce
	channels wire.Names // ProduceMulti
	singly   bool       // a channel is listed twice: each record goes to all before the next
}

// startProduce opens the channel and expects records for it.
func (s *Session) startProduce(r *wire.Request) {
	if !names.ValidChannel(r.Channel) {
		s.reply(wire.BadChannelName)
		return
	}
	if _, err := s.batch.Open(r.Channel); err != nil {
		s.fail(r.Command, err)
		return
	}
	s.stream = stream{command: r.Command, channel: append([]byte(nil), r.Channel...)}
	s.state = records
	s.reply(wire.OK)
}

// startProduceMulti expects records for a list of channels, which are created with the
// first record.
func (s *Session) startProduceMulti(r *wire.Request) {
	if !allValid(r.Channels) {
		s.reply(wire.BadChannelName)
		return
	}
	seen := make(map[string]bool)
	repeated := false
	for name := range r.Channels.All {
		repeated = repeated || seen[string(name)]
		seen[string(name)] = true
	}
	s.stream = stream{command: r.Command, channels: r.Channels.Clone(), singly: repeated}
	s.state = records
	s.reply(wire.OK)
}

// receiveRecords stores the records at the start of in. Channels are looked up by name
// each time: one that was removed meanwhile is created again.
func (s *Session) receiveRecords(in []byte) (used int, more bool) {
	r := wire.DecodeRecords(in)
	if r.Count > 0 {
		if err := s.store(r); err != nil {
			s.fail(s.stream.command, err)
			return len(r.Run), false
		}
	}
	switch {
	case r.End:
		s.state, s.stream = requests, stream{}
		s.count.endStream()
		return len(r.Run) + wire.LengthSize, true
	case r.TooLong > 0:
		err := &wire.TooLongError{Command: s.stream.command, Length: r.TooLong}
		return s.reject(len(r.Run)+wire.LengthSize, err), false
	}
	return len(r.Run), false
}

func (s *Session) store(r wire.Records) error {
	switch {
	case s.stream.command == wire.Produce:
		return s.storeRun(s.stream.channel, r)
	case !s.stream.singly:
		return s.storeMulti(r)
	}
	for record := range r.All {
		if err := s.storeMulti(record); err != nil {
			return err
		}
	}
	return nil
}

func (s *Session) storeMulti(r wire.Records) error {
	for name := range s.stream.channels.All {
		if err := s.storeRun(name, r); err != nil {
			return err
		}
	}
	return nil
}

func (s *Session) storeRun(channel []byte, r wire.Records) error {
	c, err := s.batch.Open(channel)
	if err != nil {
		return err
	}
	return c.PushRun(r.Run, r.Count)
}
