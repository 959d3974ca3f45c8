package legacy

import (
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// consume is a Consume in progress (legacy protocol spec §7). The stream consists of the records as they
// lie in the storage, which are sent from there; a record counts as delivered when its
// last byte is handed to the kernel.
type consume struct {
	consumer storage.Consumer
	runs     []*storage.Run // being sent
	start    uint64         // where in the output they start
}

const (
	// consumeBytes is how much of a storage one Consume sends at a time.
	consumeBytes = 256 << 10
	// consumeTurns is how often it does so before others get their turn.
	consumeTurns = 4
)

// startConsume subscribes with the empty name. The status goes out at the end of the
// round, the records follow.
func (s *Session) startConsume(r *wire.Request) {
	if !names.ValidChannel(r.Channel) {
		s.reply(wire.BadChannelName)
		return
	}
	c, err := s.batch.Open(r.Channel)
	if err != nil {
		s.fail(r.Command, err)
		return
	}
	queue, err := c.Subscribe("")
	if err != nil {
		s.fail(r.Command, err)
		return
	}
	s.consume.consumer.Attach(queue, s)
	s.state = consuming
	s.conn.Pause()
	s.reply(wire.OK)
	s.Wake()
}

// Wake implements storage.Waker.
func (s *Session) Wake() { s.conn.Loop().Post(s) }

// Run implements listener.Task: there are records, or the channel is removed. It may
// also be called for a Consume that is over.
func (s *Session) Run() {
	if s.state == consuming {
		s.serve()
		s.conn.Continue()
	}
}

// serve sends records until there are no more or the socket is full.
func (s *Session) serve() {
	for range consumeTurns {
		sent, unsent := s.conn.Progress()
		if unsent > 0 {
			return
		}
		if s.conn.Closing() {
			s.consume.runs = s.consume.consumer.Pause(s.consume.runs)
			return
		}
		runs, removed, err := s.consume.consumer.Next(s.consume.runs, consumeBytes, true)
		s.consume.runs, s.consume.start = runs, sent
		switch {
		case err != nil:
			s.fail(wire.Consume, err)
			return
		case removed:
			s.leave()
			s.endConsume()
			s.conn.Write(wire.EndMark)
			return
		case len(runs) == 0:
			return
		}
		for _, run := range runs {
			s.conn.Write(run.Bytes())
		}
		if !s.conn.Flush() {
			return
		}
	}
	s.Wake()
}

// leave stops consuming; what is not sent goes back to the storage.
func (s *Session) leave() {
	sent, _ := s.conn.Progress()
	s.consume.consumer.Leave(s.consume.runs, int(sent-s.consume.start))
	s.consume.runs = s.consume.runs[:0]
}

// endConsume goes on with the requests behind the Consume.
func (s *Session) endConsume() {
	s.state = requests
	s.count.endStream()
	s.conn.Resume()
}
