package listener

import (
	"container/heap"
	"time"
)

// Timer is a task that runs once at a given time. See Loop.After.
type Timer struct {
	when  time.Time
	task  Task
	index int // in the heap; -1 if not in it
}

// timers is the pending timers of a loop, earliest first.
type timers []*Timer

func (ts *timers) add(when time.Time, task Task) *Timer {
	t := &Timer{when: when, task: task}
	heap.Push(ts, t)
	return t
}

func (ts *timers) remove(t *Timer) {
	if t != nil && t.index >= 0 {
		heap.Remove(ts, t.index)
	}
}

// run runs the tasks that are due.
func (ts *timers) run() {
	if len(*ts) == 0 {
		return
	}
	for now := time.Now(); len(*ts) > 0 && !(*ts)[0].when.After(now); {
		heap.Pop(ts).(*Timer).task.Run()
	}
}

// wait is the time until the first timer as an epoll timeout: milliseconds, rounded up,
// -1 without timers.
func (ts *timers) wait() int {
	if len(*ts) == 0 {
		return -1
	}
	d := time.Until((*ts)[0].when)
	if d <= 0 {
		return 0
	}
	return int(min((d+time.Millisecond-1)/time.Millisecond, 1<<30))
}

// heap.Interface

func (ts timers) Len() int           { return len(ts) }
func (ts timers) Less(i, j int) bool { return ts[i].when.Before(ts[j].when) }
func (ts timers) Swap(i, j int) {
	ts[i], ts[j] = ts[j], ts[i]
	ts[i].index, ts[j].index = i, j
}

func (ts *timers) Push(x any) {
	t := x.(*Timer)
	t.index = len(*ts)
	*ts = append(*ts, t)
}

func (ts *timers) Pop() any {
	old := *ts
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*ts = old[:len(old)-1]
	t.index = -1
	return t
}
