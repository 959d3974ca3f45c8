package legacy

import (
	"context"
	"slices"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/internal/core"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
)

// stream is what a producer sends to one node: one Produce after the other, each until what it
// has sent is confirmed. It belongs to one goroutine.
//
//	           Produce                  confirm
//	no request ───────▶ stream ───────────────────▶ no request
//	                    │  ▲ block
//	                    └──┘
type stream struct {
	producer *producer
	node     *node
	ctx      context.Context

	cn          *conn // nil while there is no request
	channels    []string
	unconfirmed []*block
	size        int // of these in bytes
	seen        int // producer.hasty, when everything was confirmed the last time
}

// run sends blocks until the producer has ended or the node is gone.
func (s *stream) run() {
	for {
		if s.cn == nil {
			s.node.awaitUsable(s.ctx)
		}
		b := s.next()
		if b == nil && s.over() {
			break
		}
		if err := s.handle(b); err != nil {
			core.Pause(s.ctx, retryPause)
		}
	}
	if s.cn != nil && !s.producer.client.cluster.Closed() {
		s.confirm()
	}
	if s.cn != nil {
		s.lose(ErrClosed)
	}
}

// over reports that the stream is to end. That of the producer is asked, too: when it is known to
// be over, and all are woken, those that depend on it may not be yet.
func (s *stream) over() bool { return s.ctx.Err() != nil || s.producer.ctx.Err() != nil }

// next waits for the next block. nil means that it is time to confirm, or to end.
func (s *stream) next() *block {
	p := s.producer
	p.Lock()
	defer p.Unlock()
	if s.cn != nil && s.seen == p.hasty && !slices.ContainsFunc(p.blocks, s.mayTake) {
		timer := time.AfterFunc(confirmPause, func() { // with the lock: not before Wait waits
			p.Lock()
			defer p.Unlock()
			p.changed.Broadcast()
		})
		p.changed.Wait()
		timer.Stop()
	}
	for {
		if i := slices.IndexFunc(p.blocks, s.mayTake); i >= 0 && !s.over() && s.node.usable() {
			b := p.blocks[i]
			p.blocks = slices.Delete(p.blocks, i, i+1)
			p.taken(b)
			return b
		}
		if s.cn != nil || s.over() || !s.node.usable() {
			return nil
		}
		s.seen = p.hasty
		p.changed.Wait()
	}
}

// mayTake tells whether a block is for this node. With a negative Retry each is asked once.
func (s *stream) mayTake(b *block) bool {
	if s.producer.Options.Retry < 0 && b.failed.Contain(s.node.Address) {
		return false
	}
	return b.home == nil || b.home == s.node || len(b.failed) > 0 || len(b.data) > blockSize/2 || !b.home.usable()
}

// handle sends a block, or confirms if there is none.
func (s *stream) handle(b *block) error {
	if s.cn != nil && (b == nil || s.size >= confirmSize || !slices.Equal(b.channels, s.channels)) {
		if err := s.confirm(); err != nil {
			if b != nil {
				s.producer.back([]*block{b}, s.node, err, false)
			}
			return err
		}
	}
	if b == nil {
		return nil
	}
	if s.cn == nil {
		if err := s.begin(b.channels); err != nil {
			s.producer.back([]*block{b}, s.node, err, false)
			return err
		}
	}
	s.unconfirmed = append(s.unconfirmed, b)
	s.size += len(b.data)
	return s.send(b.data)
}

// begin starts a request.
func (s *stream) begin(channels []string) error {
	req := newRequest(choose(channels, wire.Produce, wire.ProduceMulti), channels...)
	req.stream, req.repeatable = true, true // the latter until the status
	cn, err := s.node.do(s.producer.ctx, req)
	if err != nil {
		return err
	}
	s.cn, s.channels = cn, channels
	return nil
}

// send writes to the stream, in parts that RequestTimeout is for.
func (s *stream) send(data []byte) error {
	for len(data) > 0 {
		n := min(len(data), max(blockSize, len(data)/64))
		s.cn.allow(s.producer.client.cluster.Options.RequestTimeout)
		if _, err := s.cn.Write(data[:n]); err != nil {
			return s.lose(err)
		}
		data = data[n:]
	}
	return nil
}

// confirm ends the stream and waits until the node has stored what was sent.
func (s *stream) confirm() error {
	p := s.producer
	p.Lock()
	s.seen = p.hasty
	p.Unlock()
	if err := s.send(wire.AppendCommand(slices.Clone(wire.EndMark), wire.GetNumConnections)); err != nil {
		return err
	}
	status, err := s.cn.readStatus()
	if err != nil {
		return s.lose(err)
	}
	if status == ErrNotSupported {
		s.node.release(s.cn)
	} else { // more than the status may follow
		s.node.drop(s.cn)
	}
	s.cn = nil
	for _, b := range s.unconfirmed {
		s.node.Pushed.Add(uint64(b.records))
		p.settle(b, nil)
	}
	s.unconfirmed, s.size = s.unconfirmed[:0], 0
	return nil
}

// lose closes a broken stream and gives back what is not confirmed.
func (s *stream) lose(err error) error {
	s.node.drop(s.cn)
	s.cn = nil
	s.node.broken(s.producer.ctx, err)
	s.node.Failed.Add(1)
	err = s.node.disconnected(s.producer.ctx, s.producer.client.cluster.Options.RequestTimeout, err)
	s.producer.back(s.unconfirmed, s.node, err, true)
	s.unconfirmed, s.size = nil, 0
	return err
}
