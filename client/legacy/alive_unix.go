//go:build unix

package legacy

import (
	"net"
	"syscall"
)

// alive reports whether an idle connection can be used again: the node has neither closed
// it nor sent anything, which it never does without a request.
func alive(nc net.Conn) bool {
	raw, err := nc.(syscall.Conn).SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, err := syscall.Read(int(fd), b[:])
		quiet = err == syscall.EAGAIN
		return true
	})
	return err == nil && quiet
}
