package main

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Buffer sizes of the generator, measured best.
const (
	produceBuffer = 64 << 10
	consumeBuffer = 256 << 10
)

// backlogBytes is the most that a workload leaves in the channel, lengths included: a
// tenth of the ring of the node, so that after the first turn its pages are in memory.
const backlogBytes = 200_000_000

// popBacklogBytes is the same for a workload that pops, which takes longer.
const popBacklogBytes = backlogBytes / 16

// Channels. One that has ever been consumed can't be popped from.
const (
	channel    = "bench"
	popChannel = "bench-pop"
)

// load sends and receives records: the generator. Everything it sends is built once, so
// that a run costs it system calls and nothing else.
type load struct {
	size       int // of every record, in bytes
	push       []byte
	produce    []byte
	producePop []byte // to popChannel
	consume    []byte
	count      []byte // GetNumConnections, the request that costs the target least
	records    []byte // as many as fit produceBuffer
	batch      int64  // how many those are
	backlog    int64  // the most records that a workload leaves in the channel
	popBacklog int64
	input      []byte
}

func newLoad(size int) *load {
	request := func(code uint32, channel string) []byte {
		return appendArray(appendCode(nil, code), []byte(channel))
	}
	batch := recordsIn(produceBuffer, size)
	return &load{
		size:       size,
		push:       append(request(codePush, channel), appendRecords(nil, size, 1)...),
		produce:    request(codeProduce, channel),
		producePop: request(codeProduce, popChannel),
		consume:    request(codeConsume, channel),
		count:      appendCode(nil, codeGetNumConnections),
		records:    appendRecords(nil, size, batch),
		batch:      int64(batch),
		backlog:    int64(recordsIn(backlogBytes, size)),
		popBacklog: int64(recordsIn(popBacklogBytes, size)),
		input:      make([]byte, consumeBuffer),
	}
}

// bound ends a load: after a number of records, or at a time if that comes first.
type bound struct {
	records int64
	until   time.Time
}

// pusher is one connection of pushAll.
type pusher struct {
	conn
	answered int // bytes of the statuses to the requests in flight
}

// pushAll pushes on all connections at once: depth requests in one write, then, when all
// their statuses have come, the next ones. One goroutine with one epoll serves all
// connections. It returns the number of records that were answered 200.
func (l *load) pushAll(conns []conn, depth int, end bound) (pushed int64, err error) {
	var requests, statuses []byte
	for range depth {
		requests = append(requests, l.push...)
		statuses = appendCode(statuses, statusOk)
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return 0, fmt.Errorf("epoll_create1: %w", err)
	}
	defer unix.Close(epoll)

	pushers := make([]pusher, len(conns))
	events := make([]unix.EpollEvent, len(conns))
	for i, c := range conns {
		pushers[i].conn = c
		event := unix.EpollEvent{Fd: int32(i), Events: unix.EPOLLIN}
		if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, c.fd, &event); err != nil {
			return 0, fmt.Errorf("epoll_ctl: %w", err)
		}
		if err := c.write(requests); err != nil {
			return 0, err
		}
	}
	sent, active := int64(depth*len(conns)), len(conns)
	for active > 0 {
		n, err := unix.EpollWait(epoll, events, int(ioTimeout.Milliseconds()))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return pushed, fmt.Errorf("epoll_wait: %w", err)
		}
		if n == 0 {
			return pushed, fmt.Errorf("push: no status for %v", ioTimeout)
		}
		inTime := time.Now().Before(end.until)
		for _, event := range events[:n] {
			p := &pushers[event.Fd]
			missing := statuses[p.answered:]
			got, err := p.read(l.input[:len(missing)])
			if err == nil {
				err = checkAnswer(l.input[:got], missing[:got])
			}
			if err != nil {
				return pushed, fmt.Errorf("push: %w", err)
			}
			if p.answered += got; p.answered < len(statuses) {
				continue
			}
			pushed += int64(depth)
			if p.answered = 0; !inTime || sent+int64(depth) > end.records {
				active--
				continue
			}
			if err := p.write(requests); err != nil {
				return pushed, fmt.Errorf("push: %w", err)
			}
			sent += int64(depth)
		}
	}
	return pushed, nil
}

// pushOneByOne pushes on one connection with nothing between the requests but the wait
// for the status.
func (l *load) pushOneByOne(c conn, end bound) (pushed int64, err error) {
	for ; pushed == 0 || pushed < end.records && time.Now().Before(end.until); pushed++ {
		if err := c.request(l.push, statusOk); err != nil {
			return pushed, fmt.Errorf("push: %w", err)
		}
	}
	return pushed, nil
}

// produceAll runs one Produce, the request given. It returns how many records the target
// has taken, proved by its answer to a request behind them (legacy protocol spec §11.1, rule 7).
func (l *load) produceAll(c conn, request []byte, end bound) (produced int64, err error) {
	if err := c.request(request, statusOk); err != nil {
		return 0, fmt.Errorf("produce: %w", err)
	}
	for produced < end.records && (produced == 0 || time.Now().Before(end.until)) {
		if err := c.write(l.records); err != nil {
			return 0, fmt.Errorf("produce: %w", err)
		}
		produced += l.batch
	}
	return produced, l.endProduce(c)
}

func (l *load) endProduce(c conn) error {
	if err := c.request(slices.Concat(endOfStream, l.count), statusNotSupported); err != nil {
		return fmt.Errorf("end of produce: %w", err)
	}
	return nil
}

// consumeAll runs a Consume until count records have come.
func (l *load) consumeAll(c conn, count int64) error {
	if err := c.request(l.consume, statusOk); err != nil {
		return fmt.Errorf("consume: %w", err)
	}
	received, err := l.receive(c, func(received int64) bool { return received < count })
	if err != nil {
		return err
	}
	return checkReceived("consume", received, count)
}

// receive reads records, complete and each of the right size, as long as there are more,
// and returns their number.
func (l *load) receive(c conn, more func(received int64) bool) (int64, error) {
	stream := walker{size: uint64(l.size)}
	for more(stream.records) {
		n, err := c.read(l.input)
		if err != nil {
			return 0, fmt.Errorf("consume: %d records received: %w", stream.records, err)
		}
		if _, ended, err := stream.walk(l.input[:n]); err != nil {
			return 0, fmt.Errorf("consume: %w", err)
		} else if ended {
			return 0, fmt.Errorf("consume: the stream ended after %d records", stream.records)
		}
	}
	if !stream.atBoundary() {
		return 0, fmt.Errorf("consume: a part of a record after %d", stream.records)
	}
	return stream.records, nil
}

// checkReceived demands that all stored records came and no other.
func checkReceived(what string, received, stored int64) error {
	if received != stored {
		return fmt.Errorf("%s: %d records received, %d stored", what, received, stored)
	}
	return nil
}

// through produces on one connection what another consumes at the same time, the
// producer at most a backlog in front, until the time is over and the last record has
// arrived. It returns the number of records.
func (l *load) through(producer, consumer conn, until time.Time) (int64, error) {
	if err := consumer.request(l.consume, statusOk); err != nil {
		return 0, fmt.Errorf("consume: %w", err)
	}
	if err := producer.request(l.produce, statusOk); err != nil {
		return 0, fmt.Errorf("produce: %w", err)
	}
	var total atomic.Int64                               // known before the last batch is sent
	inFlight := make(chan struct{}, l.backlog/l.batch+1) // one a batch
	stopped := make(chan struct{})                       // the consumer reads no more
	produced := make(chan error, 1)
	go func() {
		produced <- l.produceUntil(producer, until, &total, inFlight, stopped)
	}()
	batches := int64(0)
	received, err := l.receive(consumer, func(received int64) bool {
		for ; batches < received/l.batch; batches++ {
			<-inFlight
		}
		all := total.Load()
		return all == 0 || received < all
	})
	close(stopped)
	if err := errors.Join(<-produced, err); err != nil {
		return 0, err
	}
	return received, checkReceived("consume", received, total.Load())
}

// produceUntil is the producer of through.
func (l *load) produceUntil(c conn, until time.Time, total *atomic.Int64, inFlight chan<- struct{}, stopped <-chan struct{}) error {
	for sent := l.batch; ; sent += l.batch {
		select {
		case inFlight <- struct{}{}:
		case <-stopped:
			return nil
		}
		last := !time.Now().Before(until)
		if last {
			total.Store(sent)
		}
		if err := c.write(l.records); err != nil {
			return fmt.Errorf("produce: %w", err)
		}
		if last {
			return l.endProduce(c)
		}
	}
}

// roundTrip pushes one record and waits until the consumer has it. It returns the time
// from before the push to the last byte of the record.
func (l *load) roundTrip(producer, consumer conn) (time.Duration, error) {
	start := time.Now()
	if err := producer.write(l.push); err != nil {
		return 0, fmt.Errorf("push: %w", err)
	}
	record := l.input[:lengthLen+l.size]
	if err := consumer.readFull(record); err != nil {
		return 0, fmt.Errorf("consume: %w", err)
	}
	taken := time.Since(start)
	stream := walker{size: uint64(l.size)}
	if _, _, err := stream.walk(record); err != nil {
		return 0, fmt.Errorf("consume: %w", err)
	}
	var status [statusLen]byte
	if err := producer.readFull(status[:]); err != nil {
		return 0, fmt.Errorf("push: %w", err)
	}
	return taken, checkAnswer(status[:], appendCode(nil, statusOk))
}
