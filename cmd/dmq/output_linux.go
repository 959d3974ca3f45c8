package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// checkDescriptor finds out whether a file can be written to, without doing so.
func checkDescriptor(file *os.File) error {
	fd := int(file.Fd())
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

// isPipe tells whether what is written waits until somebody reads it.
func isPipe(file *os.File) bool {
	var info unix.Stat_t
	return unix.Fstat(int(file.Fd()), &info) == nil && info.Mode&unix.S_IFMT == unix.S_IFIFO
}

// unread is how many bytes are in a pipe. The error is that nobody will read them.
func unread(file *os.File) (int, error) {
	left, err := unix.IoctlGetInt(int(file.Fd()), unix.TIOCINQ)
	if left > 0 && err == nil {
		err = checkDescriptor(file)
	}
	return left, err
}
