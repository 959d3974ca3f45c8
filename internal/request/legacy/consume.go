package legacy

import (
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/connpool"
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
	session  *Session
	deferred bool // serve goes on
}

// consumeBytes is how much of a storage one Consume sends at a time.
const consumeBytes = 256 << 10

// startConsume subscribes with the empty name. The status goes out at the end of the
// round, the records follow.
func (s *Session) startConsume(r *wire.Request) (done bool) {
	if !names.ValidChannel(r.Channel) {
		s.reply(wire.BadChannelName)
		return true
	}
	var queue *storage.Storage
	c, err := s.open(r.Channel)
	if err == nil {
		queue, err = s.node.options.Limits.Subscribe(s.node.channels, c, "")
	}
	switch {
	case s.mustWait(err):
		return false
	case err != nil:
		s.fail(r.Command, err)
		return true
	}
	s.consume.consumer.Attach(queue, s)
	s.state = consuming
	s.conn.Pause()
	s.synced.Subscribed()
	s.reply(wire.OK)
	s.Wake()
	return true
}

// Wake implements storage.Waker, for a Consume and for any request that waits.
func (s *Session) Wake() { s.conn.Loop().Post(s) }

// Run implements listener.Task: there are records, or the channel is removed, or a request need
// not wait any more. It may also be called for one that is over.
func (s *Session) Run() {
	switch {
	case s.state == consuming:
		s.conn.StartTurn()
		s.serve()
		s.conn.Continue()
	case !s.batch.Waiting():
		s.conn.Unblock()
	}
}

// serve sends records until there are no more, the socket is full, or others have their turn.
func (s *Session) serve() {
	for s.conn.Turn() > 0 {
		sent, unsent := s.conn.Progress()
		if unsent > 0 {
			return
		}
		if s.conn.Closing() {
			s.consume.runs = s.consume.consumer.Pause(s.consume.runs)
			return
		}
		runs, removed, err := s.consume.consumer.Next(s.consume.runs, min(consumeBytes, s.conn.Turn()*connpool.Unit), true)
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
			s.conn.Work(1)
		}
		if !s.conn.Flush() {
			return
		}
	}
	if !s.consume.deferred {
		s.consume.deferred = true
		s.conn.Loop().Defer(&s.consume)
	}
}

// Run implements listener.Task: serve goes on.
func (c *consume) Run() {
	c.deferred = false
	c.session.Run()
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
