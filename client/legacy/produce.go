package legacy

import (
	"context"
	"errors"
	"fmt"
	"time"

	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/legacy"
)

// Producer stores many records in the same channels, the fast way. It sends them in streams,
// Produce or ProduceMulti requests. A node stores each record as it arrives but confirms
// none; a Producer knows that all are stored when the node answers a request which is sent
// behind them (§11.1). That is what Confirm and Close wait for.
//
//	        Produce                     Confirm
//	no stream ────▶ stream to a node ────────────▶ no stream
//	    ▲                Write, Flush                  │ Write
//	    └──────────────────────────────────────────────┘
//
// Each stream goes to the next node, so a producer that confirms now and then spreads its
// records over the nodes. The order of records is kept within a stream.
//
// If a stream breaks, the records since the last Confirm may be stored or not. By default the
// producer then ends, with [ErrUncertain]; Stored tells how many are certain. With
// [Options.AtLeastOnce] it holds these records and sends all of them again to the next
// node, trying for [Options.RequestTimeout] to find one; so that there are never more than
// [Options.MaxUnconfirmed] bytes of them, it confirms by itself.
//
// Not safe for concurrent use.
type Producer struct {
	client *Client
	ctx    context.Context
	req    request
	node   *node  // of the stream
	cn     *conn  // nil while there is no stream
	held   []byte // the unconfirmed records as they were sent; AtLeastOnce only
	open   uint64 // records that are not confirmed
	stored uint64
	err    error // what ended the producer
}

var errProducerClosed = errors.New("the producer is closed")

// Produce returns a producer for the channel after starting a stream to one node, where the
// channel is created if needed. ctx bounds the producer, including its Close. Every Producer
// must be closed.
func (c *Client) Produce(ctx context.Context, channel string) (*Producer, error) {
	req := newRequest(wire.Produce, channel)
	if err := checkName(channel); err != nil {
		return nil, req.fail(nil, err)
	}
	return c.newProducer(ctx, req)
}

// ProduceMulti is Produce for records of which each of the channels gets a copy. There must
// be one channel at least, 65,536 at most.
func (c *Client) ProduceMulti(ctx context.Context, channels []string) (*Producer, error) {
	req, err := newMultiRequest(wire.ProduceMulti, channels)
	if err != nil {
		return nil, err
	}
	return c.newProducer(ctx, req)
}

func (c *Client) newProducer(ctx context.Context, req request) (*Producer, error) {
	req.stream, req.repeatable = true, true // the latter at its start
	p := &Producer{client: c, ctx: ctx, req: req}
	if err := p.begin(); err != nil {
		return nil, err
	}
	return p, nil
}

// Write adds a record of 1 to [MaxValue] bytes, which is free for other use when Write
// returns. It may wait in a buffer of 64 KiB. Write blocks while the node does not keep up.
// A record of another size is refused and the producer goes on; after any other error it has
// ended.
func (p *Producer) Write(record []byte) error {
	if p.err != nil {
		return p.err
	}
	if err := checkValue(record); err != nil {
		return p.req.fail(p.node, err)
	}
	if p.cn == nil {
		if err := p.begin(); err != nil {
			if err := p.settle(err, p.noStep); err != nil {
				return err
			}
		}
	}
	p.open++
	if p.client.options.AtLeastOnce {
		p.held = append(appendLength(p.held, record), record...)
	}
	if err := p.send(record); err != nil {
		return p.settle(err, p.noStep)
	}
	if len(p.held) >= p.client.options.MaxUnconfirmed {
		return p.Confirm()
	}
	return nil
}

// Flush sends what is in the buffer.
func (p *Producer) Flush() error { return p.onStream(p.flush) }

// Confirm waits until the node has stored all records written so far.
func (p *Producer) Confirm() error { return p.onStream(p.end) }

// onStream does a step on the stream, if there is one.
func (p *Producer) onStream(step func() error) error {
	switch {
	case p.err != nil:
		return p.err
	case p.cn == nil:
		return nil
	}
	if err := step(); err != nil {
		return p.settle(err, step)
	}
	return nil
}

// Close ends the producer after a Confirm. If it returns an error that is [ErrUncertain], all
// but the first Stored records may be stored or not; the error is that of Write or Flush if
// one has failed before.
func (p *Producer) Close() error {
	err := p.Confirm()
	if err == errProducerClosed {
		return nil
	}
	if err == nil {
		p.err = errProducerClosed
	}
	return err
}

// Stored returns how many records are confirmed, counted from the first.
func (p *Producer) Stored() uint64 { return p.stored }

// begin starts a stream to the next node that accepts it.
func (p *Producer) begin() (err error) {
	p.node, p.cn, err = p.client.doOnOne(p.ctx, p.req, p.client.streams)
	return err
}

// send writes a record to the stream.
func (p *Producer) send(record []byte) error {
	if wire.LengthSize+len(record) > p.cn.w.Available() {
		p.cn.allow(p.client.options.RequestTimeout)
	}
	p.cn.w.Write(appendLength(p.cn.w.AvailableBuffer(), record))
	_, err := p.cn.w.Write(record) // or of the Write before it
	return err
}

// flush sends what is in the buffer of the stream.
func (p *Producer) flush() error {
	p.cn.allow(p.client.options.RequestTimeout)
	return p.cn.w.Flush()
}

// end ends the stream and waits for the confirmation.
func (p *Producer) end() error {
	p.cn.w.Write(wire.EndMark)
	p.cn.w.Write(wire.AppendCommand(nil, wire.GetNumConnections))
	if err := p.flush(); err != nil {
		return err
	}
	status, err := p.cn.readStatus()
	if err != nil {
		return err
	}
	if status == ErrNotSupported {
		p.node.release(p.cn)
	} else { // more than the status may follow
		p.node.drop(p.cn)
	}
	p.cn = nil
	p.node.produced.Add(p.open)
	p.stored += p.open
	p.open, p.held = 0, p.held[:0]
	return nil
}

// noStep is for when there is nothing to do on a stream but what settle does.
func (p *Producer) noStep() error { return nil }

// settle deals with a broken stream, or one that could not be started. It ends the producer,
// or with AtLeastOnce sends the unconfirmed records again to another node, and does step
// there.
func (p *Producer) settle(err error, step func() error) error {
	giveUp := time.Now().Add(p.client.options.RequestTimeout)
	for {
		err = p.lose(err)
		if !p.client.options.AtLeastOnce || !p.client.mayGoOn(p.ctx, p.req, err) || time.Now().After(giveUp) {
			return p.finish(err)
		}
		change := p.client.change()
		if err = p.begin(); err != nil {
			if !p.await(change, giveUp) {
				return p.finish(err)
			}
			continue
		}
		if err = p.resend(); err == nil {
			err = step()
		}
		if err == nil {
			return nil
		}
	}
}

// lose closes a broken stream and returns the error of the request. Without a stream err is
// that already.
func (p *Producer) lose(err error) error {
	if p.cn == nil {
		return err
	}
	p.node.drop(p.cn)
	p.cn = nil
	if p.ctx.Err() == nil {
		p.node.broken(p.ctx, err)
	}
	p.node.failures.Add(1)
	return p.req.fail(p.node, p.node.reason(p.ctx, p.client.options.RequestTimeout, err))
}

// await waits for a change of the nodes, and tells whether there was one in time.
func (p *Producer) await(change <-chan struct{}, giveUp time.Time) bool {
	timer := time.NewTimer(time.Until(giveUp))
	defer timer.Stop()
	select {
	case <-change:
		return true
	case <-timer.C:
	case <-p.ctx.Done():
	case <-p.client.ctx.Done():
	}
	return false
}

// resend writes the unconfirmed records to a new stream.
func (p *Producer) resend() error {
	const part = 64 << 10 // what RequestTimeout is for
	for rest := p.held; len(rest) > 0; {
		n := min(part, len(rest))
		p.cn.allow(p.client.options.RequestTimeout)
		if _, err := p.cn.w.Write(rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

// finish ends the producer with an error.
func (p *Producer) finish(err error) error {
	if p.open > 0 {
		e := err.(*Error)
		e.Err = fmt.Errorf("%w: %w", ErrUncertain, e.Err)
	}
	p.err = err
	return err
}
