package legacy

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync"

	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
)

// maxBatch is about how many bytes of records are handed over at once.
const maxBatch = 64 << 10

// Consume subscribes to the channel at all nodes, where it is created if needed, and returns
// its records as they come. Consumers of one channel share its records: each goes to one of
// them. The records of one node come in their order.
//
//	for record, err := range client.Consume(ctx, "jobs") {
//		if err != nil {
//			return err
//		}
//		…
//	}
//
// A record belongs to the caller. A node that can't be connected to, or whose connection
// breaks, is no error: Consume begins again there as soon as it is back, and the records that
// were under way are lost (or see [Options.ConsumeOnce]).
//
// An error says that a node, which it names, has no more part: the channel was removed there
// ([ErrChannelRemoved]), or the node refused. The loop may go on, for the other nodes; when
// none is left, it ends. When ctx has ended, or the client was closed, what was received is
// still yielded, and then an error that says so.
//
// To stop, end ctx or leave the loop. The protocol has no stop message, and a node sends
// ahead as much as the connection takes: records that were under way, up to some megabytes
// for each node, are then lost. Use [Client.Pop] to take an exact number of records.
func (c *Client) Consume(ctx context.Context, channel string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		req := newRequest(wire.Consume, channel)
		req.stream, req.repeatable = true, true // the latter until the status
		if err := checkName(channel); err != nil {
			yield(nil, req.fail(nil, err))
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		s := &consumption{client: c, ctx: ctx, req: req, arrived: make(chan batch), left: make(chan struct{})}
		s.start()
		defer func() { // also when the loop ends by a panic
			cancel() // first, so that the parts know that nothing is wrong with the nodes
			close(s.left)
			s.parts.Wait()
		}()
		for b := range s.arrived {
			for _, record := range b.records {
				if !yield(record, nil) {
					return
				}
			}
			if b.err != nil && !yield(nil, b.err) {
				return
			}
		}
		switch {
		case ended(ctx) != nil:
			yield(nil, c.failEverywhere(req, ended(ctx)))
		case c.ctx.Err() != nil:
			yield(nil, c.failEverywhere(req, ErrClosed))
		}
	}
}

// consumption is one Consume at all nodes. Each node has a goroutine, its part, which hands
// over what it has received in batches and then waits: so a slow loop slows down the nodes.
type consumption struct {
	client  *Client
	ctx     context.Context
	req     request
	arrived chan batch    // closed when no part is left
	left    chan struct{} // closed when the loop was left
	parts   sync.WaitGroup
}

// batch is records, or the error that ends a part.
type batch struct {
	records [][]byte
	err     error
}

func (s *consumption) start() {
	for _, n := range s.client.nodes {
		s.parts.Go(func() { s.part(n) })
	}
	go func() {
		s.parts.Wait()
		close(s.arrived)
	}()
}

// part is what goes on at one node.
func (s *consumption) part(n *node) {
	once := s.client.options.ConsumeOnce
	for {
		if !once {
			n.awaitUsable(s.ctx)
		}
		over, err := s.consume(n)
		if ended(s.ctx) != nil || s.client.ctx.Err() != nil {
			return
		}
		if over || once {
			s.hand(batch{err: s.req.fail(n, err)})
			return
		}
		s.client.options.Logger.Log(s.ctx, slog.LevelDebug, "not consuming", "channel", s.req.channel, "node", n.address, "error", err)
	}
}

// consume does a Consume until the connection breaks or the part is over.
func (s *consumption) consume(n *node) (over bool, err error) {
	cn, err := n.do(s.ctx, s.req)
	if err != nil {
		var status Status
		return errors.As(err, &status), err
	}
	s.client.options.Logger.Info("consuming", "channel", s.req.channel, "node", n.address)
	cn.allow(0)
	err = s.receive(n, cn)
	switch {
	case errors.Is(err, ErrChannelRemoved):
		n.release(cn)
		return true, err
	case errors.Is(err, ErrValueTooBig):
		n.drop(cn)
		return true, err // the node would perhaps send it again, and again
	}
	n.drop(cn)
	if s.ctx.Err() == nil {
		n.broken(s.ctx, err)
	}
	return false, n.reason(s.ctx, 0, err)
}

// receive hands over records until there are no more, and tells why.
func (s *consumption) receive(n *node, cn *conn) error {
	var records, next [][]byte // next is free: when a batch is handed over, the one before it is handled
	for {
		size := 0
		records = records[:0]
		var err error
		for {
			var record []byte
			if record, err = cn.readArray(); err != nil {
				break
			}
			if len(record) == 0 {
				err = ErrChannelRemoved
				break
			}
			records = append(records, record)
			if size += len(record); size >= maxBatch || !cn.arrayIsHere() {
				break
			}
		}
		n.consumed.Add(uint64(len(records)))
		if len(records) > 0 && !s.hand(batch{records: records}) || err != nil {
			return err
		}
		records, next = next, records
	}
}

// hand hands over a batch, and tells whether anybody is there to take it.
func (s *consumption) hand(b batch) bool {
	select {
	case s.arrived <- b:
		return true
	case <-s.left:
		return false
	}
}
