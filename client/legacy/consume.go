package legacy

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/internal/core"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// maxBatch is about how many bytes of records are handed over at once.
const maxBatch = 64 << 10

// session is a Consume at one node. The protocol knows no acknowledgement: while one batch is
// handled the next one is read, and no more, so a slow loop slows down the node.
type session struct {
	conn    *conn
	handled chan struct{} // one token: the batch in hand is
	stopped chan struct{} // closed by Stop
}

// Acknowledge implements [core.Session].
func (s *session) Acknowledge(_ core.Outcome, stop bool) {
	if stop {
		s.Stop(0)
	}
	s.handled <- struct{}{}
}

// Stop implements [core.Session]. The protocol has no message for it.
func (s *session) Stop(inHand int) {
	if inHand > 0 {
		return // Acknowledge does it
	}
	select {
	case <-s.stopped:
	default:
		close(s.stopped)
		s.conn.interrupt()
	}
}

// Consume implements [core.Link].
func (n *node) Consume(p *core.Part) (over bool, err error) {
	if n.awaitUsable(p.Starting); p.Starting.Err() != nil {
		return false, ErrClosed
	}
	req := newRequest(wire.Consume, p.Channel())
	req.stream, req.repeatable = true, true // the latter until the status
	cn, err := n.do(p.Starting, req)
	if err != nil {
		var status Status
		return errors.As(err, &status), err
	}
	cn.unbind()
	cn.bind(p.Ctx())
	cn.allow(0)
	s := &session{conn: cn, handled: make(chan struct{}, 1), stopped: make(chan struct{})}
	p.Started(s)
	err = s.receive(p)
	switch {
	case errors.Is(err, ErrChannelRemoved):
		n.release(cn)
		return true, err
	case errors.Is(err, ErrValueTooBig):
		n.drop(cn)
		return true, err // the node would perhaps send it again, and again
	}
	n.drop(cn)
	if p.Starting.Err() == nil {
		n.broken(p.Ctx(), err)
	}
	return false, n.disconnected(p.Ctx(), 0, err)
}

// receive hands over records until there are no more, and tells why.
func (s *session) receive(p *core.Part) error {
	inHand := false
	for {
		batch, err := s.conn.readBatch()
		if len(batch) > 0 {
			if inHand {
				select {
				case <-s.handled:
				case <-s.stopped:
				case <-p.Ctx().Done():
				}
			}
			inHand = err == nil
			records, _ := neo.ParseArrays(batch) // they are complete
			p.Do(func() { p.Received(records, inHand && !p.Busy(), true) })
		}
		if err != nil {
			return err
		}
	}
}

// readBatch returns records as they come, each behind its length, in memory of its own: what
// is there, up to about maxBatch. The error belongs behind them.
func (c *conn) readBatch() (batch []byte, err error) {
	for {
		if len(batch) > 0 && c.r.Buffered() < wire.LengthSize {
			return batch, nil
		}
		head, err := c.r.Peek(wire.LengthSize)
		if err != nil {
			return batch, core.InWords(err)
		}
		n := binary.LittleEndian.Uint64(head)
		switch {
		case n == 0:
			c.r.Discard(wire.LengthSize)
			return batch, ErrChannelRemoved
		case n > MaxValue:
			return batch, fmt.Errorf("%w: the node sent a record of %d bytes, accepted are %d", ErrValueTooBig, n, MaxValue)
		}
		size := wire.LengthSize + int(n)
		whole := c.r.Buffered() >= size
		if len(batch) > 0 && (!whole || len(batch)+size > maxBatch) {
			return batch, nil
		}
		if batch == nil {
			batch = make([]byte, 0, max(size, min(c.r.Buffered(), maxBatch)))
		}
		batch = slices.Grow(batch, size)[:len(batch)+size]
		if _, err := io.ReadFull(c.r, batch[len(batch)-size:]); err != nil {
			return batch[:len(batch)-size], core.InWords(err)
		}
	}
}
