package storage

import (
	"math/rand"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
)

// The clients of the kill test. Each works on one connection until that ends, or until its
// ledger says so, and tells the ledger at each step what is certain.

// push is a producer that sends legacy Pushes, sometimes several before it reads the replies.
func (r *round) push(s *source, random *rand.Rand) error {
	return r.produceLegacy(s, func(c *legacyclient.Conn) (ok bool, err error) {
		payloads := s.send(1 + random.Intn(2)*random.Intn(10))
		var requests []byte
		for _, p := range payloads {
			requests = append(requests, legacyclient.Request(legacyclient.Push, s.channels[0], string(p))...)
		}
		return payloads != nil, s.exchange(c, requests, len(payloads))
	})
}

// pushMulti is one that sends PushMulti.
func (r *round) pushMulti(s *source, random *rand.Rand) error {
	return r.produceLegacy(s, func(c *legacyclient.Conn) (ok bool, err error) {
		payloads := s.send(1 + random.Intn(2)*random.Intn(10))
		var requests []byte
		for _, p := range payloads {
			requests = append(requests, legacyclient.ListRequest(legacyclient.PushMulti, s.channels, string(p))...)
		}
		return payloads != nil, s.exchange(c, requests, len(payloads))
	})
}

// produce is one that sends a Produce after the other.
func (r *round) produce(s *source, random *rand.Rand) error {
	return r.stream(s, random, legacyclient.Request(legacyclient.Produce, s.channels[0]))
}

// produceMulti is one that sends a ProduceMulti after the other.
func (r *round) produceMulti(s *source, random *rand.Rand) error {
	return r.stream(s, random, legacyclient.ListRequest(legacyclient.ProduceMulti, s.channels))
}

// stream sends some streams that begin with the same request. Only the answer to a request
// behind it acknowledges a stream.
func (r *round) stream(s *source, random *rand.Rand, request []byte) error {
	return r.produceLegacy(s, func(c *legacyclient.Conn) (ok bool, err error) {
		if status, err := c.Do(request); err != nil || status != legacyclient.Ok {
			return false, orViolated(err, "Produce: got status %d, want 200", status)
		}
		count := 0
		for range 1 + random.Intn(5) {
			payloads := s.send(1 + random.Intn(50))
			if payloads == nil {
				return false, nil
			}
			var records []byte
			for _, p := range payloads {
				records = legacyclient.AppendArray(records, string(p))
			}
			if err := c.Send(records); err != nil {
				return false, err
			}
			count += len(payloads)
		}
		end := append(legacyclient.Records(""), legacyclient.Request(legacyclient.GetNumConnections)...)
		status, err := c.Do(end)
		if err != nil || status != legacyclient.NotSupported {
			return false, orViolated(err, "after a Produce: got status %d, want 406", status)
		}
		s.acknowledged(count)
		return true, nil
	})
}

// produceLegacy connects and does steps until one fails or says that there are no more.
func (r *round) produceLegacy(s *source, step func(c *legacyclient.Conn) (ok bool, err error)) error {
	c, err := legacyclient.Dial(r.legacy)
	if err != nil {
		return err
	}
	defer c.Close()
	s.connected()
	for ok := true; ok && err == nil; {
		ok, err = step(c)
	}
	return err
}

// exchange sends requests and reads their replies, each of which acknowledges a record.
func (s *source) exchange(c *legacyclient.Conn, requests []byte, count int) error {
	if err := c.Send(requests); err != nil {
		return err
	}
	for range count {
		if status, err := c.Status(); err != nil || status != legacyclient.Ok {
			return orViolated(err, "Push: got status %d, want 200", status)
		}
		s.acknowledged(1)
	}
	return nil
}

func orViolated(err error, format string, a ...any) error {
	if err != nil {
		return err
	}
	return violated(format, a...)
}

// pushNeo is a producer that has several neo Pushes in flight.
func (r *round) pushNeo(s *source, random *rand.Rand) error {
	c, err := neoclient.Connect(r.neo, clients.TestLogin())
	if err != nil {
		return err
	}
	defer c.Close()
	s.connected()
	for {
		payloads := s.send(1 + random.Intn(8))
		if payloads == nil {
			return nil
		}
		var ids []uint64
		for _, p := range payloads {
			ids = append(ids, c.NextID())
			if err := c.Send(ids[len(ids)-1], neoclient.PushPayload(p, s.channels...)); err != nil {
				return err
			}
		}
		for _, id := range ids {
			if err := c.Supported(id); err != nil {
				return err
			}
			if status, err := c.ReadByteFor(id); err != nil || status != clients.Pushed {
				return orViolated(err, "neo Push: got status %02x, want 01", status)
			}
			s.acknowledged(1)
		}
	}
}

// consume is a neo consumer that takes its time with each batch and sometimes stops and starts
// again. A batch comes again unless it has been confirmed; if that was under way, it may.
func (r *round) consume(q *queue, random *rand.Rand, pause time.Duration) error {
	c, err := neoclient.Connect(r.neo, clients.TestLogin())
	if err != nil {
		return err
	}
	defer c.Close()
	reader := q.newReader()
	for {
		k, err := c.Consume(q.channel, q.subscriber)
		if err != nil {
			return err
		}
		for stop := false; !stop; {
			message, batch, err := k.Next()
			if err != nil {
				return err
			}
			if message != neoclient.Records {
				return violated("queue %s: got message %02x, want Records", q.storage(), message)
			}
			if err := reader.takeBatch(batch); err != nil {
				return err
			}
			if pause > 0 {
				time.Sleep(time.Duration(random.Int63n(int64(pause))))
			}
			first := reader.next - len(batch)
			reader.mayComeAgain(first, reader.next)
			feedback := byte(neoclient.Continue)
			if stop = random.Intn(20) == 0; stop {
				feedback = neoclient.Stop
			}
			if err := k.Feedback(feedback); err != nil {
				return err
			}
		}
		if message, _, err := k.Next(); err != nil || message != neoclient.Stopped {
			return orViolated(err, "queue %s: got message %02x after Stop, want Stopped", q.storage(), message)
		}
		reader.mayComeAgain(reader.next, reader.next)
	}
}

// work consumes in small batches, of which it returns some: they are the next that it gets.
func (r *round) work(q *queue, random *rand.Rand) error {
	c, err := neoclient.Connect(r.neo, clients.TestLogin())
	if err != nil {
		return err
	}
	defer c.Close()
	reader := q.newReader()
	w, err := c.Work(q.channel, q.subscriber, 20, 0, 1)
	for err == nil {
		var job neoclient.Job
		if job, err = w.Job(); err != nil {
			return err
		}
		switch random.Intn(4) {
		case 0:
			err = w.Settle(neoclient.Return, job.Number, 0)
			continue
		case 1:
			err = w.Settle(neoclient.Release, job.Number)
			continue
		}
		if err := reader.takeBatch(job.Records); err != nil {
			return err
		}
		reader.mayComeAgain(reader.next-len(job.Records), reader.next)
		err = w.Settle(neoclient.Confirm, job.Number)
	}
	return err
}

// takeBatch takes the records of a batch, which all come again until they are confirmed.
func (r *reader) takeBatch(batch [][]byte) error {
	for _, value := range batch {
		if err := r.take(value); err != nil {
			return violation{err}
		}
	}
	first := r.next - len(batch)
	r.mayComeAgain(first, first)
	return nil
}

// unsettled is how many bytes of records, without the last one, a legacy Consume hands to the
// kernel before it notes that they are delivered.
const unsettled = 256 << 10

// consumeLegacy is a legacy consumer. What the node has handed to the kernel it gets, also
// after a kill. Of that the node may not have noted the last part, which comes again.
func (r *round) consumeLegacy(q *queue) error {
	c, err := legacyclient.Dial(r.legacy)
	if err != nil {
		return err
	}
	defer c.Close()
	if status, err := c.Do(legacyclient.Request(legacyclient.Consume, q.channel)); err != nil || status != legacyclient.Ok {
		return orViolated(err, "Consume: got status %d, want 200", status)
	}
	reader := q.newReader()
	var sizes []int // of the records that may come again
	sum := 0        // of them but the last
	for {
		value, err := c.Array()
		if err != nil {
			return err
		}
		if err := reader.take([]byte(value)); err != nil {
			return violation{err}
		}
		if len(sizes) > 0 {
			sum += sizes[len(sizes)-1]
		}
		sizes = append(sizes, 8+len(value))
		for sum >= unsettled {
			sum -= sizes[0]
			sizes = sizes[1:]
		}
		reader.mayComeAgain(reader.next-len(sizes), reader.next)
	}
}

// popLegacy pops. After a kill the last record may come again.
func (r *round) popLegacy(q *queue) error {
	c, err := legacyclient.Dial(r.legacy)
	if err != nil {
		return err
	}
	defer c.Close()
	return q.popAll(func() (value []byte, found bool, err error) {
		status, err := c.Do(legacyclient.Request(legacyclient.Pop, q.channel))
		if err != nil || status == legacyclient.Error { // there is no such channel yet
			return nil, false, err
		}
		if status != legacyclient.Ok {
			return nil, false, violated("Pop: got status %d, want 200", status)
		}
		text, err := c.Array()
		return []byte(text), text != "", err
	})
}

// popNeo does the same over neo.
func (r *round) popNeo(q *queue) error {
	c, err := neoclient.Connect(r.neo, clients.TestLogin())
	if err != nil {
		return err
	}
	defer c.Close()
	pops := 0
	return q.popAll(func() (value []byte, found bool, err error) {
		var status byte
		if pops++; pops%2 == 0 {
			var id uint64
			if id, err = c.PopWait(q.channel, "", 1); err == nil {
				status, value, err = c.Popped(id)
			}
		} else {
			status, value, err = c.Pop(q.channel)
		}
		if err == nil && status != clients.Popped && status != clients.PopEmpty {
			err = violated("neo Pop: got status %02x, want 01 or 02", status)
		}
		return value, status == clients.Popped, err
	})
}

// popAll takes records one at a time until an error.
func (q *queue) popAll(pop func() (value []byte, found bool, err error)) error {
	reader := q.newReader()
	for {
		value, found, err := pop()
		switch {
		case err != nil:
			return err
		case !found:
			if err := q.empty(); err != nil {
				return violation{err}
			}
			time.Sleep(time.Millisecond) // how often the client asks
			continue
		}
		if err := reader.take(value); err != nil {
			return violation{err}
		}
		reader.mayComeAgain(reader.next-1, reader.next)
	}
}
