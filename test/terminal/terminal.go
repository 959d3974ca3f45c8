// Package terminal gives tests a terminal: a pseudo terminal for the program under test, and
// a Screen that shows what a person would see on it.
package terminal

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Terminal is a pseudo terminal whose output goes to a Screen. Its methods may be called from
// any goroutine.
type Terminal struct {
	t      testing.TB
	master *os.File
	slave  *os.File

	mu      sync.Mutex
	screen  *Screen
	changed chan struct{} // closed and replaced at every change
	held    bool
	resume  chan struct{}
}

// Pair returns both ends of a pseudo terminal: the one for the program under test, and the one
// where its output arrives.
func Pair(t testing.TB) (slave, master *os.File) {
	t.Helper()
	// Non-blocking, so that Close ends a Read.
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skipf("no pseudo terminals: %v", err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	t.Cleanup(func() { master.Close() })
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return slave, master
}

// Open makes a terminal of that size.
func Open(t testing.TB, cols, rows int) *Terminal {
	t.Helper()
	slave, master := Pair(t)
	term := &Terminal{
		t:       t,
		master:  master,
		slave:   slave,
		screen:  NewScreen(cols, rows),
		changed: make(chan struct{}),
		resume:  make(chan struct{}),
	}
	term.setSize(cols, rows)
	go term.show()
	return term
}

// File is the side of the program under test.
func (term *Terminal) File() *os.File { return term.slave }

func (term *Terminal) setSize(cols, rows int) {
	term.t.Helper()
	size := &unix.Winsize{Col: uint16(cols), Row: uint16(rows)}
	// On the slave side, whose descriptor is of no reader.
	if err := unix.IoctlSetWinsize(int(term.slave.Fd()), unix.TIOCSWINSZ, size); err != nil {
		term.t.Fatal(err)
	}
}

// show brings to the screen what is written to the terminal.
func (term *Terminal) show() {
	buffer := make([]byte, 4096)
	for {
		n, err := term.master.Read(buffer)
		for {
			term.mu.Lock()
			held, resume := term.held, term.resume
			term.mu.Unlock()
			if !held {
				break
			}
			<-resume
		}
		term.change(func() { term.screen.Write(buffer[:n]) })
		if err != nil {
			return
		}
	}
}

func (term *Terminal) change(f func()) {
	term.mu.Lock()
	defer term.mu.Unlock()
	f()
	close(term.changed)
	term.changed = make(chan struct{})
}

// Hold makes the terminal take nothing any more but what the kernel holds, like Ctrl-S does.
func (term *Terminal) Hold() {
	term.mu.Lock()
	defer term.mu.Unlock()
	term.held = true
}

// Resume ends Hold.
func (term *Terminal) Resume() {
	term.mu.Lock()
	defer term.mu.Unlock()
	term.held = false
	close(term.resume)
	term.resume = make(chan struct{})
}

// Resize changes the size. What was on the screen is garbled: terminals differ in what they
// make of it.
func (term *Terminal) Resize(cols, rows int) {
	term.t.Helper()
	term.change(func() { term.screen.Resize(cols, rows) })
	term.setSize(cols, rows)
}

// HangUp takes the terminal away, as when its window is closed.
func (term *Terminal) HangUp() { term.master.Close() }

// Type is input from the keyboard.
func (term *Terminal) Type(text string) {
	term.t.Helper()
	if _, err := term.master.WriteString(text); err != nil {
		term.t.Fatal(err)
	}
}

// Echoes tells whether the terminal shows what is typed.
func (term *Terminal) Echoes() bool {
	term.t.Helper()
	modes, err := unix.IoctlGetTermios(int(term.slave.Fd()), unix.TCGETS)
	if err != nil {
		term.t.Fatal(err)
	}
	return modes.Lflag&unix.ECHO != 0
}

// Lines are those of the screen, without blanks at their ends and without the empty ones at
// the bottom.
func (term *Terminal) Lines() []string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.screen.Lines()
}

// History is the lines that have scrolled away since the size was last changed.
func (term *Terminal) History() []string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return slices.Clone(term.screen.History())
}

// Cursor is where the next character would appear, counted from 0.
func (term *Terminal) Cursor() (col, row int) {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.screen.Cursor()
}

// Wait waits until the screen is as it should be, at most for the timeout, and returns its
// lines.
func (term *Terminal) Wait(what string, timeout time.Duration, right func(lines []string) bool) []string {
	term.t.Helper()
	deadline := time.After(timeout)
	for {
		term.mu.Lock()
		lines, changed := term.screen.Lines(), term.changed
		term.mu.Unlock()
		if right(lines) {
			return lines
		}
		select {
		case <-changed:
		case <-deadline:
			term.t.Fatalf("no %s on the screen within %v:\n%s", what, timeout, strings.Join(lines, "\n"))
		}
	}
}
