package neo

import (
	"math"
	"slices"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/connpool"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// consume is an active Consume (neo protocol spec §11).
//
//	         records, room in the output
//	waiting ─────────────────────────────▶ batch in flight
//	        ◀─────────────────────────────
//	                  Continue
//
// Stop, the removal of the channel and the end of the connection are possible in both
// states and end it. When no batch is in flight, whatever is there goes out at once, so
// batches form by themselves while one is.
//
// The records of a batch stay in the storage until the client confirms them with
// Continue or Stop, or, without redelivery, until they are sent.
type consume struct {
	session  *Session
	id       uint64
	name     string // of the storage, for messages
	consumer storage.Consumer
	runs     []*storage.Run // of the batch in flight, as far as the client must confirm them
	inFlight bool
	size     int    // bytes of the batch in flight
	end      uint64 // position in the output behind the batch
	inLine   bool   // for room in the output
	over     bool
}

// startConsume subscribes. The error is that of a malformed message.
func (s *Session) startConsume(id uint64, fields []byte) error {
	r, err := wire.ParseConsume(fields)
	if err != nil {
		return err
	}
	s.node.stats.Consume.Begin()
	c, ok := s.subscribe(id, r)
	if !ok {
		s.node.stats.Consume.EndUntimed()
		s.conn.Appended(wire.AppendConsumeStatus(s.buffer(), id, wire.ConsumeError))
		return nil
	}
	s.consumes[id] = c
	s.conn.Appended(wire.AppendConsumeStatus(s.buffer(), id, wire.Started))
	c.Wake()
	return nil
}

func (s *Session) subscribe(id uint64, r wire.Consume) (*consume, bool) {
	if !names.ValidChannel(r.Channel) || !names.ValidSubscriber(r.Subscriber) || !names.Fits(r.Subscriber, r.Channel) {
		return nil, false
	}
	channel, err := s.open(r.Channel)
	var queue *storage.Storage
	if err == nil {
		queue, err = s.node.options.Limits.Subscribe(s.node.channels, channel, string(r.Subscriber))
	}
	if err != nil {
		s.failed(wire.CodeConsume, err)
		return nil, false
	}
	c := &consume{session: s, id: id, name: names.Storage(string(r.Subscriber), string(r.Channel), true)}
	c.consumer.Attach(queue, c)
	return c, true
}

func (c *consume) String() string { return c.name }

// Wake implements storage.Waker.
func (c *consume) Wake() { c.session.conn.Loop().Post(c) }

// Run implements listener.Task: there are records, or the channel is removed.
func (c *consume) Run() {
	switch {
	case c.over:
		return
	case c.inFlight:
		if c.consumer.Removed() {
			c.finish(wire.AppendChannelRemoved)
		}
	default:
		c.serve()
	}
	c.session.flushSoon()
}

// serve sends the next batch if there is one and room for it, and nobody is in line. The
// previous one, if any, is confirmed.
func (c *consume) serve() {
	s := c.session
	c.release()
	if !s.conn.Closing() && !s.full() && len(s.line) == 0 {
		c.next()
		return
	}
	c.runs, c.inFlight = c.consumer.Pause(c.runs), false
	if !c.inLine && !s.conn.Closing() {
		c.inLine = true
		s.line = append(s.line, c)
	}
	s.advanceLine()
}

// next sends the next batch, if there is one.
func (c *consume) next() {
	s := c.session
	runs, removed, err := c.consumer.Next(c.runs, wire.MinBatch, false)
	c.runs, c.inFlight = runs, len(runs) > 0
	switch {
	case err != nil:
		s.failed(wire.CodeConsume, err)
		s.conn.Close()
	case removed:
		c.finish(wire.AppendChannelRemoved)
	case c.inFlight:
		c.send()
	}
}

// send appends the batch to the output.
func (c *consume) send() {
	conn := c.session.conn
	for _, run := range c.runs {
		c.size += len(run.Bytes())
	}
	c.session.held += c.size
	conn.Work(c.size / connpool.Unit)
	conn.Appended(wire.AppendRecordsPrefix(c.session.buffer(), c.id, c.size))
	for _, run := range c.runs {
		conn.Write(run.Bytes())
	}
	c.end = conn.OutputEnd()
	if !c.session.node.options.Redeliver {
		c.deliverWhenSent()
	}
}

// release notes that the batch in flight, if any, is over.
func (c *consume) release() {
	c.session.held -= c.size
	c.size = 0
}

// full tells that no further batch is to be sent now: the output is full, or the client has to
// confirm some first.
func (s *Session) full() bool {
	return s.conn.OutputFull() || s.node.options.MaxUnconfirmed > 0 && s.held >= s.node.options.MaxUnconfirmed
}

// deliverWhenSent makes the records of the batch count as delivered once they are sent,
// because no confirmation will follow, or none is wanted.
func (c *consume) deliverWhenSent() {
	for _, run := range c.runs {
		c.session.sending.Add(run, c.end)
	}
	c.runs = c.runs[:0]
}

// sent tells whether the whole batch is handed to the kernel.
func (c *consume) sent() bool {
	sent, _ := c.session.conn.Progress()
	return sent >= c.end
}

// receiveFeedback handles a message of the client (neo protocol spec §11.4).
func (s *Session) receiveFeedback(c *consume, payload []byte) {
	s.batch.End() // the consumer takes the lock of its own channel
	feedback, err := wire.ParseFeedback(payload)
	switch {
	case err != nil:
		s.breach()
	case feedback == wire.Stop:
		c.finish(wire.AppendStopped)
		if len(s.line) > 0 {
			s.advanceLine()
		}
	case c.inFlight && c.sent():
		c.serve()
	default:
		s.breach() // a Continue without a batch
	}
}

// finish ends the request with a last message, and confirms its batch, if any. A batch that
// has not arrived yet has crossed the Stop of the client: it is confirmed when it has.
func (c *consume) finish(last func(dst []byte, id uint64) []byte) {
	if len(c.runs) > 0 && c.session.conn.Acknowledged() < c.end {
		c.session.deliverWhenArrived(c.runs, c.end)
		c.runs = c.runs[:0]
	}
	c.leave(math.MaxInt)
	c.session.conn.Appended(last(c.session.buffer(), c.id))
}

// abandon ends the request without a message. The records of its batch go back to the
// storage.
func (c *consume) abandon() { c.leave(0) }

// leave ends the request; of the batch so many bytes count as delivered.
func (c *consume) leave(confirmed int) {
	c.over = true
	c.release()
	c.consumer.Leave(c.runs, confirmed)
	delete(c.session.consumes, c.id)
	c.session.node.stats.Consume.EndUntimed()
}

// advanceLine lets the consumes that wait for room in the output go on.
func (s *Session) advanceLine() {
	for len(s.line) > 0 && !s.full() && !s.conn.Closing() {
		c := s.line[0]
		s.line = slices.Delete(s.line, 0, 1)
		c.inLine = false
		if !c.over {
			c.next()
		}
	}
	s.flushSoon()
}
