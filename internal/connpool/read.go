package connpool

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// read reads from a socket that never blocks; the call goes around the scheduler's
// bookkeeping. b must not be empty.
func read(fd int, b []byte) (n int, errno syscall.Errno) {
	r, _, errno := syscall.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(r), errno
}
