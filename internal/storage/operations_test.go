package storage

import (
	"math"
	"slices"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
)

// The operations of a world, each with its decisions from the script.

func (w *world) opPush() {
	c, m := w.open(w.channelName())
	w.push(c, m, w.payload(w.size(c.name, 0)))
	w.batch.End()
}

func (w *world) opPushRun() {
	c, m := w.open(w.channelName())
	w.pushRun(c, m)
	w.batch.End()
}

// opBatch does several things while it holds one channel after another.
func (w *world) opBatch() {
	for range 2 + w.script.below(6) {
		c, m := w.open(w.channelName())
		switch w.script.below(4) {
		case 0:
			w.pushRun(c, m)
		case 1:
			w.pop(c, m, w.script.below(2) == 0)
		default:
			w.push(c, m, w.payload(w.size(c.name, 0)))
		}
	}
	w.batch.End()
}

func (w *world) opPop() {
	name := w.channelName()
	defer w.batch.End()
	c := w.batch.Find([]byte(name))
	if (c == nil) != (w.models[name] == nil) {
		w.fatalf("Find(%s): got %v, want a channel: %v", name, c, w.models[name] != nil)
	}
	if c != nil {
		w.pop(c, w.models[name], w.script.below(2) == 0)
	}
}

// takePopped picks one of the popped runs and forgets it.
func (w *world) takePopped() *handout {
	if len(w.popped) == 0 {
		return nil
	}
	i := w.script.below(len(w.popped))
	h := w.popped[i]
	w.popped = slices.Delete(w.popped, i, i+1)
	return h
}

func (w *world) opDeliver() {
	if h := w.takePopped(); h != nil {
		w.notef("a run of %s", h.queue.name)
		w.settle(h, len(h.run.Bytes()))
		h.run.Deliver()
	}
}

func (w *world) opGiveBack() {
	if h := w.takePopped(); h != nil {
		sent := w.sent(len(h.run.Bytes()))
		w.notef("a run of %s, %d of %d bytes sent", h.queue.name, sent, len(h.run.Bytes()))
		w.settle(h, sent)
		h.run.GiveBack(sent)
	}
}

// opSubscribe adds or finds a subscriber, and most times attaches a reader.
func (w *world) opSubscribe() {
	channel, subscriber := w.channelName(), subscriberNames[w.script.below(len(subscriberNames))]
	c, m := w.open(channel)
	name := names.Storage(subscriber, channel, true)
	w.notef("%s", name)
	s, err := c.Subscribe(subscriber)
	if err != nil {
		w.fatalf("Subscribe: %v", err)
	}
	i := slices.Index(m.subscribers, subscriber)
	switch {
	case !m.subscribed:
		// The first subscriber takes the plain storage over (storage spec §5.2).
		i, m.subscribed, m.subscribers = 0, true, []string{subscriber}
		m.queues[0].name = name
	case i < 0:
		i, m.subscribers = len(m.subscribers), append(m.subscribers, subscriber)
		w.addQueue(c, m, s, name)
	}
	if q := m.queues[i]; s != q.real {
		w.fatalf("Subscribe: got storage %s, want %s", s.name, q.name)
	}
	if w.script.below(4) > 0 {
		w.attach(m.queues[i])
	}
	w.batch.End()
}

// opAttach attaches a reader to a subscriber that is there.
func (w *world) opAttach() {
	name := w.channelName()
	m := w.models[name]
	if m == nil || !m.subscribed || len(w.readers) > 12 {
		return
	}
	w.open(name)
	w.attach(m.queues[w.script.below(len(m.queues))])
	w.batch.End()
}

// reader picks a reader, if there is one.
func (w *world) reader() *reader {
	if len(w.readers) == 0 {
		return nil
	}
	return w.readers[w.script.below(len(w.readers))]
}

func (w *world) enough() int {
	switch c := w.script.below(4); c {
	case 0:
		return 1
	case 1:
		return 1 << 20
	default:
		return 1 + w.script.next()
	}
}

// opNext lets a reader come, whether it was woken or not.
func (w *world) opNext() {
	if r := w.reader(); r != nil {
		w.next(r, w.enough(), w.script.below(2) == 0)
	}
}

func (w *world) opNextWoken() {
	i := slices.IndexFunc(w.readers, func(r *reader) bool { return r.model == woken })
	if i >= 0 {
		w.next(w.readers[i], w.enough(), w.script.below(2) == 0)
	}
}

func (w *world) opTake() {
	if r := w.reader(); r != nil {
		w.take(r, w.enough(), 1+w.script.below(3))
	}
}

func (w *world) opFail() {
	if h := w.takePopped(); h != nil {
		w.notef("a run of %s", h.queue.name)
		w.fail(h, w.script.below(2) == 0)
	}
}

// opRelease lets everything be due.
func (w *world) opRelease() {
	for _, q := range w.queues {
		w.release(q)
	}
}

func (w *world) release(q *queue) {
	if q.removed || !q.real.channel.Lock() {
		return
	}
	q.real.releaseDue(math.MaxInt64)
	for _, r := range q.records {
		if r.state == recordDelayed {
			r.state = recordWaits
		}
	}
	q.real.channel.Commit()
}

func (w *world) opPause() {
	if r := w.reader(); r != nil {
		w.notef("%v of %s with %d runs", r, r.queue.name, len(r.outs))
		w.settleReader(r, 1<<30)
		if r.runs = r.Pause(r.runs); len(r.runs) > 0 {
			w.fatalf("Pause returned %d runs", len(r.runs))
		}
	}
}

func (w *world) opLeave() {
	if r := w.reader(); r != nil {
		size := 0
		for _, run := range r.runs {
			size += len(run.Bytes())
		}
		w.leave(r, w.sent(size))
	}
}

func (w *world) leave(r *reader, sent int) {
	w.notef("%v of %s with %d runs, %d bytes sent", r, r.queue.name, len(r.outs), sent)
	w.settleReader(r, sent)
	r.Leave(r.runs, sent)
	is := func(other *reader) bool { return other == r }
	w.readers = slices.DeleteFunc(w.readers, is)
	r.queue.readers = slices.DeleteFunc(r.queue.readers, is)
}

func (w *world) opTrim() { w.channels.trim() }

func (w *world) opRemove() {
	if w.script.below(3) == 0 {
		w.remove(w.channelName())
	}
}

// remove removes a channel, if it exists. All its readers must be woken.
func (w *world) remove(name string) {
	w.notef("%s", name)
	if err := w.batch.Remove([]byte(name)); err != nil {
		w.fatalf("Remove: %v", err)
	}
	m := w.models[name]
	delete(w.models, name)
	if w.channels.Find([]byte(name)) != nil {
		w.fatalf("Find finds %s after its removal", name)
	}
	if m == nil {
		return
	}
	for _, q := range m.queues {
		w.removed(q)
	}
	w.wakes = w.wakes[:0]
}

func (w *world) removed(q *queue) {
	q.removed, q.records = true, nil
	for _, r := range q.readers {
		if !slices.Contains(w.wakes, r) {
			w.fatalf("%v (state %d) is not woken by the removal of its queue", r, r.model)
		}
		if r.model == waiting {
			r.model = busy
		}
	}
	q.idle = nil
}

// aQueue picks a queue of a channel that exists, or returns nil.
func (w *world) aQueue() (*channelModel, *queue) {
	m := w.models[w.channelName()]
	if m == nil {
		return nil, nil
	}
	return m, m.queues[w.script.below(len(m.queues))]
}

// opUnsubscribe removes a subscriber, and the channel with the last one.
func (w *world) opUnsubscribe() {
	m, q := w.aQueue()
	if m == nil {
		return
	}
	w.notef("%s", q.name)
	err := w.channels.RemoveSubscriber(q.name)
	if !m.subscribed {
		if err != ErrNoQueue {
			w.fatalf("RemoveSubscriber of a channel without any: %v", err)
		}
		return
	}
	if err != nil {
		w.fatalf("RemoveSubscriber: %v", err)
	}
	i := slices.Index(m.queues, q)
	m.queues, m.subscribers = slices.Delete(m.queues, i, i+1), slices.Delete(m.subscribers, i, i+1)
	if len(m.queues) == 0 {
		delete(w.models, q.real.channel.name)
	}
	w.removed(q)
	w.wakes = w.wakes[:0]
}

func (w *world) opClear() {
	_, q := w.aQueue()
	if q == nil {
		return
	}
	w.notef("%s", q.name)
	want := q.count(recordWaits).plus(q.count(recordDelayed))
	q.records = slices.DeleteFunc(q.records, func(r *record) bool { return r.state != recordOut })
	q.counters.Cleared = q.counters.Cleared.plus(want)
	if got, err := w.channels.Clear(q.name); got != want || err != nil {
		w.fatalf("Clear(%s): got %v, %v, want %v", q.name, got, err, want)
	}
}

func (w *world) opPeek() {
	_, q := w.aQueue()
	if q == nil {
		return
	}
	skip, records, bytes := w.script.below(4), w.script.below(6), 8+w.script.below(200)
	w.notef("%s: %d after %d, %d bytes", q.name, records, skip, bytes)
	got, err := w.channels.Peek(q.name, skip, records, bytes)
	if err != nil {
		w.fatalf("Peek(%s): %v", q.name, err)
	}
	for i, r := range q.records[min(skip, len(q.records)):] {
		if i == records || bytes <= 0 {
			break
		}
		if len(got) == 0 {
			w.fatalf("Peek(%s): only %d records", q.name, i)
		}
		want := r.payload[:min(len(r.payload), bytes)]
		if p := got[0]; string(p.Bytes) != string(want) || p.Size != len(r.payload) || p.Unconfirmed != (r.state == recordOut) {
			w.fatalf("Peek(%s): record %d is %d of %d bytes, unconfirmed %v; want %d of %d, %v",
				q.name, i, len(p.Bytes), p.Size, p.Unconfirmed, len(want), len(r.payload), r.state == recordOut)
		}
		got, bytes = got[1:], bytes-8-len(want)
	}
	if len(got) > 0 {
		w.fatalf("Peek(%s): %d records too many", q.name, len(got))
	}
}

// settleAll settles whatever is handed out, and lets all readers leave.
func (w *world) settleAll() {
	for len(w.popped) > 0 {
		w.begin("settle: give back")
		w.opGiveBack()
		w.check()
	}
	w.begin("settle: release")
	w.opRelease()
	w.check()
	for len(w.readers) > 0 {
		w.begin("settle: leave")
		w.opLeave()
		w.check()
	}
}

// drain takes all records that are left, with the empty ones.
func (w *world) drain() {
	for _, name := range channelNames {
		m := w.models[name]
		if m == nil {
			continue
		}
		for _, q := range m.queues {
			w.begin("drain: attach")
			w.attach(q)
			w.check()
			for r := w.readers[0]; r.model != waiting; {
				w.begin("drain")
				w.next(r, 100, false)
				w.check()
			}
			w.begin("drain: leave")
			w.leave(w.readers[0], 0)
			w.check()
			w.checkDrained(q)
		}
		if !m.subscribed {
			w.begin("drain: pop")
			c, _ := w.open(name)
			w.pop(c, m, false)
			w.batch.End()
			w.check()
		}
	}
}
