package legacy

import (
	"context"
	"errors"
	"fmt"

	wire "github.com/sociomantic-tsunami/dmqnode/internal/protocol/legacy"
)

// Producer is an open Produce: a stream of records into one channel, the fast way to
// push many. The node stores each record as it arrives but confirms none; only Close
// tells whether all are stored. Not safe for concurrent use.
type Producer struct {
	client *Client
	ctx    context.Context
	req    request
	cn     *conn
	err    error // what ended the stream
}

var errProducerClosed = errors.New("the producer is closed")

// Produce starts a stream of records into the channel, which is created if needed. ctx
// bounds the stream, including its Close. Every Producer must be closed.
func (c *Client) Produce(ctx context.Context, channel string) (*Producer, error) {
	req := newRequest(wire.Produce, channel)
	req.repeatable = true // the start of it
	if err := checkName(channel); err != nil {
		return nil, c.fail(req, err)
	}
	cn, err := c.do(ctx, req)
	if err != nil {
		return nil, err
	}
	return &Producer{client: c, ctx: ctx, req: req, cn: cn}, nil
}

// Write adds a record of 1 to [MaxValue] bytes, which is free for other use when Write
// returns. It may wait in a buffer of 64 KiB. It blocks while the node does not keep up.
// A record of another size is refused and the stream goes on; after any other error the
// stream has ended, and [ErrUncertain] says that an unknown number of its records are
// stored.
func (p *Producer) Write(record []byte) error {
	if p.err != nil {
		return p.err
	}
	if err := checkValue(record); err != nil {
		return p.client.fail(p.req, err)
	}
	p.cn.w.Write(appendLength(p.cn.w.AvailableBuffer(), record))
	_, err := p.cn.w.Write(record) // or of the Write before it
	return p.check(err)
}

// Flush sends what is in the buffer.
func (p *Producer) Flush() error {
	if p.err != nil {
		return p.err
	}
	if err := p.ctx.Err(); err != nil {
		return p.check(err)
	}
	return p.check(p.cn.w.Flush())
}

// Close ends the stream and waits until the node has stored all its records: it does when
// it answers a request that is sent behind them (§11.1). If Close returns an error that
// is [ErrUncertain], an unknown number of them are stored.
func (p *Producer) Close() error {
	if p.err != nil {
		if p.err == errProducerClosed {
			return nil
		}
		return p.err
	}
	p.cn.w.Write(wire.EndMark)
	p.cn.w.Write(wire.AppendCommand(nil, wire.GetNumConnections))
	if err := p.Flush(); err != nil {
		return err
	}
	status, err := p.cn.readStatus()
	if err := p.check(err); err != nil {
		return err
	}
	p.err = errProducerClosed
	if status != ErrNotSupported { // then more than the status may follow
		p.cn.close()
		return nil
	}
	p.client.release(p.cn)
	return nil
}

// check ends the stream if err is not nil.
func (p *Producer) check(err error) error {
	if err == nil {
		return nil
	}
	p.cn.close()
	p.err = p.client.broken(p.ctx, p.req, fmt.Errorf("%w: %w", ErrUncertain, err))
	return p.err
}
