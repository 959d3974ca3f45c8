package main

import (
	"fmt"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
)

// neoLoad is the load of the neo protocol, built for a number of requests in flight.
type neoLoad struct {
	pushes, pops   []byte   // one request on each id from 1 up
	pushed, popped *answers // to them

	consume, started []byte // the request on consumeID, and what it is answered with
	next, stop       []byte // feedback
	stopped          []byte
}

// consumeID is the id of every Consume.
const consumeID = 1

// The ways in which a Pop may end, in the order of neoLoad.popped.
const (
	endPopped = iota
	endEmpty
)

// neo builds a neoLoad.
func (l *load) neo(depth int) *neoLoad {
	record := newRecord(l.size)
	n := &neoLoad{
		pushed:  newAnswersTo(depth, neo.AppendPushStatus(nil, 0, neo.Pushed)),
		popped:  newAnswersTo(depth, append(neo.AppendPoppedPrefix(nil, 0, len(record)), record...), neo.AppendPopStatus(nil, 0, neo.PopEmpty)),
		consume: neo.AppendConsume(nil, consumeID, channel, ""),
		started: neo.AppendConsumeStatus(neo.AppendSupport(nil, consumeID, neo.Supported), consumeID, neo.Started),
		next:    neo.AppendFeedback(nil, consumeID, neo.Continue),
		stop:    neo.AppendFeedback(nil, consumeID, neo.Stop),
		stopped: neo.AppendStopped(nil, consumeID),
	}
	for id := range uint64(depth) {
		n.pushes, _ = neo.AppendPush(n.pushes, id+1, []string{channel}, record) // one channel is not too many
		n.pops = neo.AppendPop(n.pops, id+1, popChannel)
	}
	return n
}

// exchange sends requests in one write and waits until all of them have ended.
func (l *load) exchange(c conn, requests []byte, a *answers) error {
	if err := c.write(requests); err != nil {
		return err
	}
	return l.receiveAnswers(c, a)
}

// receiveAnswers waits until the requests that were just sent have ended.
func (l *load) receiveAnswers(c conn, a *answers) error {
	a.sent()
	rest := 0
	for a.inFlight > 0 {
		n, err := c.read(l.input[rest:])
		if err != nil {
			return err
		}
		taken, err := a.take(l.input[:rest+n])
		if err != nil {
			return err
		}
		rest = copy(l.input, l.input[taken:rest+n])
	}
	if rest > 0 {
		return fmt.Errorf("% x behind the last answer", l.input[:rest])
	}
	return nil
}

// pushAllNeo pushes on one connection, as many requests at once as n is built for. It
// returns the number of records pushed.
func (l *load) pushAllNeo(c conn, n *neoLoad, end bound) (pushed int64, err error) {
	clear(n.pushed.ended)
	for pushed == 0 || pushed < end.records && time.Now().Before(end.until) {
		if err := l.exchange(c, n.pushes, n.pushed); err != nil {
			return 0, fmt.Errorf("neo push: %w", err)
		}
		pushed = n.pushed.ended[0]
	}
	return pushed, nil
}

// popAllNeo pops until the channel is empty, by when count records must have come.
func (l *load) popAllNeo(c conn, n *neoLoad, count int64) error {
	ended := n.popped.ended
	clear(ended)
	for ended[endEmpty] == 0 {
		if err := l.exchange(c, n.pops, n.popped); err != nil {
			return fmt.Errorf("neo pop: %w", err)
		}
	}
	return checkReceived("neo pop", ended[endPopped], count)
}

// consumeAllNeo runs a Consume until count records have come, and proves that these are
// all: nothing but Stopped follows.
func (l *load) consumeAllNeo(c conn, n *neoLoad, count int64) error {
	if err := startConsumeNeo(c, n); err != nil {
		return err
	}
	stream := walker{size: uint64(l.size)}
	for stream.records < count {
		err := l.receiveBatch(c, &stream)
		if err == nil {
			err = c.write(n.next)
		}
		if err != nil {
			return fmt.Errorf("neo consume: %d records received: %w", stream.records, err)
		}
	}
	if err := checkReceived("neo consume", stream.records, count); err != nil {
		return err
	}
	return leaveNeo(c, n)
}

func startConsumeNeo(c conn, n *neoLoad) error {
	if err := c.exchange(n.consume, n.started); err != nil {
		return fmt.Errorf("neo consume: %w", err)
	}
	return nil
}

// leaveNeo ends a Consume that has confirmed its last batch.
func leaveNeo(c conn, n *neoLoad) error {
	if err := c.exchange(n.stop, n.stopped); err != nil {
		return fmt.Errorf("leaving a neo Consume: %w", err)
	}
	return nil
}

// receiveBatch reads one batch of complete records, each of the right size.
func (l *load) receiveBatch(c conn, stream *walker) error {
	prefix, have := neo.RecordsPrefixSize, 0
	for have < prefix {
		got, err := c.read(l.input[have:])
		if err != nil {
			return err
		}
		have += got
	}
	left, err := batchSize(l.input[:prefix], consumeID)
	if err != nil {
		return err
	}
	for piece := l.input[prefix:have]; ; piece = l.input[:have] {
		if left -= len(piece); left < 0 {
			return fmt.Errorf("%d bytes behind a batch that is not answered yet", -left)
		}
		if _, ended, err := stream.walk(piece); err != nil {
			return err
		} else if ended {
			return fmt.Errorf("record %d is empty", stream.records+1)
		}
		if left == 0 {
			break
		}
		if have, err = c.read(l.input); err != nil {
			return err
		}
	}
	if !stream.atBoundary() {
		return fmt.Errorf("the batch ends with a part of record %d", stream.records+1)
	}
	return nil
}

// roundTripNeo pushes one record and waits until the consumer has it. It returns the time
// from before the push to the last byte of the record.
func (l *load) roundTripNeo(producer, consumer conn, n *neoLoad) (time.Duration, error) {
	start := time.Now()
	if err := producer.write(n.pushes); err != nil {
		return 0, fmt.Errorf("neo push: %w", err)
	}
	stream := walker{size: uint64(l.size)}
	if err := l.receiveBatch(consumer, &stream); err != nil {
		return 0, fmt.Errorf("neo consume: %w", err)
	}
	taken := time.Since(start)
	if err := consumer.write(n.next); err != nil {
		return 0, fmt.Errorf("neo consume: %w", err)
	}
	if err := checkReceived("neo consume", stream.records, 1); err != nil {
		return 0, err
	}
	if err := l.receiveAnswers(producer, n.pushed); err != nil {
		return 0, fmt.Errorf("neo push: %w", err)
	}
	return taken, nil
}
