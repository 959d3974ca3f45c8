package client

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/nodes"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// part is the part of one node in a Consume (§14.6): a connection to it and the Consume on
// that, again and again until it is over.
//
//	            dial               Started             Records
//	away ─────────────▶ starting ─────────▶ idle ─────────────▶ batch in hand
//	 ▲                     │                 │ ▲                  │
//	 └─────────────────────┴─────────────────┘ └──────────────────┘
//	         connection lost: from anywhere     all handled: Continue
//
// Stop is sent when idle; in the other states it is put off: until Started, and in place of
// Continue until the batch is handled. So the node never gets a message it doesn't expect,
// and what was not handled is not acknowledged. ChannelRemoved and Stopped end the part.
//
// One goroutine connects and reads, a second writes feedback while the Consume runs. What
// they share with the loops over records is guarded by Consumer.mu.
type part struct {
	consumer *Consumer
	node     *node

	feedback chan wire.Feedback // to the writer; nil unless the Consume runs. One Continue and one Stop fit.
	stopSent bool               // on this connection
	crossed  bool               // a batch came after that; it needs no acknowledgement
	batch    *batch             // in hand, to be acknowledged; nil if there is none
	err      error              // why there is no connection; that of the last one if there is
}

// batch is the records of one message.
type batch struct {
	part    *part
	records wire.Arrays // not yielded yet
	left    int         // of these
	pending int         // not handled yet
}

// requestID is the id of the Consume, the only request on its connection.
const requestID = 1

// run is the goroutine of the part.
func (p *part) run() {
	c := p.consumer
	var backoff nodes.Backoff
	for c.starting.Err() == nil {
		start := time.Now()
		over, err := p.consume()
		if over {
			p.over(err)
			return
		}
		lasted := time.Since(start)
		started, level := p.lost(err)
		if c.starting.Err() != nil {
			break
		}
		c.client.options.Logger.Log(c.ctx, level, "not consuming", "channel", c.channel, "node", p.node.address, "error", err)
		if started && lasted >= nodes.MaxDelay {
			backoff.Succeeded()
		} else {
			pause(c.starting, backoff.Failed(lasted))
		}
	}
	p.over(nil)
}

// consume connects and does a Consume until it is over, for good if err is nil or an error
// of the node, or the connection is lost.
func (p *part) consume() (over bool, err error) {
	nc, err := p.consumer.client.dial(p.consumer.starting, p.node.address)
	if err != nil {
		return false, err
	}
	p.node.connects.Add(1)
	return p.converse(nc)
}

// converse is consume on a connection, which it closes.
func (p *part) converse(nc net.Conn) (over bool, err error) {
	c := p.consumer
	defer nc.Close()
	defer context.AfterFunc(c.ctx, func() { nc.Close() })()
	conn := &consumeConn{Conn: nc, limit: c.client.options.RequestTimeout}
	in := newFrames(conn, c.client.options.maxInput())
	if over, err := p.begin(conn, in); over || err != nil {
		return over, err
	}
	p.started(conn)
	for {
		payload, err := in.next()
		if err != nil {
			return false, err
		}
		message, records, err := wire.ParseConsumeMessage(payload)
		if err != nil {
			return false, err
		}
		switch message {
		case wire.Records:
			err = p.received(records)
		case wire.ChannelRemoved:
			return true, ErrChannelRemoved
		case wire.Stopped:
			return p.stopped()
		}
		if err != nil {
			return false, err
		}
	}
}

// begin sends the first message and waits for Started. over tells that the node refuses.
func (p *part) begin(nc net.Conn, in *frames) (over bool, err error) {
	c := p.consumer
	if err := nc.SetDeadline(time.Now().Add(c.client.options.RequestTimeout)); err != nil {
		return false, err
	}
	if _, err := nc.Write(wire.AppendConsume(nil, requestID, c.channel, c.subscriber)); err != nil {
		return false, err
	}
	payload, err := in.next()
	if err != nil {
		return false, err
	}
	support, err := wire.ParseSupport(payload)
	if err != nil {
		return false, err
	}
	if err := supportError(support); err != nil {
		return true, err
	}
	if payload, err = in.next(); err != nil {
		return false, err
	}
	status, err := wire.ParseConsumeStatus(payload)
	if err != nil {
		return false, err
	}
	if status != wire.Started {
		return true, fmt.Errorf("%w: Consume status %d", ErrNodeError, status)
	}
	return false, nc.SetDeadline(time.Time{})
}

// started starts the writer.
func (p *part) started(nc *consumeConn) {
	c := p.consumer
	c.client.options.Logger.Info("consuming", "channel", c.channel, "node", p.node.address)
	c.mu.Lock()
	defer c.mu.Unlock()
	p.feedback, p.stopSent, p.crossed = make(chan wire.Feedback, 2), false, false
	c.started++
	c.cond.Broadcast()
	feedback := p.feedback
	c.routines.Go(func() { p.write(nc, feedback) })
	if c.stopping {
		p.stop()
	}
}

// write is the writer. It ends when the channel is closed.
func (p *part) write(nc *consumeConn, feedback <-chan wire.Feedback) {
	for message := range feedback {
		_, err := nc.Write(wire.AppendFeedback(nil, requestID, message))
		if message == wire.Stop && err == nil {
			err = nc.limitSilence() // the answer must come: or else Stop would not end
		}
		if err != nil {
			nc.Close()
		}
	}
}

// received takes in a batch.
func (p *part) received(records wire.Arrays) error {
	b := &batch{part: p, records: records}
	for range records.All {
		b.left++
	}
	b.pending = b.left
	p.node.consumed.Add(uint64(b.left))
	c := p.consumer
	c.mu.Lock()
	defer c.mu.Unlock()
	if p.batch != nil || p.crossed {
		return errors.New("protocol error of the node: records before the previous ones were acknowledged")
	}
	if p.stopSent {
		p.crossed = true
	} else {
		p.batch = b
	}
	if c.ended == nil {
		c.ready = append(c.ready, item{batch: b})
		c.cond.Broadcast()
	}
	return nil
}

// acknowledge tells the node that a batch is handled, if it still waits for that. c.mu is
// held.
func (p *part) acknowledge(b *batch) {
	if p.batch != b {
		return // it came with Stop, or on a connection that is lost
	}
	p.batch = nil
	if p.consumer.stopping {
		p.stop()
	} else {
		p.send(wire.Continue)
	}
}

// stop sends Stop, if it is the time for it. c.mu is held.
func (p *part) stop() {
	if p.feedback != nil && p.batch == nil && !p.stopSent {
		p.stopSent = true
		p.send(wire.Stop)
	}
}

// send gives a message to the writer. c.mu is held.
func (p *part) send(message wire.Feedback) {
	select {
	case p.feedback <- message:
	default: // the Consume does not run, or the node sends without reading
	}
}

// stopped handles the message of that name.
func (p *part) stopped() (over bool, err error) {
	p.consumer.mu.Lock()
	defer p.consumer.mu.Unlock()
	if !p.stopSent {
		return false, errors.New("protocol error of the node: Stopped without Stop")
	}
	return true, nil
}

// lost handles the end of the connection, or that there was none. It tells whether the
// Consume had started, and at what level err is to be logged. What was received and not
// yielded will come again, so it is dropped; unless it was confirmed by a Stop that may have
// reached the node.
func (p *part) lost(err error) (started bool, level slog.Level) {
	c := p.consumer
	c.mu.Lock()
	defer c.mu.Unlock()
	started = p.end()
	if b := p.batch; b != nil && !c.keepBatch {
		c.ready = slices.DeleteFunc(c.ready, func(i item) bool { return i.batch == b })
	}
	p.batch = nil
	level = slog.LevelWarn
	if !started && said(p.err, err) {
		level = slog.LevelDebug
	}
	p.err = err
	return started, level
}

// end ends the writer, and tells whether there was one. c.mu is held.
func (p *part) end() bool {
	if p.feedback == nil {
		return false
	}
	close(p.feedback)
	p.feedback = nil
	p.consumer.started--
	return true
}

// over ends the part. err is the reason, nil if it was stopped.
func (p *part) over(err error) {
	c := p.consumer
	c.mu.Lock()
	p.end()
	if err != nil && c.ended == nil {
		c.ready = append(c.ready, item{err: c.failure(p.node.address, err)})
	}
	c.running--
	last := c.running == 0
	c.cond.Broadcast()
	c.mu.Unlock()
	if last {
		c.cancel()
		c.client.forget(c)
	}
}

// consumeConn is the connection of a Consume. Once the silence of the node is limited, it
// may last that long; each byte that comes begins it anew, for the batch that crosses Stop
// may be large and the link slow.
type consumeConn struct {
	net.Conn
	limit   time.Duration
	limited atomic.Bool
}

func (c *consumeConn) limitSilence() error {
	c.limited.Store(true)
	return c.SetReadDeadline(time.Now().Add(c.limit))
}

func (c *consumeConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err == nil && c.limited.Load() {
		err = c.limitSilence()
	}
	return n, err
}

// frames reads the messages of the Consume.
type frames struct {
	in  *bufio.Reader
	max uint64
}

func newFrames(nc net.Conn, maxBody uint64) *frames {
	return &frames{bufio.NewReaderSize(nc, readSize), maxBody}
}

// next returns the payload of the next message, in memory of its own. Memory is taken as
// data arrive, not as they are announced.
func (f *frames) next() ([]byte, error) {
	for {
		header, err := f.in.Peek(wire.HeaderSize)
		if err != nil {
			return nil, ended(err)
		}
		_, _, size, err := wire.Next(header, f.max)
		if err != nil {
			return nil, err
		}
		var frame []byte
		for len(frame) < size {
			part := min(size-len(frame), max(len(frame), keep))
			frame = slices.Grow(frame, part)[:len(frame)+part]
			if _, err := io.ReadFull(f.in, frame[len(frame)-part:]); err != nil {
				return nil, ended(err)
			}
		}
		id, payload, _, err := wire.Next(frame, f.max)
		if err != nil || id == requestID {
			return payload, err
		}
	}
}

// ended says in words that the node has closed the connection.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errNodeClosed
	}
	return err
}
