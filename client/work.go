package client

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/dmq"
	"github.com/sociomantic-tsunami/dmqnode/v2/client/internal/core"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// work is a Work at one node (docs/protocol.md), on a connection of its own: a Consume of which a
// client has several batches, which it settles in any order. After Stop the node waits until all
// are settled, so what was on its way is yielded like the rest.
//
// One goroutine reads; a second writes what has gathered meanwhile.
type work struct {
	part *core.Part
	conn *consumeConn
	in   *frames
	wake chan struct{} // one token: there is something for the writer

	// Guarded by the lock of the consumer.
	out      []byte // for the next write
	stopSent bool
}

// isWork reports whether a Consume with these options is a Work.
func isWork(o dmq.ConsumeOptions) bool { return o.MaxBatch > 0 || o.Unsettled > 0 || o.Explicit }

// work is converse for a Work.
func (l *link) work(p *core.Part, nc net.Conn) (over bool, err error) {
	w := &work{
		part: p,
		conn: &consumeConn{Conn: nc, limit: l.client.cluster.Options.RequestTimeout},
		wake: make(chan struct{}, 1),
	}
	w.in = newFrames(w.conn, maxInput(&l.client.cluster.Options))
	o := p.Options()
	first := wire.AppendWork(nil, requestID, p.Channel(), p.Subscriber(), uint64(o.MaxBatch), 0, uint64(o.Unsettled))
	if over, err := beginConsume(w.conn, w.in, first); over || err != nil {
		return over, err
	}
	ended := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() { w.write(ended) })
	p.Started(w)
	over, err = w.read()
	nc.Close()
	close(ended)
	writer.Wait()
	return over, err
}

// read takes in messages until the Work is over or the connection lost.
func (w *work) read() (over bool, err error) {
	for {
		payload, err := w.in.next()
		if err != nil {
			return false, err
		}
		message, batch, err := wire.ParseWorkMessage(payload)
		if err != nil {
			return false, err
		}
		switch message {
		case wire.ChannelRemoved:
			return true, ErrChannelRemoved
		case wire.Stopped:
			w.part.Do(func() { over = w.stopSent && !w.part.Busy() })
			if !over {
				err = errors.New("protocol error of the node: Stopped before all was settled")
			}
			return over, err
		}
		w.part.Do(func() {
			w.part.ReceivedJob(batch.Records, batch.Number, int(batch.Tries))
			w.expectSilence()
		})
	}
}

// write is the writer.
func (w *work) write(ended <-chan struct{}) {
	for {
		select {
		case <-w.wake:
		case <-ended:
			return
		}
		var out []byte
		w.part.Do(func() { out, w.out = w.out, nil })
		if _, err := w.conn.Write(out); err != nil {
			w.conn.Close()
		}
	}
}

// Acknowledge implements [core.Session].
func (w *work) Acknowledge(b core.Outcome, _ bool) {
	s := wire.Settling{Settlement: wire.Confirm, Number: b.Number}
	switch b.How {
	case dmq.Returned:
		s.Settlement, s.Delay = wire.Return, uint64(max(b.Delay, 0)/time.Millisecond)
	case dmq.Released:
		s.Settlement = wire.Release
	}
	w.send(wire.AppendSettling(w.out, requestID, s))
}

// Stop implements [core.Session].
func (w *work) Stop(int) {
	if !w.stopSent {
		w.stopSent = true
		w.send(wire.AppendFeedback(w.out, requestID, wire.Stop))
	}
}

// send gives what there is to the writer.
func (w *work) send(out []byte) {
	w.out = out
	w.expectSilence()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// expectSilence limits the time until the answer to a Stop comes, which the node has to send when
// all is settled.
func (w *work) expectSilence() {
	if limited := w.stopSent && !w.part.Busy(); limited != w.conn.limited.Load() {
		w.conn.limited.Store(limited)
		until := time.Time{}
		if limited {
			until = time.Now().Add(w.conn.limit)
		}
		w.conn.SetReadDeadline(until)
	}
}
