package neo

import (
	"slices"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/connpool"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	wire "github.com/sociomantic-tsunami/dmqnode/v2/internal/protocol/neo"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

// work is an active Work (docs/protocol.md): a Consume whose client says how large batches are, has
// several of them, and settles each by its number.
//
// A batch is one run of the storage, so its records have been delivered equally often. After a Stop
// no more are sent, and the request ends when the last one is settled.
type work struct {
	session  *Session
	id       uint64
	name     string // of the storage, for messages
	consumer storage.Consumer

	records, bytes int     // of a batch at most
	most           int     // batches that the client may have
	number         uint64  // of the last batch
	batches        []batch // that the client has, oldest first

	waiting  bool // for records
	called   bool // there are some, which it has not taken yet
	inLine   bool // for room in the output
	stopping bool
	over     bool
}

// batch is a batch that is not settled.
type batch struct {
	number     uint64
	run        *storage.Run
	start, end uint64 // where it is in the output
}

const (
	// mostBatches is how many batches a client may have at most of one Work.
	mostBatches = 1000
	// mostBytes is where a batch ends at the latest.
	mostBytes = 16 << 20
	// batchCost is what a batch costs the node, beside its records: it counts as unconfirmed bytes.
	batchCost = 256
)

// startWork subscribes. It reports whether it is done.
func (s *Session) startWork(id uint64, fields []byte) (done bool) {
	r, err := wire.ParseWork(fields)
	if err != nil {
		s.refused(wire.CodeWork, err)
		s.conn.Appended(wire.AppendConsumeStatus(s.buffer(), id, wire.Malformed))
		return true
	}
	w := &work{
		session: s, id: id,
		records: limit(r.Records, maxInt), bytes: min(limit(r.Bytes, wire.MinBatch), mostBytes), most: max(1, limit(r.Batches, 1)),
	}
	queue, err := s.subscribeTo(r.Channel, r.Subscriber)
	if s.mustWait(err) {
		return false
	}
	if err != nil {
		if err != errNames {
			s.failed(wire.CodeWork, err)
		}
		s.conn.Appended(wire.AppendConsumeStatus(s.buffer(), id, wire.ConsumeError))
		return true
	}
	w.most = min(w.most, mostBatches)
	w.name = names.Storage(string(r.Subscriber), string(r.Channel), true)
	w.consumer.Attach(queue, w)
	s.active[id] = w
	s.node.stats.Consume.Begin()
	s.synced.Subscribed()
	s.conn.Appended(wire.AppendConsumeStatus(s.buffer(), id, wire.Started))
	w.Wake()
	return true
}

const maxInt = int(^uint(0) >> 1)

// limit is a number of a client, where 0 stands for the default.
func limit(n uint64, byDefault int) int {
	if n == 0 {
		return byDefault
	}
	return int(min(n, uint64(maxInt)))
}

func (w *work) unconfirmed() (runs []*storage.Run) {
	for _, b := range w.batches {
		runs = append(runs, b.run)
	}
	return runs
}

func (w *work) String() string { return w.name }

func (w *work) code() wire.Code { return wire.CodeWork }

// Wake implements storage.Waker.
func (w *work) Wake() { w.session.conn.Loop().Post(w) }

// Run implements listener.Task: there are records, or the channel is removed.
func (w *work) Run() {
	switch {
	case w.over:
		return
	case w.waiting:
		w.waiting, w.called = false, true
		w.serve()
	case w.consumer.Removed():
		w.removed()
	default:
		w.serve()
	}
	w.session.flushSoon()
}

// wants tells whether a batch can be sent, if there is one.
func (w *work) wants() bool {
	return !w.over && !w.waiting && !w.stopping && len(w.batches) < w.most && !w.session.conn.Closing()
}

// serve sends batches as long as there are records, the client may have more, and there is room for
// them, and nobody is in line for that.
func (w *work) serve() {
	s := w.session
	for w.wants() && !s.full() && len(s.line) == 0 {
		w.take()
	}
	if w.called {
		w.called = false
		w.consumer.Pause(nil) // others may have what it was woken for
	}
	if w.wants() && !w.inLine {
		w.inLine = true
		s.line = append(s.line, w)
	}
	s.advanceLine()
}

func (w *work) next() {
	w.inLine = false
	if !w.wants() {
		return
	}
	w.take()
	if w.wants() {
		w.inLine = true
		w.session.line = append(w.session.line, w)
	}
}

// take sends the next batch, if there is one.
func (w *work) take() {
	s := w.session
	w.called = false
	run, removed, err := w.consumer.Take(w.bytes, w.records)
	switch {
	case err != nil:
		s.failed(wire.CodeWork, err)
		s.conn.Close()
	case removed:
		w.removed()
	case run == nil:
		w.waiting = true
	default:
		w.send(run)
	}
}

func (w *work) send(run *storage.Run) {
	conn := w.session.conn
	w.number++
	w.session.held += len(run.Bytes()) + batchCost
	conn.Work(1 + len(run.Bytes())/connpool.Unit)
	b := batch{number: w.number, run: run, start: conn.OutputEnd()}
	conn.Appended(wire.AppendBatchPrefix(w.session.conn.Buffer(2*messageSize), w.id, b.number, uint64(run.Tries()), len(run.Bytes())))
	conn.Write(run.Bytes())
	b.end = conn.OutputEnd()
	w.batches = append(w.batches, b)
}

// receive handles a message of the client.
func (w *work) receive(payload []byte) {
	s := w.session
	if feedback, err := wire.ParseFeedback(payload); err == nil && feedback == wire.Stop {
		w.stop()
		return
	}
	settling, err := wire.ParseSettling(payload)
	if err != nil {
		s.breach()
		return
	}
	w.settle(settling)
	switch {
	case w.stopping && len(w.batches) == 0:
		w.finish(wire.AppendStopped)
	case !w.waiting && !w.inLine:
		w.serve()
	}
	if len(s.line) > 0 {
		s.advanceLine()
	}
}

// settle does with a batch what the client says, if the client has it.
func (w *work) settle(what wire.Settling) {
	i, found := slices.BinarySearchFunc(w.batches, what.Number, func(b batch, number uint64) int {
		switch {
		case b.number < number:
			return -1
		case b.number > number:
			return 1
		}
		return 0
	})
	sent, _ := w.session.conn.Progress()
	if !found || w.batches[i].end > sent {
		return
	}
	run := w.batches[i].run
	w.batches = slices.Delete(w.batches, i, i+1)
	w.session.held -= len(run.Bytes()) + batchCost
	switch what.Settlement {
	case wire.Confirm:
		run.Deliver()
	case wire.Return:
		run.Fail(milliseconds(what.Delay))
	case wire.Release:
		run.GiveBack(0)
	}
}

// stop sends no more batches, and ends the request when there are none.
func (w *work) stop() {
	if w.stopping {
		return
	}
	w.stopping, w.waiting = true, false
	if len(w.batches) == 0 {
		w.finish(wire.AppendStopped)
	} else {
		w.consumer.Pause(nil)
	}
	if len(w.session.line) > 0 {
		w.session.advanceLine()
	}
}

// removed ends the request because the channel was removed. What the client has of it is nobody's.
func (w *work) removed() {
	for _, b := range w.batches {
		w.session.held -= len(b.run.Bytes()) + batchCost
		w.session.sending.Add(b.run, b.end)
	}
	w.batches = nil
	w.finish(wire.AppendChannelRemoved)
	sent, _ := w.session.conn.Progress()
	w.session.sending.Sent(sent)
}

// finish ends the request with a last message.
func (w *work) finish(last func(dst []byte, id uint64) []byte) {
	w.leave()
	w.consumer.Leave(nil, 0)
	w.session.conn.Appended(last(w.session.buffer(), w.id))
}

// sent tells whether all batches are handed to the kernel.
func (w *work) sent() bool {
	sent, _ := w.session.conn.Progress()
	return len(w.batches) == 0 || w.batches[len(w.batches)-1].end <= sent
}

// abandon ends the request without a message. What has reached the client, and is not settled, was
// delivered in vain.
func (w *work) abandon() {
	sent, _ := w.session.conn.Progress()
	runs, reached := w.unconfirmed(), 0
	for _, b := range w.batches {
		w.session.held -= len(b.run.Bytes()) + batchCost
		if b.start < sent {
			reached++
		}
	}
	w.leave()
	w.consumer.Abandon(runs, reached)
}

func (w *work) leave() {
	w.over = true
	delete(w.session.active, w.id)
	w.session.node.stats.Consume.EndUntimed()
}
