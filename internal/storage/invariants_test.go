package storage

import (
	"slices"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// usage is what a storage holds, what is delivered behind other records included.
type usage struct {
	ring, spilled int // records
	used          int // bytes of the ring
}

func usageOf(s *Storage) (u usage) {
	for _, p := range s.parts {
		if p.Kind() == ring.Main {
			u.ring += p.Held()
			u.used += p.UsedSpace()
		} else {
			u.spilled += p.Held()
		}
	}
	return u
}

func usagesOf(m *channelModel) (all []usage) {
	for _, q := range m.queues {
		all = append(all, usageOf(q.real))
	}
	return all
}

func (u usage) records() int { return u.ring + u.spilled }

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
	if q.removed {
		if open := len(s.parts) > 0; open != (q.runs > 0) {
			w.fatalf("%s is removed and %d runs are out: it has rings: %v", q.name, q.runs, open)
		}
		return
	}
	if s.name != q.name {
		w.fatalf("storage %s, want %s", s.name, q.name)
	}
	if got, want := s.available(), q.available(); got != want {
		w.fatalf("%s: %d records available, want %d", q.name, got, want)
	}
	if !s.mayHoldEmpty && slices.ContainsFunc(q.records, func(r *record) bool { return len(r.payload) == 0 }) {
		w.fatalf("%s: mayHoldEmpty is false, but there are empty records", q.name)
	}
	// Only what is read and what is written needs to be mapped, and what is handed out.
	for i, p := range s.parts {
		if p.InFile() && p.Attached() && p.Kind() == ring.Spill && p.Waiting() == p.Held() && i < len(s.parts)-1 && p != s.front() {
			w.fatalf("%s: a file that is neither read nor written is mapped", q.name)
		}
	}
}

// checkRuns checks the list of runs in itself.
func (w *world) checkRuns(q *queue) {
	s := q.real
	if q.removed {
		return
	}
	var last *Run
	var outs, inReturned, waiting int
	in := make(map[*part]int)
	for r := s.first; r != nil; last, r = r, r.next {
		if r.prev != last {
			w.fatalf("%s: the list of runs is torn", q.name)
		}
		switch r.state {
		case out:
			outs++
		case returned:
			inReturned += r.records
		case delayed:
			waiting++
			if !slices.Contains(s.delayed, r) {
				w.fatalf("%s: a delayed run is never released", q.name)
			}
		}
		in[r.part] += r.records
		if r.state == delivered && (r.prev == nil || r.prev.part != r.part) {
			w.fatalf("%s: the oldest run in its place is delivered and not freed", q.name)
		}
	}
	if s.last != last {
		w.fatalf("%s: the list of runs has another end", q.name)
	}
	if waiting != len(s.delayed) {
		w.fatalf("%s: %d runs are delayed, %d to be released", q.name, waiting, len(s.delayed))
	}
	if outs != s.out || inReturned != s.returned {
		w.fatalf("%s: %d runs out, %d records returned, want %d, %d", q.name, s.out, s.returned, outs, inReturned)
	}
	for _, p := range s.parts {
		if in[p] != p.Held()-p.Waiting() {
			w.fatalf("%s: runs of %d records in a part that has handed out %d", q.name, in[p], p.Held()-p.Waiting())
		}
		delete(in, p)
	}
	if len(in) > 0 {
		w.fatalf("%s: runs of parts that are gone", q.name)
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
	if usageOf(s) != (usage{}) || len(s.parts) > 1 {
		w.fatalf("%s: %+v left in a drained storage", q.name, usageOf(s))
	}
	if s.first != nil || s.last != nil || s.out != 0 || s.returned != 0 {
		w.fatalf("%s: runs left in a drained storage", q.name)
	}
	if s.mayHoldEmpty {
		w.fatalf("%s: mayHoldEmpty is true of a drained storage", q.name)
	}
	if s.woken != 0 || s.waiting != (waitingList{}) || len(s.consumers) != 0 {
		w.fatalf("%s: consumers left in a storage that all have left", q.name)
	}
}
