package main

import (
	"encoding/binary"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// anybody is the credentials table of the ceiling.
type anybody struct{}

// Key implements neo.Keys.
func (anybody) Key([]byte) (*neo.Key, bool) { return &clientKey, true }

// ceilingAnswers are all that is answered to requests: two frames each, of id 0.
type ceilingAnswers struct{ pushed, popped, empty, started []byte }

func newAnswers(size int) ceilingAnswers {
	support := neo.AppendSupport(nil, 0, neo.Supported)
	end := len(support)
	support = support[:end:end]
	return ceilingAnswers{
		pushed:  neo.AppendPushStatus(support, 0, neo.Pushed),
		popped:  append(neo.AppendPoppedPrefix(support, 0, size), newRecord(size)...),
		empty:   neo.AppendPopStatus(support, 0, neo.PopEmpty),
		started: neo.AppendConsumeStatus(support, 0, neo.Started),
	}
}

// newBatch returns the buffer for Records messages: room for the prefix, then records,
// enough of them for the longest batch.
func newBatch(size int) []byte {
	return appendRecords(make([]byte, neo.RecordsPrefixSize), size, batchRecords(size))
}

// batchRecords is the number of records in a full batch.
func batchRecords(size int) int { return (neo.MinBatch + lengthLen + size - 1) / (lengthLen + size) }

// handleNeo takes all complete frames of input and returns how many bytes they have.
func (c *ceiling) handleNeo(conn *ceilingConn, input []byte) (handled int, ok bool) {
	if conn.handshake != nil {
		n, replies, done, err := conn.handshake.Step(input, c.replies)
		c.replies = replies
		if err != nil || !done {
			return n, err == nil
		}
		conn.handshake, handled = nil, n
	}
	for len(input)-handled > neo.FramePrefixSize {
		frame := input[handled:]
		body := binary.LittleEndian.Uint64(frame[bodyAt:])
		if body <= neo.MinFrameBody || body > ceilingInput-neo.HeaderSize {
			return 0, false
		}
		size := neo.HeaderSize + int(body)
		if size > len(frame) {
			break
		}
		id := binary.LittleEndian.Uint64(frame[idAt:])
		if !c.message(conn, id, frame[neo.FramePrefixSize:size]) {
			return 0, false
		}
		handled += size
	}
	return handled, true
}

// message handles what a client sends on an id: not empty.
func (c *ceiling) message(conn *ceilingConn, id uint64, payload []byte) bool {
	if len(payload) == 1 {
		return conn == c.consumer && id == conn.consume && c.feedback(conn, neo.Feedback(payload[0]))
	}
	if neo.Settlement(payload[0]) == neo.Confirm {
		c.deliverWork(conn)
		return true
	}
	switch neo.Code(payload[0]) {
	case neo.CodePush:
		c.stored++
		c.answer(c.answers.pushed, id)
	case neo.CodePop:
		if c.stored == 0 {
			c.answer(c.answers.empty, id)
			break
		}
		c.stored--
		c.answer(c.answers.popped, id)
	case neo.CodeConsume:
		c.consumer = conn
		conn.consume, conn.inFlight = id, false
		c.answer(c.answers.started, id)
	case neo.CodeWork:
		c.consumer = conn
		conn.consume, conn.inFlight, conn.worked = id, true, 0 // no batch of a Consume
		c.answer(c.answers.started, id)
		for range workAhead {
			c.deliverWork(conn)
		}
	default:
		return false
	}
	return true
}

// answer appends one of the prebuilt answers.
func (c *ceiling) answer(frames []byte, id uint64) {
	start := len(c.replies)
	c.replies = append(c.replies, frames...)
	for _, frame := range [...]int{start, start + byteFrame} {
		binary.LittleEndian.PutUint64(c.replies[frame+idAt:], id)
	}
}

// feedback handles the answer to a batch.
func (c *ceiling) feedback(conn *ceilingConn, f neo.Feedback) bool {
	if f == neo.Stop {
		c.replies = neo.AppendStopped(c.replies, conn.consume)
		c.consumer = nil
		return true
	}
	// The next batch leaves ahead of what is in c.replies. That can only be answers to
	// requests that came together with the Continue, which no workload sends.
	conn.inFlight = false
	return c.deliverNeo(conn)
}

// deliverNeo sends the next batch if the one before is answered.
func (c *ceiling) deliverNeo(conn *ceilingConn) bool {
	if conn.inFlight || c.stored == 0 || len(conn.unsent) > 0 {
		return true
	}
	records := min(c.stored, int64(batchRecords(c.size)))
	c.stored -= records
	size := int(records) * (lengthLen + c.size)
	prefix := neo.AppendRecordsPrefix(c.batch[:0], conn.consume, size)
	conn.inFlight = true
	return c.send(conn, c.batch[:len(prefix)+size])
}

// deliverWork appends the next batch of a Work, which is one record.
func (c *ceiling) deliverWork(conn *ceilingConn) {
	if c.stored == 0 {
		return
	}
	c.stored--
	conn.worked++
	size := lengthLen + c.size
	c.replies = neo.AppendBatchPrefix(c.replies, conn.consume, conn.worked, 0, size)
	c.replies = append(c.replies, c.batch[neo.RecordsPrefixSize:neo.RecordsPrefixSize+size]...)
}
