package listener

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// repeated is a task that defers itself as long as it is told to.
type repeated struct {
	l    *Loop
	runs int
	over bool
	done chan struct{}
}

func (r *repeated) Run() {
	r.runs++
	if r.over {
		close(r.done)
		return
	}
	r.l.Defer(r)
}

// Deferred tasks run in rounds in which everything else has its turn, and leave the loop no sleep.
func TestDeferredTasksGiveOthersTheirTurn(t *testing.T) {
	g, l := startLoop(t)
	r := &repeated{l: l, done: make(chan struct{})}
	on(g, func() { l.Defer(r) })
	timer, ready := make(chan struct{}), make(chan struct{})
	a, b := pair(t)
	on(g, func() {
		l.After(time.Millisecond, TaskFunc(func() { close(timer) }))
		err := l.Register(a, unix.EPOLLIN, handlerFunc(func(Events) {
			l.Unregister(a)
			close(ready)
		}))
		if err != nil {
			t.Error(err)
		}
	})
	if _, err := unix.Write(b, []byte{1}); err != nil {
		t.Fatal(err)
	}
	wait(t, "a timer", timer)
	wait(t, "a ready socket", ready)
	on(g, func() { r.over = true })
	wait(t, "the last run of the deferred task", r.done)
	asleep(t, l)
}

// A round does only some of the deferred tasks, in their order, and they all have their turn.
func TestRoundDoesSomeOfTheDeferredTasks(t *testing.T) {
	g, l := startLoop(t)
	const count = 100
	var order []int
	posted, done := -1, make(chan struct{})
	on(g, func() {
		for i := range count {
			l.Defer(TaskFunc(func() {
				time.Sleep(deferredTime) // as long as those of a round may take
				if order = append(order, i); len(order) == count {
					close(done)
				}
			}))
		}
	})
	on(g, func() { posted = len(order) })
	wait(t, "all deferred tasks", done)
	on(g, func() {
		if posted > 10 {
			t.Errorf("%d of %d deferred tasks came before a task that was posted, want few", posted, count)
		}
		for i, got := range order {
			if got != i {
				t.Fatalf("task %d came as number %d", got, i)
			}
		}
	})
}

func TestQueue(t *testing.T) {
	var q queue
	next, taken := 0, 0
	run := func(want int) Task { return TaskFunc(func() { taken = want }) }
	for round := range 200 {
		for range round % 7 {
			q.add(run(next))
			next++
		}
		for range min(q.len(), round%5) {
			before := taken
			q.take().Run()
			if taken != before+1 && !(before == 0 && taken == 0) {
				t.Fatalf("task %d was taken behind task %d", taken, before)
			}
		}
	}
	if left := next - 1 - taken; q.len() != left {
		t.Errorf("%d tasks are left, want %d", q.len(), left)
	}
	if cap(q.tasks) > 4*next {
		t.Errorf("room for %d tasks after %d, want it reused", cap(q.tasks), next)
	}
}

// Who wanted little just now is expected again, for a moment.
func TestThoseWhoWantLittleAreExpectedAgain(t *testing.T) {
	l, err := newLoop(0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	modest, greedy := wakeupHandler{l}, wakeupHandler{}
	if l.OthersWantLittle(greedy) {
		t.Error("somebody wanted little, on a new loop")
	}
	l.WantsLittle(modest)
	if l.OthersWantLittle(modest) {
		t.Error("who wanted little gives way to itself")
	}
	if !l.OthersWantLittle(greedy) {
		t.Error("nobody gives way to who wanted little just now")
	}
	l.now = l.now.Add(littleTime)
	if l.OthersWantLittle(greedy) {
		t.Error("others give way to who wanted little long ago")
	}
}
