package storage

import "slices"

// usage is what a storage says about the records that it holds.
type usage struct {
	ring, overflow int // records
	used           int // bytes of the ring
}

func usageOf(s *Storage) usage {
	return usage{ring: s.ring.Held(), overflow: s.overflow.Held(), used: s.ring.UsedSpace()}
}

func (u usage) records() int { return u.ring + u.overflow }

// check compares all storages with their models.
func (w *world) check() {
	if len(w.channels.All()) != len(w.models) {
		w.fatalf("%d channels, want %d", len(w.channels.All()), len(w.models))
	}
	for _, h := range w.popped {
		w.checkBytes(h)
	}
	for _, r := range w.readers {
		for _, h := range r.outs {
			w.checkBytes(h)
		}
	}
	for _, q := range w.queues {
		w.checkWakes(q)
		w.checkCounts(q)
		w.checkFigures(q)
		w.checkRuns(q)
		w.checkConsumers(q)
	}
	if len(w.wakes) > 0 {
		w.fatalf("%v woken for nothing", w.wakes)
	}
	w.queues = slices.DeleteFunc(w.queues, func(q *queue) bool { return q.removed && q.runs == 0 && len(q.readers) == 0 })
}

// checkWakes checks that as many idle readers were woken as there are records for, and
// those that waited longest, in this order.
func (w *world) checkWakes(q *queue) {
	if q.removed {
		return
	}
	for q.available() > q.woken && len(q.idle) > 0 {
		r := q.idle[0]
		i := slices.IndexFunc(w.wakes, func(r *reader) bool { return r.queue == q })
		if i < 0 {
			w.fatalf("%s: lost wake-up: %d records, %d readers woken, %v waits", q.name, q.available(), q.woken, r)
		}
		if w.wakes[i] != r {
			w.fatalf("%s: %v was woken, but %v waits longer", q.name, w.wakes[i], r)
		}
		w.wakes = slices.Delete(w.wakes, i, i+1)
		q.idle = q.idle[1:]
		q.woken++
		r.model = woken
	}
}

func (w *world) checkCounts(q *queue) {
	s := q.real
	if s.out != q.runs || s.removed != q.removed {
		w.fatalf("%s: %d runs out, removed %v, want %d, %v", q.name, s.out, s.removed, q.runs, q.removed)
	}
	if q.overflow.misuse != "" {
		w.fatalf("%s: overflow: %s", q.name, q.overflow.misuse)
	}
	if q.removed {
		if open := s.ring.Capacity() > 0; open != (q.runs > 0 && q.ringSize > 0) {
			w.fatalf("%s is removed and %d runs are out: ring open %v", q.name, q.runs, open)
		}
		if !q.overflow.removed {
			w.fatalf("%s is removed, its overflow is not", q.name)
		}
		return
	}
	if s.name != q.name || q.overflow.name != q.name {
		w.fatalf("storage %s, overflow %s, want %s", s.name, q.overflow.name, q.name)
	}
	if got, want := usageOf(s).records(), len(q.records); got != want {
		w.fatalf("%s: holds %d records, want %d", q.name, got, want)
	}
	bytes := s.ring.UsedSpace() + int(s.overflow.PayloadBytes()) + 8*s.overflow.Held()
	if want := q.bytes(); bytes != want {
		w.fatalf("%s: holds %d bytes, want %d", q.name, bytes, want)
	}
	if got, want := s.available(), q.available(); got != want {
		w.fatalf("%s: %d records available, want %d", q.name, got, want)
	}
	if !s.mayHoldEmpty && slices.ContainsFunc(q.records, func(r *record) bool { return len(r.payload) == 0 }) {
		w.fatalf("%s: mayHoldEmpty is false, but there are empty records", q.name)
	}
}

// checkRuns checks the list of runs in itself.
func (w *world) checkRuns(q *queue) {
	s := q.real
	if q.removed {
		return
	}
	var last *Run
	var outs, inReturned, inRing, inOverflow int
	for r := s.first; r != nil; last, r = r, r.next {
		if r.prev != last {
			w.fatalf("%s: the list of runs is torn", q.name)
		}
		switch r.state {
		case out:
			outs++
		case returned:
			inReturned += r.records
		}
		if r.inOverflow {
			inOverflow += r.records
		} else {
			inRing += r.records
		}
	}
	if s.last != last {
		w.fatalf("%s: the list of runs has another end", q.name)
	}
	for _, r := range []*Run{s.first, s.firstInOverflow()} {
		if r != nil && r.state == delivered {
			w.fatalf("%s: the oldest run in its place is delivered and not freed", q.name)
		}
	}
	if outs != s.out || inReturned != s.returned {
		w.fatalf("%s: %d runs out, %d records returned, want %d, %d", q.name, s.out, s.returned, outs, inReturned)
	}
	ring, overflow := s.ring.Held()-s.ring.Waiting(), s.overflow.Held()-s.overflow.Waiting()
	if inRing != ring || inOverflow != overflow {
		w.fatalf("%s: runs of %d records in ring and %d in overflow, want %d, %d", q.name, inRing, inOverflow, ring, overflow)
	}
	for r := s.free; r != nil; r = r.next {
		if r.storage != s || r.bytes != nil || r.records != 0 {
			w.fatalf("%s: a run for reuse is not cleared", q.name)
		}
	}
}

func (w *world) checkConsumers(q *queue) {
	s := q.real
	if len(s.consumers) != len(q.readers) || s.waiting.len != len(q.idle) || s.woken != q.woken {
		w.fatalf("%s: consumers %d waiting %d woken %d, want %d %d %d", q.name,
			len(s.consumers), s.waiting.len, s.woken, len(q.readers), len(q.idle), q.woken)
	}
	for _, r := range q.readers {
		if r.Removed() != q.removed {
			w.fatalf("%s: Removed of %v: got %v, want %v", q.name, r, !q.removed, q.removed)
		}
		if r.state != r.model || s.consumers[r.index] != &r.Consumer {
			w.fatalf("%s: %v has state %d, want %d", q.name, r, r.state, r.model)
		}
	}
	c := s.waiting.first
	for _, r := range q.idle {
		if c != &r.Consumer {
			w.fatalf("%s: the order of the waiting consumers is wrong", q.name)
		}
		c = c.next
	}
	if c != nil {
		w.fatalf("%s: the list of the waiting consumers is too long", q.name)
	}
}

// checkDrained checks that nothing is left of a storage whose records are all settled.
func (w *world) checkDrained(q *queue) {
	s := q.real
	if len(q.records) > 0 {
		w.fatalf("%s: %d records were not handed out", q.name, len(q.records))
	}
	if usageOf(s) != (usage{}) || s.overflow.PayloadBytes() != 0 || s.overflow.Waiting() != 0 || s.ring.Waiting() != 0 {
		w.fatalf("%s: %+v left in a drained storage", q.name, usageOf(s))
	}
	if s.first != nil || s.last != nil || s.out != 0 || s.returned != 0 {
		w.fatalf("%s: runs left in a drained storage", q.name)
	}
	if s.mayHoldEmpty && !q.overflow.refused {
		w.fatalf("%s: mayHoldEmpty is true of a drained storage", q.name)
	}
	if s.woken != 0 || s.waiting != (waitingList{}) || len(s.consumers) != 0 {
		w.fatalf("%s: consumers left in a storage that all have left", q.name)
	}
}
