package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// Records are only taken when they can be printed: a Pop, and all of legacy, has no way of
// giving them back.

var errClosedOutput = errors.New("it is closed, or it is /dev/null opened for reading, too, which looks the same; use > /dev/null to discard records")

// surviveBrokenPipe makes writing to a pipe that nobody reads an error, which can be told
// apart from success, instead of the end of the process.
func surviveBrokenPipe() { signal.Ignore(syscall.SIGPIPE) }

// checkOutput finds out whether records can be printed, as far as that shows before.
func checkOutput(w io.Writer) error {
	file, ok := w.(*os.File)
	if !ok {
		return nil
	}
	if err := checkDescriptor(int(file.Fd())); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

func checkDescriptor(fd int) error {
	// A pipe has an error when nobody will read it.
	poll := []unix.PollFd{{Fd: int32(fd)}}
	if _, err := unix.Poll(poll, 0); err == nil {
		switch {
		case poll[0].Revents&unix.POLLNVAL != 0:
			return unix.EBADF
		case poll[0].Revents&unix.POLLERR != 0:
			return unix.EPIPE
		}
	}
	var info unix.Stat_t
	if err := unix.Fstat(fd, &info); err != nil {
		return err
	}
	switch info.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		if isClosed(fd, &info) {
			return errClosedOutput
		}
		_, err := unix.Write(fd, nil) // /dev/full says at once that it is
		return err
	case unix.S_IFREG:
		var system unix.Statfs_t
		if err := unix.Fstatfs(fd, &system); err == nil && system.Blocks > 0 && system.Bavail == 0 {
			return unix.ENOSPC
		}
	}
	return nil
}

// isClosed tells whether this was closed when the process was started: the Go runtime then
// opens /dev/null in its place, for reading and writing.
func isClosed(fd int, info *unix.Stat_t) bool {
	var null unix.Stat_t
	if unix.Stat(os.DevNull, &null) != nil || info.Rdev != null.Rdev {
		return false
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	return err == nil && flags&unix.O_ACCMODE == unix.O_RDWR
}
