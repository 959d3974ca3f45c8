//go:build unix

package legacy

import (
	"net"
	"syscall"
)

// alive reports whether an idle connection can be used again: the node has neither closed
// it nor sent anything, which it never does without a request. A deadline that has passed
// does not matter.
func alive(nc net.Conn) bool {
	raw, err := nc.(syscall.Conn).SyscallConn()
	if err != nil {
		return false
	}
	quiet := false
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		_, err := syscall.Read(int(fd), b[:]) // does not wait: sockets of package net don't
		quiet = err == syscall.EAGAIN
	})
	return err == nil && quiet
}
