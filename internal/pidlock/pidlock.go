// Package pidlock keeps a second node from starting with the same pid file (operations
// operations spec §4.3). It uses the lock type of the original, a POSIX record lock on the whole
// file, so that the two exclude each other.
//
// The package imports nothing else of the node.
package pidlock

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Lock is a held pid lock. The process must not open the file anywhere else: closing
// any of its descriptors ends a POSIX lock.
type Lock struct {
	path string
	file *os.File
}

// Acquire locks the file, creating it if necessary, and writes the process id to it. The
// file of a process that was killed is taken over.
func Acquire(path string) (*Lock, error) {
	for {
		l, err := lock(path)
		if err != nil {
			return nil, err
		}
		if !l.named() {
			l.file.Close() // its owner removed it after we had opened it
			continue
		}
		if err := l.write(); err != nil {
			l.file.Close()
			return nil, fmt.Errorf("pid lock file %s: %w", path, err)
		}
		return l, nil
	}
}

// lock locks the file that has that name now.
func lock(path string) (*Lock, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("pid lock: %w", err)
	}
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	switch err := unix.FcntlFlock(file.Fd(), unix.F_SETLK, &whole); err {
	case nil:
		return &Lock{path, file}, nil
	case unix.EACCES, unix.EAGAIN:
		owner := owner(file)
		file.Close()
		return nil, fmt.Errorf("Couldn't lock the pid lock file '%s'. Probably another instance of the application is running.%s", path, owner)
	default:
		file.Close()
		return nil, fmt.Errorf("pid lock file %s: fcntl: %w", path, err)
	}
}

// owner names the process that has the lock on a file, if that can be found out: one in another
// container has no number here.
func owner(file *os.File) string {
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(file.Fd(), unix.F_GETLK, &whole); err != nil || whole.Type == unix.F_UNLCK || whole.Pid <= 0 {
		return ""
	}
	return fmt.Sprintf(" It is process %d.", whole.Pid)
}

// named reports whether the file still has its name: a lock on one that was removed
// excludes nobody.
func (l *Lock) named() bool {
	named, err := os.Stat(l.path)
	if err != nil {
		return false
	}
	locked, err := l.file.Stat()
	return err == nil && os.SameFile(named, locked)
}

func (l *Lock) write() error {
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err := fmt.Fprintf(l.file, "%d\n", os.Getpid())
	return err
}

// Release removes the file, unless somebody else has, then the lock: the next process
// that comes starts with a file of its own.
func (l *Lock) Release() (err error) {
	if l.named() {
		err = os.Remove(l.path)
	}
	if e := l.file.Close(); err == nil {
		err = e
	}
	return err
}
