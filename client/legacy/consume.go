package legacy

import (
	"context"
	"iter"

	wire "github.com/sociomantic-tsunami/dmqnode/internal/protocol/legacy"
)

// Consume subscribes to the channel, which is created if needed, and returns its records
// as they come. Consumers of one channel share its records: each goes to one of them.
//
//	for record, err := range client.Consume(ctx, "jobs") {
//		if err != nil {
//			return err
//		}
//		…
//	}
//
// A record belongs to the caller. The iteration ends with an error: the channel was
// removed ([ErrChannelRemoved]), ctx ended, or the connection broke, which is what a
// client sees of a node that stops. Nothing is repeated.
//
// To stop, end ctx or leave the loop. The protocol has no stop message, and the node
// sends ahead as much as the connection takes: records that were on their way, up to some
// megabytes, are then lost. Use [Client.Pop] to take an exact number of records.
func (c *Client) Consume(ctx context.Context, channel string) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		req := newRequest(wire.Consume, channel)
		req.repeatable = true // until the status
		if err := checkName(channel); err != nil {
			yield(nil, c.fail(req, err))
			return
		}
		cn, err := c.do(ctx, req)
		if err != nil {
			yield(nil, err)
			return
		}
		reusable := false
		defer func() { // also when the loop ends by a panic
			if reusable {
				c.release(cn)
			} else {
				cn.close()
			}
		}()
		for {
			record, err := cn.readArray()
			switch {
			case err != nil:
				yield(nil, c.broken(ctx, req, err))
				return
			case len(record) == 0:
				reusable = true
				yield(nil, c.fail(req, ErrChannelRemoved))
				return
			case !yield(record, nil):
				return
			}
		}
	}
}
