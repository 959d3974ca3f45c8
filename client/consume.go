package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/internal/core"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// session is a Consume at one node (neo protocol spec §14.6), on a connection of its own.
//
// Stop is sent when no batch is in hand: else in place of Continue when the batch is handled. So
// the node never gets a message it doesn't expect, and what was not handled is not acknowledged.
// ChannelRemoved and Stopped end it.
//
// One goroutine reads, a second writes feedback while the Consume runs.
type session struct {
	part *core.Part
	conn *consumeConn
	in   *frames

	// Guarded by the lock of the consumer.
	feedback chan wire.Feedback // to the writer. One Continue and one Stop fit.
	stopSent bool
	crossed  bool // a batch came after that; it needs no acknowledgement
}

// requestID is the id of the Consume, the only request on its connection.
const requestID = 1

// Consume implements [core.Link].
func (l *link) Consume(p *core.Part) (over bool, err error) {
	nc, err := l.dial(p.Starting)
	if err != nil {
		return false, err
	}
	return l.converse(p, nc)
}

// converse is Consume on a connection, which it closes.
func (l *link) converse(p *core.Part, nc net.Conn) (over bool, err error) {
	defer nc.Close()
	defer context.AfterFunc(p.Ctx(), func() { nc.Close() })()
	if isWork(p.Options()) {
		return l.work(p, nc)
	}
	s := &session{
		part:     p,
		conn:     &consumeConn{Conn: nc, limit: l.client.cluster.Options.RequestTimeout},
		feedback: make(chan wire.Feedback, 2),
	}
	s.in = newFrames(s.conn, maxInput(&l.client.cluster.Options))
	first := wire.AppendConsume(nil, requestID, p.Channel(), p.Subscriber())
	if over, err := beginConsume(s.conn, s.in, first); over || err != nil {
		return over, err
	}
	var writer sync.WaitGroup
	feedback := s.feedback
	writer.Go(func() { s.write(feedback) })
	p.Started(s)
	over, err = s.read()
	nc.Close()
	p.Do(func() { close(s.feedback); s.feedback = nil })
	writer.Wait()
	return over, err
}

// read takes in messages until the Consume is over or the connection lost.
func (s *session) read() (over bool, err error) {
	for {
		payload, err := s.in.next()
		if err != nil {
			return false, err
		}
		message, records, err := wire.ParseConsumeMessage(payload)
		if err != nil {
			return false, err
		}
		switch message {
		case wire.Records:
			err = s.received(records)
		case wire.ChannelRemoved:
			return true, ErrChannelRemoved
		case wire.Stopped:
			return s.stopped()
		}
		if err != nil {
			return false, err
		}
	}
}

// beginConsume sends the first message of a Consume or Work and waits for Started. over tells that
// the node refuses.
func beginConsume(conn *consumeConn, in *frames, first []byte) (over bool, err error) {
	if err := conn.SetDeadline(time.Now().Add(conn.limit)); err != nil {
		return false, err
	}
	if _, err := conn.Write(first); err != nil {
		return false, err
	}
	payload, err := in.next()
	if err != nil {
		return false, err
	}
	support, err := wire.ParseSupport(payload)
	if err != nil {
		return false, err
	}
	if err := supportError(support); err != nil {
		return true, err
	}
	if payload, err = in.next(); err != nil {
		return false, err
	}
	status, err := wire.ParseConsumeStatus(payload)
	if err != nil {
		return false, err
	}
	if status != wire.Started {
		return true, fmt.Errorf("%w: Consume status %d", ErrNodeError, status)
	}
	return false, conn.SetDeadline(time.Time{})
}

// write is the writer. It ends when the channel is closed.
func (s *session) write(feedback <-chan wire.Feedback) {
	for message := range feedback {
		_, err := s.conn.Write(wire.AppendFeedback(nil, requestID, message))
		if message == wire.Stop && err == nil {
			err = s.conn.limitSilence() // the answer must come: or else Stop would not end
		}
		if err != nil {
			s.conn.Close()
		}
	}
}

// received takes in a batch.
func (s *session) received(records wire.Arrays) error {
	var crossed, unexpected bool
	s.part.Do(func() {
		unexpected = s.part.Busy() || s.crossed
		crossed = s.stopSent
		s.crossed = crossed
		if !unexpected {
			s.part.Received(records, !crossed, false)
		}
	})
	if unexpected {
		return errors.New("protocol error of the node: records before the previous ones were acknowledged")
	}
	return nil
}

// Acknowledge implements [core.Session].
func (s *session) Acknowledge(_ core.Outcome, stop bool) {
	if stop {
		s.Stop(0)
	} else {
		s.send(wire.Continue)
	}
}

// Stop implements [core.Session].
func (s *session) Stop(inHand int) {
	if inHand == 0 && !s.stopSent {
		s.stopSent = true
		s.send(wire.Stop)
	}
}

// send gives a message to the writer.
func (s *session) send(message wire.Feedback) {
	select {
	case s.feedback <- message:
	default: // the Consume has ended, or the node sends without reading
	}
}

// stopped handles the message of that name.
func (s *session) stopped() (over bool, err error) {
	s.part.Do(func() { over = s.stopSent })
	if !over {
		err = errors.New("protocol error of the node: Stopped without Stop")
	}
	return over, err
}

// consumeConn is the connection of a Consume. Once the silence of the node is limited, it
// may last that long; each byte that comes begins it anew, for the batch that crosses Stop
// may be large and the link slow.
type consumeConn struct {
	net.Conn
	limit   time.Duration
	limited atomic.Bool
}

func (c *consumeConn) limitSilence() error {
	c.limited.Store(true)
	return c.SetReadDeadline(time.Now().Add(c.limit))
}

func (c *consumeConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && c.limited.Load() {
		err = c.limitSilence()
	}
	return n, err
}

// frames reads the messages of the Consume.
type frames struct {
	in  *bufio.Reader
	max uint64
}

func newFrames(nc net.Conn, maxBody uint64) *frames {
	return &frames{bufio.NewReaderSize(nc, readSize), maxBody}
}

// next returns the payload of the next message, in memory of its own. Memory is taken as
// data arrive, not as they are announced.
func (f *frames) next() ([]byte, error) {
	for {
		header, err := f.in.Peek(wire.HeaderSize)
		if err != nil {
			return nil, core.InWords(err)
		}
		_, _, size, err := wire.Next(header, f.max)
		if err != nil {
			return nil, err
		}
		var frame []byte
		for len(frame) < size {
			part := min(size-len(frame), max(len(frame), keep))
			frame = slices.Grow(frame, part)[:len(frame)+part]
			if _, err := io.ReadFull(f.in, frame[len(frame)-part:]); err != nil {
				return nil, core.InWords(err)
			}
		}
		id, payload, _, err := wire.Next(frame, f.max)
		if err != nil || id == requestID {
			return payload, err
		}
	}
}
