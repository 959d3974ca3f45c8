package service

import (
	"fmt"
	"net/netip"
	"os"
	"sync"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// Sockets are the listening sockets that the manager has handed over (LISTEN_FDS). They stay
// open in the manager when the process ends, so clients that connect meanwhile wait for the next
// one.
type Sockets struct{ files []*os.File }

// Inherited returns them; the first call takes them from the environment of the process.
var Inherited = sync.OnceValue(func() *Sockets { return &Sockets{activation.Files(true)} })

// Take returns a descriptor of the socket that has that name (FileDescriptorName=) or that port,
// and its address. The descriptor is the caller's. It is -1 if there is no such socket.
func (s *Sockets) Take(name string, port uint16) (fd int, bound netip.AddrPort, err error) {
	for i, file := range s.files {
		address, err := boundTo(file)
		if err != nil {
			return -1, address, err
		}
		if file.Name() != name && address.Port() != port {
			continue
		}
		s.files = append(s.files[:i:i], s.files[i+1:]...)
		fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		file.Close()
		if err != nil {
			return -1, address, fmt.Errorf("socket of the service manager for port %d: %w", address.Port(), err)
		}
		return fd, address, nil
	}
	return -1, netip.AddrPort{}, nil
}

// Rest is an error if sockets are left that nobody has taken: their clients would wait for ever.
func (s *Sockets) Rest() error {
	if len(s.files) == 0 {
		return nil
	}
	address, err := boundTo(s.files[0])
	if err != nil {
		return err
	}
	return fmt.Errorf("the service manager hands over a socket for port %d, which is neither [Server] port nor neoport, or its protocol is not enabled: correct ListenStream= of its socket unit", address.Port())
}

// Close closes those that nobody has taken.
func (s *Sockets) Close() {
	for _, file := range s.files {
		file.Close()
	}
	s.files = nil
}

// boundTo is the address of a socket of the kind that serves clients.
func boundTo(file *os.File) (netip.AddrPort, error) {
	fd := int(file.Fd())
	listening, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("descriptor %d of the service manager is not a socket: %w", fd, err)
	}
	address, err := unix.Getsockname(fd)
	in4, ok := address.(*unix.SockaddrInet4)
	if err != nil || !ok || listening == 0 {
		return netip.AddrPort{}, fmt.Errorf("socket %q of the service manager is not a listening IPv4 socket: write ListenStream=0.0.0.0:PORT in its socket unit", file.Name())
	}
	return netip.AddrPortFrom(netip.AddrFrom4(in4.Addr), uint16(in4.Port)), nil
}
