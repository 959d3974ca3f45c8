package listener

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what must happen.
const patience = 2 * time.Minute

func startGroup(t *testing.T, count int) *Group {
	t.Helper()
	g, err := NewGroup(count)
	if err != nil {
		t.Fatal(err)
	}
	g.Start()
	t.Cleanup(func() {
		if err := g.Stop(); err != nil {
			t.Error(err)
		}
	})
	return g
}

func startLoop(t *testing.T) (*Group, *Loop) {
	g := startGroup(t, 1)
	return g, g.loops[0]
}

// on runs f on the loops.
func on(g *Group, f func()) { g.Do(func(*Loop) { f() }) }

func wait(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("still waiting for: %s", what)
	}
}

type handlerFunc func(Events)

func (f handlerFunc) Ready(e Events) { f(e) }

// pair returns two connected sockets.
func pair(t *testing.T) (a, b int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(fds[0])
		unix.Close(fds[1])
	})
	return fds[0], fds[1]
}

// asleep waits until a loop has gone to sleep.
func asleep(t *testing.T, l *Loop) {
	t.Helper()
	for deadline := time.Now().Add(patience); !l.asleep.Load(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the loop does not sleep")
		}
	}
}

func TestPostWakesASleepingLoop(t *testing.T) {
	_, l := startLoop(t)
	for range 1000 {
		asleep(t, l)
		ran := make(chan struct{})
		l.Post(TaskFunc(func() { close(ran) }))
		wait(t, "a task posted to a loop that sleeps", ran)
	}
}

// No task is lost or forgotten in the mailbox while goroutines post at the moments when
// the loop falls asleep.
func TestPostFromManyGoroutines(t *testing.T) {
	_, l := startLoop(t)
	const posters, each = 8, 2000
	var done sync.WaitGroup
	var order [posters][]int
	for p := range posters {
		done.Go(func() {
			for i := range each {
				ran := make(chan struct{})
				l.Post(TaskFunc(func() {
					order[p] = append(order[p], i)
					close(ran)
				}))
				if i%3 == p%3 { // let the loop fall asleep now and then
					<-ran
				}
			}
		})
	}
	finished := make(chan struct{})
	go func() { done.Wait(); close(finished) }()
	wait(t, "all tasks", finished)
	end := make(chan struct{})
	l.Post(TaskFunc(func() { close(end) }))
	wait(t, "the last task", end)
	for p := range posters {
		if len(order[p]) != each || !slices.IsSorted(order[p]) {
			t.Errorf("poster %d: %d tasks ran, in order %v, want %d, in order", p, len(order[p]), slices.IsSorted(order[p]), each)
		}
	}
}

// A post that meets the loop at any point of falling asleep wakes it.
func TestPostWhileFallingAsleep(t *testing.T) {
	_, l := startLoop(t)
	var ran atomic.Uint32
	task := TaskFunc(func() { ran.Add(1) })
	begin := time.Now()
	for i := uint32(0); i%64 != 0 || time.Since(begin) < time.Second; i++ {
		for range i % 512 { // some nanoseconds
			ran.Load()
		}
		l.Post(task)
		posted := time.Now()
		for n := 1; ran.Load() <= i; n++ {
			if n%1000 == 0 {
				runtime.Gosched()
				if time.Since(posted) > patience {
					t.Fatalf("post %d has not woken the loop", i)
				}
			}
		}
	}
}

// A task posted by a task runs in the next round: those posted before it come first, and
// so do events.
func TestTasksOfTasksRunInTheNextRound(t *testing.T) {
	g, l := startLoop(t)
	a, b := pair(t)
	var got []string
	end := make(chan struct{})
	log := func(what string) TaskFunc { return func() { got = append(got, what) } }
	on(g, func() {
		err := l.Register(a, unix.EPOLLIN, handlerFunc(func(Events) {
			got = append(got, "event")
			unix.Read(a, make([]byte, 10))
		}))
		if err != nil {
			t.Error(err)
		}
		l.Post(TaskFunc(func() {
			got = append(got, "first")
			unix.Write(b, []byte("x"))
			l.Post(log("of the first"))
			l.Post(TaskFunc(func() { close(end) }))
		}))
		l.Post(log("second"))
	})
	wait(t, "all tasks", end)
	on(g, func() { l.Unregister(a) })
	if want := []string{"first", "second", "event", "of the first"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A task that posts itself for ever keeps nobody from being served.
func TestEndlessTasksLeaveRoomForEvents(t *testing.T) {
	g, l := startLoop(t)
	a, b := pair(t)
	ready, due := make(chan struct{}), make(chan struct{})
	stop := false
	var again TaskFunc
	again = func() {
		if !stop {
			l.Post(again)
		}
	}
	on(g, func() {
		l.Register(a, unix.EPOLLIN, handlerFunc(func(Events) { close(ready); l.Unregister(a) }))
		l.After(time.Millisecond, TaskFunc(func() { close(due) }))
		l.Post(again)
	})
	unix.Write(b, []byte("x"))
	wait(t, "the event", ready)
	wait(t, "the timer", due)
	on(g, func() { stop = true })
}

func TestTimers(t *testing.T) {
	g, l := startLoop(t)
	var got []int
	end, nested := make(chan struct{}), make(chan struct{})
	begin := time.Now()
	log := func(i int) TaskFunc { return func() { got = append(got, i) } }
	on(g, func() {
		var timers []*Timer
		for _, ms := range []int{30, 10, 40, 20, 0, 25, 15, 35, 5} {
			timers = append(timers, l.After(time.Duration(ms)*time.Millisecond, log(ms)))
		}
		l.StopTimer(timers[1]) // 10
		l.StopTimer(timers[5]) // 25
		l.StopTimer(timers[5])
		l.StopTimer(nil)
		l.After(20*time.Millisecond, TaskFunc(func() { l.StopTimer(timers[7]) })) // 35
		l.After(6*time.Millisecond, TaskFunc(func() {
			l.StopTimer(timers[4]) // has run
			l.After(time.Millisecond, TaskFunc(func() { close(nested) }))
		}))
		l.After(50*time.Millisecond, TaskFunc(func() { close(end) }))
	})
	wait(t, "the timers", end)
	wait(t, "the timer that a timer made", nested)
	if want := []int{0, 5, 15, 20, 30, 40}; !slices.Equal(got, want) {
		t.Errorf("ran %v, want %v", got, want)
	}
	if took := time.Since(begin); took < 50*time.Millisecond {
		t.Errorf("the timer of 50 ms ran after %v", took)
	}
	on(g, func() {
		if len(l.timers) != 0 {
			t.Errorf("%d timers are left", len(l.timers))
		}
	})
}

// Timers that are due at once run in the order of their times, all in one round, and one
// of them may stop the next.
func TestTimersDueAtOnce(t *testing.T) {
	var ts timers
	begin := time.Now().Add(-time.Hour)
	var got []int
	var all []*Timer
	for _, i := range []int{5, 3, 8, 1, 9, 2, 7} {
		all = append(all, ts.add(begin.Add(time.Duration(i)), TaskFunc(func() {
			if got = append(got, i); i == 3 {
				ts.remove(all[0]) // 5
			}
		})))
	}
	future := ts.add(begin.Add(2*time.Hour), TaskFunc(func() { t.Error("a timer ran an hour too early") }))
	ts.run()
	if want := []int{1, 2, 3, 7, 8, 9}; !slices.Equal(got, want) {
		t.Errorf("ran %v, want %v", got, want)
	}
	if len(ts) != 1 || ts[0] != future {
		t.Errorf("%d timers are left, want the one in the future", len(ts))
	}
	ts.remove(all[1]) // has run
	ts.remove(future)
	if ts.wait() != -1 {
		t.Errorf("without timers: wait %d, want -1", ts.wait())
	}
}

func TestTimerWaitIsRoundedUp(t *testing.T) {
	for _, test := range []struct {
		in       time.Duration
		from, to int
	}{
		{-time.Hour, 0, 0},
		{0, 0, 0},
		{time.Second, 990, 1000},
		{time.Hour, 3599_990, 3600_000},
		{10000 * time.Hour, 1 << 30, 1 << 30},
	} {
		var ts timers
		ts.add(time.Now().Add(test.in), TaskFunc(func() {}))
		if got := ts.wait(); got < test.from || got > test.to {
			t.Errorf("timer in %v: wait %d ms, want %d to %d", test.in, got, test.from, test.to)
		}
	}
	// Never a wait of 0 before the timer is due, which would be a busy loop.
	var ts timers
	timer := ts.add(time.Now().Add(3*time.Millisecond), TaskFunc(func() {}))
	for {
		got := ts.wait()
		if !time.Now().Before(timer.when) {
			break
		}
		if got < 1 {
			t.Fatalf("wait %d ms before the timer is due, want at least 1", got)
		}
	}
}

// An idle loop sleeps: it does not go round until something happens.
func TestIdleLoopSleeps(t *testing.T) {
	const pause = 50 * time.Millisecond
	for _, test := range []struct {
		rule    string
		prepare func(l *Loop, a, b int)
	}{
		{"a timer that is not due", func(*Loop, int, int) {}},
		{"a descriptor that is not ready", func(l *Loop, a, b int) {
			l.Register(a, unix.EPOLLIN, handlerFunc(func(Events) {}))
		}},
		{"a descriptor that is ready for something else", func(l *Loop, a, b int) {
			l.Register(a, unix.EPOLLIN, handlerFunc(func(Events) {}))
			l.Modify(a, 0)
			unix.Write(b, []byte("x"))
		}},
		{"a descriptor that is not watched any more", func(l *Loop, a, b int) {
			l.Register(a, unix.EPOLLIN, handlerFunc(func(Events) {}))
			unix.Write(b, []byte("x"))
			l.Unregister(a)
		}},
		{"a wake-up that has been handled", func(l *Loop, a, b int) {
			l.asleep.Store(true)
			l.Post(TaskFunc(func() {}))
			n, err := l.wait()
			if n != 1 || err != nil {
				t.Errorf("%d events, %v, want the wake-up", n, err)
			}
			wakeupHandler{l}.Ready(0)
			l.runPosted()
		}},
	} {
		t.Run(test.rule, func(t *testing.T) {
			l, err := newLoop(0)
			if err != nil {
				t.Fatal(err)
			}
			defer l.close()
			a, b := pair(t)
			test.prepare(l, a, b)
			l.After(pause, TaskFunc(func() {}))
			begin := time.Now()
			for rounds := 1; ; rounds++ {
				n, err := l.wait()
				if n != 0 || err != nil {
					t.Fatalf("%d events, %v, want none", n, err)
				}
				if time.Since(begin) >= pause {
					if rounds > 3 { // a signal may interrupt the sleep
						t.Errorf("%d rounds in %v, want one", rounds, pause)
					}
					return
				}
			}
		})
	}
}

// An event of a descriptor that was closed in the same round does not reach the handler
// of another descriptor that has got its number since.
func TestStaleEventIsNotDelivered(t *testing.T) {
	g, l := startLoop(t)
	var near, far [2]int
	for i := range near {
		near[i], far[i] = pair(t)
	}
	idle, _ := pair(t)
	var delivered, stale int
	on(g, func() {
		for i := range near {
			err := l.Register(near[i], unix.EPOLLIN, handlerFunc(func(Events) {
				delivered++
				// The other one's number goes to a descriptor that is never ready.
				other := near[1-i]
				l.Unregister(near[i])
				l.Unregister(other)
				if err := unix.Dup3(idle, other, unix.O_CLOEXEC); err != nil {
					t.Error(err)
				}
				if err := l.Register(other, unix.EPOLLIN, handlerFunc(func(Events) { stale++ })); err != nil {
					t.Error(err)
				}
			}))
			if err != nil {
				t.Error(err)
			}
		}
		for _, fd := range far { // both are ready in the next round
			unix.Write(fd, []byte("x"))
		}
	})
	for range 10 {
		on(g, func() {})
	}
	on(g, func() {
		if delivered != 1 || stale != 0 {
			t.Errorf("%d events for the first handlers, %d for the new one, want 1, 0", delivered, stale)
		}
		for _, fd := range near {
			l.Unregister(fd)
		}
	})
}

// An event of the same round does not reach a handler that was unregistered before.
func TestUnregisteredHandlerIsNotCalled(t *testing.T) {
	g, l := startLoop(t)
	var near, far [2]int
	for i := range near {
		near[i], far[i] = pair(t)
	}
	delivered := 0
	on(g, func() {
		for i := range near {
			l.Register(near[i], unix.EPOLLIN, handlerFunc(func(Events) {
				delivered++
				l.Unregister(near[0])
				l.Unregister(near[1])
			}))
			unix.Write(far[i], []byte("x"))
		}
	})
	for range 10 {
		on(g, func() {})
	}
	if delivered != 1 {
		t.Errorf("%d events, want 1", delivered)
	}
}

func TestModify(t *testing.T) {
	g, l := startLoop(t)
	a, b := pair(t)
	var got []Events
	on(g, func() {
		l.Register(a, unix.EPOLLIN, handlerFunc(func(e Events) {
			got = append(got, e)
			if err := l.Modify(a, 0); err != nil {
				t.Error(err)
			}
		}))
		unix.Write(b, []byte("x"))
	})
	for range 5 {
		on(g, func() {})
	}
	on(g, func() { l.Modify(a, unix.EPOLLIN|unix.EPOLLOUT) })
	for range 5 {
		on(g, func() {})
	}
	if want := []Events{unix.EPOLLIN, unix.EPOLLIN | unix.EPOLLOUT}; !slices.Equal(got, want) {
		t.Errorf("events %x, want %x", got, want)
	}
	on(g, func() {
		l.Unregister(a)
		if err := l.Modify(a, unix.EPOLLIN); err == nil {
			t.Error("Modify of a descriptor that is not watched reports success")
		}
	})
}

func TestRegisterFails(t *testing.T) {
	g, l := startLoop(t)
	a, _ := pair(t)
	unix.Close(a)
	on(g, func() {
		if err := l.Register(a, unix.EPOLLIN, handlerFunc(func(Events) {})); err == nil {
			t.Error("Register of a closed descriptor reports success")
		}
		if l.slots[a].handler != nil {
			t.Error("the handler stays registered")
		}
	})
}

func TestGroupDo(t *testing.T) {
	g := startGroup(t, 3)
	var got []int
	g.Do(func(l *Loop) { got = append(got, l.Index()) })
	if want := []int{0, 1, 2}; !slices.Equal(got, want) {
		t.Errorf("ran on %v, want %v", got, want)
	}
	if got := g.Loops(); len(got) != 3 || got[1].Index() != 1 {
		t.Errorf("%d loops, want 3 in order of their index", len(got))
	}
}

// Stop ends every loop after the round it is in, and what was posted before it still
// runs.
func TestGroupStop(t *testing.T) {
	g, err := NewGroup(2)
	if err != nil {
		t.Fatal(err)
	}
	g.Start()
	var ran atomic.Int32
	for range 10 {
		for _, l := range g.loops {
			l.Post(TaskFunc(func() { ran.Add(1) }))
		}
	}
	if err := g.Stop(); err != nil {
		t.Fatal(err)
	}
	if got := ran.Load(); got != 20 {
		t.Errorf("%d tasks ran, want the 20 that were posted before Stop", got)
	}
	for _, l := range g.loops {
		l.Post(TaskFunc(func() { t.Error("a task ran after Stop") }))
		if _, err := unix.FcntlInt(uintptr(l.epoll), unix.F_GETFD, 0); err != unix.EBADF {
			t.Errorf("loop %d: its descriptor is still open (%v)", l.index, err)
		}
	}
}

// A loop whose epoll fails ends with an error that Stop returns.
func TestGroupStopReportsFailure(t *testing.T) {
	g, err := NewGroup(2)
	if err != nil {
		t.Fatal(err)
	}
	g.loops[1].epoll = g.loops[1].wakeup // epoll_wait refuses that
	g.Start()
	if err := g.Stop(); err == nil || err.Error() != "event loop: epoll_wait: invalid argument" {
		t.Errorf("got %v, want what epoll_wait said", err)
	}
}
