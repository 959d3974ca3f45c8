package storage

import (
	"container/heap"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// Records that were given back with a delay stay where they are in the list of runs, and so in
// their order, but nobody gets them before they are due.

// delays is runs that are not due, a heap: the first is due first.
type delays []*Run

func (d delays) Len() int           { return len(d) }
func (d delays) Less(i, j int) bool { return d[i].due < d[j].due }
func (d delays) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *delays) Push(r any)        { *d = append(*d, r.(*Run)) }
func (d *delays) Pop() any {
	last := len(*d) - 1
	r := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	return r
}

// began is the zero of the time by which runs are due. It does not jump when clocks are set.
var began = time.Now()

func now() time.Duration { return time.Since(began) }

// delay makes a run that has just been given back wait until then, if the queue may have one more
// that does.
func (s *Storage) delay(r *Run, due time.Duration) {
	if most := s.channel.store.options.MaxDelayed; most > 0 && len(s.delayed) >= most {
		return
	}
	s.returned -= r.records
	s.notDue.add(r.records, r.size-r.records*ring.HeaderSize)
	r.state, r.due = delayed, int64(due)
	heap.Push(&s.delayed, r)
	if s.delayed[0] == r {
		s.setAlarm()
	}
}

// releaseDue lets be handed out what is due by then.
func (s *Storage) releaseDue(by time.Duration) {
	for len(s.delayed) > 0 && s.delayed[0].due <= int64(by) {
		r := heap.Pop(&s.delayed).(*Run)
		r.state = returned
		s.notDue.subtract(r.records, r.size-r.records*ring.HeaderSize)
		s.returned += r.records
	}
}

// setAlarm sees to it that runs are released when they are due.
func (s *Storage) setAlarm() {
	if s.channel.store.options.inline || len(s.delayed) == 0 {
		return
	}
	in := time.Duration(s.delayed[0].due) - now()
	if s.alarm == nil {
		s.alarm = time.AfterFunc(in, s.alarmed)
	} else {
		s.alarm.Reset(in)
	}
}

func (s *Storage) alarmed() {
	c := s.channel
	if !c.Lock() {
		return
	}
	s.releaseDue(now())
	s.setAlarm()
	c.Commit()
}

// stopDelays leaves the runs as they are, for good.
func (s *Storage) stopDelays() {
	s.channel.mu.Lock()
	defer s.channel.mu.Unlock()
	s.delayed = nil
	if s.alarm != nil {
		s.alarm.Stop()
	}
}
