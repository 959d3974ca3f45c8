package listener

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// poll collects events that are there already. It cannot block, so it goes around the
// scheduler's bookkeeping for system calls.
func (l *Loop) poll() (int, error) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(l.epoll),
		uintptr(unsafe.Pointer(&l.events[0])), uintptr(len(l.events)), 0, 0, 0)
	if errno != 0 && errno != syscall.EINTR {
		return 0, errno
	}
	if errno != 0 {
		return 0, nil
	}
	return int(n), nil
}
