package client

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
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
			near, far := net.Pipe()
			var dials atomic.Int32
			l := newTestLinkBy(t, limit, func(ctx context.Context, _, _ string) (net.Conn, error) {
				if dials.Add(1) == 2 { // the first one is not for the Consume
					return near, nil
				}
				<-ctx.Done()
				return nil, ctx.Err()
			})
			synctest.Wait()
			c, err := l.client.Consume(t.Context(), "jobs", ConsumeOptions{Once: true})
			if err != nil {
				t.Fatal(err)
			}
			acceptClient(far)
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
			var values [][]byte
			for record, e := range c.Records() {
				if err = e; err == nil {
					values = append(values, record.Value)
				}
			}
			if complete && (err != nil || len(values) != 1 || len(values[0]) != len(batch)-8) {
				t.Errorf("got %d records, error %v, want one record", len(values), err)
			}
			if !complete && (err != nil || len(values) != 0) {
				t.Errorf("got %d records, error %v, want none", len(values), err)
			}
			if waited := time.Since(begin); waited > limit {
				t.Errorf("waited %v, want %v at most", waited, limit)
			}
		})
	}
}

// acceptClient is the node's side of the handshake.
func acceptClient(far net.Conn) {
	h := wire.Handshake{Keys: anyKey{}}
	var in []byte
	for done := false; !done; {
		var n int
		var out []byte
		n, out, done, _ = h.Step(in, nil)
		in = in[n:]
		if len(out) > 0 { // an empty write to a pipe waits too
			far.Write(out)
		}
		if !done {
			buffer := make([]byte, 1000)
			n, _ := far.Read(buffer)
			in = append(in, buffer[:n]...)
		}
	}
}

type anyKey struct{}

func (anyKey) Key([]byte) (*wire.Key, bool) { return new(wire.Key), true }
