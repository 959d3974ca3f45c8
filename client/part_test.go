package client

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// A batch that crosses Stop is yielded however long it takes to arrive: the node counts it
// as delivered. A node that is silent after Stop is waited for no longer than
// RequestTimeout.
func TestSlowBatchCrossesStop(t *testing.T) {
	for _, complete := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			limit := time.Minute
			c := &Consumer{client: &Client{options: Options{Credentials: Credentials{Name: "test"}, RequestTimeout: limit}}, channel: "jobs"}
			if err := c.client.options.fill(); err != nil {
				t.Fatal(err)
			}
			c.cond = sync.NewCond(&c.mu)
			c.ctx, c.cancel = context.WithCancel(t.Context())
			c.starting, c.stop = context.WithCancel(c.ctx)
			p := &part{consumer: c, node: &node{client: c.client, address: "pipe"}}
			c.parts, c.running = []*part{p}, 1

			near, far := net.Pipe()
			var over bool
			var err error
			var part sync.WaitGroup
			part.Go(func() { over, err = p.converse(near) })
			exchange := func(sent int, answer []byte) {
				io.ReadFull(far, make([]byte, sent))
				far.Write(answer)
			}
			started := wire.AppendConsumeStatus(wire.AppendSupport(nil, requestID, wire.Supported), requestID, wire.Started)
			exchange(len(wire.AppendConsume(nil, requestID, "jobs", "")), started)
			synctest.Wait()
			c.Stop()
			exchange(len(wire.AppendFeedback(nil, requestID, wire.Stop)), nil)

			batch := make([]byte, 100_000)
			binary.LittleEndian.PutUint64(batch, uint64(len(batch)-8)) // one record
			message := append(wire.AppendRecordsPrefix(nil, requestID, len(batch)), batch...)
			for len(message) > 10_000 {
				time.Sleep(limit - time.Second)
				far.Write(message[:10_000])
				message = message[10_000:]
			}
			begin := time.Now()
			if complete {
				far.Write(append(message, wire.AppendStopped(nil, requestID)...))
			}
			part.Wait()
			if over != complete || (err == nil) != complete {
				t.Errorf("complete is %v: got over %v, error %v", complete, over, err)
			}
			if waited := time.Since(begin); waited > limit {
				t.Errorf("waited %v, want %v at most", waited, limit)
			}
			if complete && (len(c.ready) != 1 || c.ready[0].batch.left != 1) {
				t.Errorf("%d batches are ready, want one of one record", len(c.ready))
			}
			p.over(nil)
			c.routines.Wait()
		})
	}
}
