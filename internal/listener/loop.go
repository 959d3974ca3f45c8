// Package listener accepts connections and runs the event loops that serve them.
//
// # Threads
//
// Each Loop is one goroutine around one epoll instance, level-triggered. What belongs
// to a loop (a connection with its buffers and requests) is touched by that goroutine
// alone and needs no lock. Work for another loop goes through Post: a mailbox, and an
// eventfd that is written only if the loop may be asleep.
//
// One round of a loop is
//
//	wait for events ─▶ handlers of ready descriptors ─▶ posted tasks ─▶ work put off ─▶ due timers
//
// so a record pushed by a handler reaches a consumer of the same loop at the end of the
// round. Nothing in a round may block on the network, and who has much to do does a part of
// it and puts off the rest (Defer). Of such work a round does little, so that those who want
// little are served soon however many there are who want much.
//
// A Listener accepts on the first loop of a Group and hands each connection to the loop
// that has fewest.
//
// The package imports logging for its messages and nothing else of the node.
package listener

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Events is a set of epoll events: unix.EPOLLIN, …
type Events uint32

// Handler is called on its loop when a registered descriptor is ready.
type Handler interface{ Ready(Events) }

// Task is work that a loop does at the end of a round.
type Task interface{ Run() }

// TaskFunc is a function as a Task.
type TaskFunc func()

// Run calls the function.
func (f TaskFunc) Run() { f() }

// Loop is one event loop. Post and Index may be called from any goroutine, everything
// else only from the loop itself (or before Run).
type Loop struct {
	index         int
	epoll, wakeup int
	slots         []slot // by descriptor
	events        [256]unix.EpollEvent
	timers        timers
	stopped       bool

	connections atomic.Int64 // for choosing the least loaded loop

	mail struct {
		sync.Mutex
		tasks []Task
	}
	spare  []Task // the mailbox being worked off
	asleep atomic.Bool

	deferred queue
	sharing  int       // how many want to be served in this round, about
	now      time.Time // when it began

	little struct { // see WantsLittle
		who Handler
		at  time.Time
	}
}

// slot is what a loop knows of a descriptor. The generation tells a late event of a
// closed descriptor from one of its successor with the same number.
type slot struct {
	handler    Handler
	generation int32
}

// newLoop creates a loop; Run runs it.
func newLoop(index int) (*Loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("event loop: epoll_create1: %w", err)
	}
	wakeup, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(epoll)
		return nil, fmt.Errorf("event loop: eventfd: %w", err)
	}
	l := &Loop{index: index, epoll: epoll, wakeup: wakeup, now: time.Now()}
	if err := l.Register(wakeup, unix.EPOLLIN, wakeupHandler{l}); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// Index is the position of the loop in its Group.
func (l *Loop) Index() int { return l.index }

// Register watches a descriptor for events. EPOLLERR and EPOLLHUP always count.
func (l *Loop) Register(fd int, events Events, h Handler) error {
	for fd >= len(l.slots) {
		l.slots = append(l.slots, slot{})
	}
	s := &l.slots[fd]
	s.generation++
	s.handler = h
	ev := unix.EpollEvent{Events: uint32(events), Fd: int32(fd), Pad: s.generation}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		s.handler = nil
		return fmt.Errorf("event loop: watching descriptor %d: %w", fd, err)
	}
	return nil
}

// Modify changes the events a registered descriptor is watched for.
func (l *Loop) Modify(fd int, events Events) error {
	ev := unix.EpollEvent{Events: uint32(events), Fd: int32(fd), Pad: l.slots[fd].generation}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_MOD, fd, &ev); err != nil {
		return fmt.Errorf("event loop: watching descriptor %d: %w", fd, err)
	}
	return nil
}

// Unregister stops watching a descriptor, which must still be open.
func (l *Loop) Unregister(fd int) {
	l.slots[fd].handler = nil
	unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, fd, nil)
}

// Post makes the loop run a task soon: at the end of the current round if it is in one.
func (l *Loop) Post(t Task) {
	l.mail.Lock()
	l.mail.tasks = append(l.mail.tasks, t)
	l.mail.Unlock()
	if l.asleep.Swap(false) {
		one := [8]byte{0: 1}
		unix.Write(l.wakeup, one[:])
	}
}

// Defer puts a task off: those who want little come first.
func (l *Loop) Defer(t Task) { l.deferred.add(t) }

// Sharing is about how many handlers and tasks want to be served in this round, at least 1.
func (l *Loop) Sharing() int { return max(1, l.sharing) }

// WantsLittle notes that a handler has been served that wanted little, and may soon want it again.
func (l *Loop) WantsLittle(h Handler) { l.little.who, l.little.at = h, l.now }

// littleTime is for how long those who wanted little are expected to come again.
const littleTime = time.Millisecond

// OthersWantLittle reports whether somebody else than the handler has wanted little just now, and
// is not to wait for long.
func (l *Loop) OthersWantLittle(h Handler) bool {
	return l.little.who != h && l.now.Sub(l.little.at) < littleTime
}

// Now is the time at which this round began.
func (l *Loop) Now() time.Time { return l.now }

// After makes the loop run a task once, a duration from now, unless the timer is
// stopped before.
func (l *Loop) After(d time.Duration, t Task) *Timer { return l.timers.add(time.Now().Add(d), t) }

// StopTimer makes sure the task of a timer does not run; a nil timer is none.
func (l *Loop) StopTimer(t *Timer) { l.timers.remove(t) }

// Run serves events until Stop is called. It returns an error only if epoll fails.
func (l *Loop) Run() error {
	defer l.close()
	for !l.stopped {
		n, err := l.wait()
		if err != nil {
			return fmt.Errorf("event loop: epoll_wait: %w", err)
		}
		l.now = time.Now()
		l.sharing = n + l.deferred.len()
		for _, ev := range l.events[:n] {
			if s := &l.slots[ev.Fd]; s.handler != nil && s.generation == ev.Pad {
				s.handler.Ready(Events(ev.Events))
			}
		}
		l.runPosted()
		l.runDeferred()
		l.timers.run()
	}
	return nil
}

// Stop ends Run after the current round. Call it on the loop: Post a task that does.
func (l *Loop) Stop() { l.stopped = true }

// wait collects the next events. It sleeps only if there are none and nothing has been
// posted or put off.
func (l *Loop) wait() (int, error) {
	n, err := l.poll()
	if n > 0 || err != nil || l.deferred.len() > 0 {
		return n, err
	}
	l.asleep.Store(true)
	timeout := l.timers.wait()
	if l.hasMail() {
		timeout = 0
	}
	n, err = unix.EpollWait(l.epoll, l.events[:], timeout)
	l.asleep.Store(false)
	if err == unix.EINTR {
		return 0, nil
	}
	return n, err
}

func (l *Loop) hasMail() bool {
	l.mail.Lock()
	defer l.mail.Unlock()
	return len(l.mail.tasks) > 0
}

// runPosted runs the tasks posted so far; what they post runs in the next round.
func (l *Loop) runPosted() {
	l.mail.Lock()
	tasks := l.mail.tasks
	l.mail.tasks = l.spare[:0]
	l.mail.Unlock()
	for i, t := range tasks {
		t.Run()
		tasks[i] = nil
	}
	l.spare = tasks[:0]
}

// deferredTime is about how long the deferred tasks of a round may take: some times what it costs to
// look who else is ready.
const deferredTime = 8 * time.Microsecond

// runDeferred runs some of the tasks that have been deferred so far, at least one if there are any.
func (l *Loop) runDeferred() {
	count := l.deferred.len()
	if count == 0 {
		return
	}
	for start := time.Now(); count > 0; count-- {
		l.deferred.take().Run()
		if time.Since(start) >= deferredTime {
			return
		}
	}
}

func (l *Loop) close() {
	unix.Close(l.wakeup)
	unix.Close(l.epoll)
}

// wakeupHandler empties the eventfd.
type wakeupHandler struct{ l *Loop }

func (h wakeupHandler) Ready(Events) {
	var count [8]byte
	unix.Read(h.l.wakeup, count[:])
}
