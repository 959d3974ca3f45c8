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

// skip drops up to that many bytes that have arrived at such a socket, without copying them.
func skip(fd, most int) (n int, errno syscall.Errno) {
	var nowhere byte
	r, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&nowhere)), uintptr(most), unix.MSG_TRUNC, 0, 0)
	return int(r), errno
}
