package neo

import (
	"errors"
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
	outEnd   uint64 // position in the output behind the batch
	inLine   bool   // for room in the output
	over     bool
}

// startConsume subscribes. It reports whether it is done. The error is that of a malformed message.
func (s *Session) startConsume(id uint64, fields []byte) (done bool, err error) {
	r, err := wire.ParseConsume(fields)
	if err != nil {
		return true, err
	}
	c, err := s.subscribe(id, r)
	if s.mustWait(err) {
		return false, nil
	}
	s.node.stats.Consume.Begin()
	if err != nil {
		if err != errNames {
			s.failed(wire.CodeConsume, err)
		}
		s.node.stats.Consume.EndUntimed()
		s.conn.Appended(wire.AppendConsumeStatus(s.buffer(), id, wire.ConsumeError))
		return true, nil
	}
	s.active[id] = c
	s.synced.Subscribed()
	s.conn.Appended(wire.AppendConsumeStatus(s.buffer(), id, wire.Started))
	c.Wake()
	return true, nil
}

// errNames is a channel or subscriber that no name can be made of.
var errNames = errors.New("invalid name")

func (s *Session) subscribe(id uint64, r wire.Consume) (*consume, error) {
	queue, err := s.subscribeTo(r.Channel, r.Subscriber)
	if err != nil {
		return nil, err
	}
	c := &consume{session: s, id: id, name: names.Storage(string(r.Subscriber), string(r.Channel), true)}
	c.consumer.Attach(queue, c)
	return c, nil
}

// subscribeTo returns the queue of a subscriber, with its channel locked.
func (s *Session) subscribeTo(channel, subscriber []byte) (*storage.Storage, error) {
	if !names.ValidChannel(channel) || !names.ValidSubscriber(subscriber) || !names.Fits(subscriber, channel) {
		return nil, errNames
	}
	c, err := s.open(channel)
	if err != nil {
		return nil, err
	}
	return s.node.options.Limits.Subscribe(s.node.channels, c, string(subscriber))
}

func (c *consume) code() wire.Code { return wire.CodeConsume }

func (c *consume) unconfirmed() []*storage.Run { return c.runs }

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
	if c.inLine = false; c.over {
		return
	}
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
	c.outEnd = conn.OutputEnd()
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
		c.session.sending.Add(run, c.outEnd)
	}
	c.runs = c.runs[:0]
}

// sent tells whether the whole batch is handed to the kernel.
func (c *consume) sent() bool {
	sent, _ := c.session.conn.Progress()
	return sent >= c.outEnd
}

// receive handles a message of the client (neo protocol spec §11.4).
func (c *consume) receive(payload []byte) {
	s := c.session
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
	if len(c.runs) > 0 && c.session.conn.Acknowledged() < c.outEnd {
		c.session.deliverWhenArrived(c.runs, c.outEnd)
		c.runs = c.runs[:0]
	}
	c.end()
	c.consumer.Leave(c.runs, math.MaxInt)
	c.session.conn.Appended(last(c.session.buffer(), c.id))
}

// abandon ends the request without a message. The records of its batch go back to the
// storage.
func (c *consume) abandon() {
	reached, size := 0, c.size
	sent, _ := c.session.conn.Progress()
	for start := c.outEnd - uint64(size); reached < len(c.runs) && start < sent; reached++ {
		start += uint64(len(c.runs[reached].Bytes()))
	}
	c.end()
	c.consumer.Abandon(c.runs, reached)
}

// end ends the request, but for its batch.
func (c *consume) end() {
	c.over = true
	c.release()
	delete(c.session.active, c.id)
	c.session.node.stats.Consume.EndUntimed()
}

// advanceLine lets the requests that wait for room in the output go on.
func (s *Session) advanceLine() {
	for len(s.line) > 0 && !s.full() && !s.conn.Closing() {
		first := s.line[0]
		s.line = slices.Delete(s.line, 0, 1)
		first.next()
	}
	s.flushSoon()
}
