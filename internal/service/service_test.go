package service

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// listening makes a listening socket and its file of that name.
func listening(t *testing.T, network, name string) (*os.File, netip.AddrPort) {
	t.Helper()
	l, err := net.Listen(network, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fd, err := unix.Dup(int(file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), name), netip.MustParseAddrPort(l.Addr().String())
}

func TestSocketsAreTakenByNameOrPort(t *testing.T) {
	named, namedAt := listening(t, "tcp4", "neo")
	other, otherAt := listening(t, "tcp4", "dmq@1.socket")
	s := &Sockets{[]*os.File{named, other}}
	defer s.Close()
	for _, test := range []struct {
		name string
		port uint16
		want netip.AddrPort
	}{
		{"legacy", 0, netip.AddrPort{}},
		{"legacy", otherAt.Port(), otherAt},
		{"legacy", otherAt.Port(), netip.AddrPort{}}, // is taken
		{"neo", 0, namedAt},
	} {
		if err := s.Rest(); err == nil {
			t.Error("sockets are left: got no error")
		}
		fd, bound, err := s.Take(test.name, test.port)
		if err != nil || bound != test.want || (fd >= 0) != test.want.IsValid() {
			t.Errorf("%s, port %d: got descriptor %d, %v, error %v, want %v", test.name, test.port, fd, bound, err, test.want)
		}
		if fd >= 0 {
			unix.Close(fd)
		}
	}
	if err := s.Rest(); err != nil {
		t.Errorf("all are taken: got error %v", err)
	}
}

func TestOnlyListeningSocketsForIPv4(t *testing.T) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	for want, file := range map[string]*os.File{
		"is not a socket":                  file,
		"is not a listening IPv4 socket: ": os.NewFile(uintptr(fd), "legacy"),
	} {
		s := &Sockets{[]*os.File{file}}
		if _, _, err := s.Take("legacy", 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want %q in it", err, want)
		}
		s.Close()
	}
}
