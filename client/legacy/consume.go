package legacy

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/internal/core"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// maxBatch is how many bytes of records are handed over at once, unless one is larger.
const maxBatch = 32 << 10

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
	in := bufio.NewReaderSize(s.conn.r, maxBatch)
	for inHand := false; ; inHand = true {
		batch, err := readBatch(in)
		if err != nil {
			return err
		}
		if inHand {
			select {
			case <-s.handled:
			case <-s.stopped:
			case <-p.Ctx().Done():
			}
		}
		records, _ := neo.ParseArrays(batch) // they are complete
		p.Do(func() { p.Received(records, !p.Busy(), true) })
	}
}

// readBatch returns the records that are there, one at least, each behind its length, in memory
// of its own.
func readBatch(in *bufio.Reader) ([]byte, error) {
	head, err := in.Peek(wire.LengthSize)
	if err != nil {
		return nil, core.InWords(err)
	}
	n := binary.LittleEndian.Uint64(head)
	switch {
	case n == 0:
		in.Discard(wire.LengthSize)
		return nil, ErrChannelRemoved
	case n > MaxValue:
		return nil, fmt.Errorf("%w: the node sent a record of %d bytes, accepted are %d", ErrValueTooBig, n, MaxValue)
	}
	size := wire.LengthSize + int(n)
	if size <= in.Size() {
		if _, err := in.Peek(size); err != nil {
			return nil, core.InWords(err)
		}
		here, _ := in.Peek(in.Buffered())
		size = wholeRecords(here)
	}
	batch := make([]byte, size)
	_, err = io.ReadFull(in, batch)
	return batch, core.InWords(err)
}

// wholeRecords returns the size of the records at the beginning of a stream that are complete,
// and that a client accepts.
func wholeRecords(stream []byte) (size int) {
	for {
		rest := stream[size:]
		if len(rest) < wire.LengthSize {
			return size
		}
		n := binary.LittleEndian.Uint64(rest)
		if n == 0 || n > min(MaxValue, uint64(len(rest)-wire.LengthSize)) {
			return size
		}
		size += wire.LengthSize + int(n)
	}
}
