package console

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// tty is the terminal of the process.
type tty struct {
	file *os.File

	mu    sync.Mutex
	saved *unix.Termios // the modes before silence; nil = nothing to restore
}

// drawable reports whether a file is a terminal that understands cursor movements.
func drawable(file *os.File) bool {
	kind := os.Getenv("TERM")
	return isTerminal(file) && kind != "" && kind != "dumb"
}

func isTerminal(file *os.File) bool {
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}

// is reports whether a file is the same terminal.
func (t *tty) is(file *os.File) bool {
	if !isTerminal(file) {
		return false
	}
	one, err := t.file.Stat()
	if err != nil {
		return false
	}
	other, err := file.Stat()
	return err == nil && os.SameFile(one, other)
}

// size is what the terminal says, or else what terminals always had.
func (t *tty) size() (cols, rows int) {
	size, err := unix.IoctlGetWinsize(int(t.file.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 || size.Row == 0 {
		return 80, 24
	}
	return int(size.Col), int(size.Row)
}

// foreground reports whether the terminal is this process's to use. That of another session
// knows no jobs.
func (t *tty) foreground() bool {
	group, err := unix.IoctlGetInt(int(t.file.Fd()), unix.TIOCGPGRP)
	return err != nil || group == unix.Getpgrp()
}

// silence turns the echo of input off, if it is on. Only a process in the foreground may.
func (t *tty) silence() {
	t.mu.Lock()
	defer t.mu.Unlock()
	modes, err := unix.IoctlGetTermios(int(t.file.Fd()), unix.TCGETS)
	if err != nil || modes.Lflag&unix.ECHO == 0 {
		return
	}
	before := *modes
	modes.Lflag &^= unix.ECHO
	if unix.IoctlSetTermios(int(t.file.Fd()), unix.TCSETS, modes) == nil {
		t.saved = &before
	}
}

// restore turns the echo on again, and forgets what was typed without being seen: no shell is
// to execute it.
func (t *tty) restore() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.saved == nil || !t.foreground() {
		return
	}
	unix.IoctlSetInt(int(t.file.Fd()), unix.TCFLSH, unix.TCIFLUSH)
	unix.IoctlSetTermios(int(t.file.Fd()), unix.TCSETS, t.saved)
}
