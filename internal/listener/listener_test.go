package listener

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"
)

// service is a listener whose connections get one byte, the index of their loop.
type service struct {
	*Listener
	t     *testing.T
	group *Group
	logs  *observer.ObservedLogs

	mu   sync.Mutex
	open []connection
}

type connection struct {
	loop *Loop
	fd   int
}

func listen(t *testing.T, g *Group, limit uint32) *service {
	t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	l, err := Listen(Options{Name: "legacy", Address: netip.MustParseAddrPort("127.0.0.1:0"), Backlog: 2048, Limit: limit}, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	s := &service{Listener: l, t: t, group: g, logs: logs}
	t.Cleanup(func() {
		s.onFirst(l.Close)
		for s.closeOne(func(connection) bool { return true }) {
		}
	})
	return s
}

func (s *service) serve() {
	s.t.Helper()
	s.onFirst(func() {
		err := s.Serve(s.group, func(l *Loop, fd int) {
			s.mu.Lock()
			s.open = append(s.open, connection{l, fd})
			s.mu.Unlock()
			unix.Write(fd, []byte{byte('0' + l.Index())})
		})
		if err != nil {
			s.t.Error(err)
		}
	})
}

func (s *service) onFirst(f func()) {
	s.group.Do(func(l *Loop) {
		if l.Index() == 0 {
			f()
		}
	})
}

// closeOne closes a connection, the way its owner does, if there is one of that kind.
func (s *service) closeOne(kind func(connection) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.open, kind)
	if i < 0 {
		return false
	}
	c := s.open[i]
	s.open = slices.Delete(s.open, i, i+1)
	s.group.Do(func(l *Loop) {
		if l == c.loop {
			s.Closed(l, c.fd)
			unix.Close(c.fd)
		}
	})
	return true
}

func (s *service) connect() net.Conn {
	s.t.Helper()
	c, err := net.DialTimeout("tcp4", s.Addr().String(), patience)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// greeting returns what a connection gets: the index of its loop, or "" if it is closed
// at once.
func greeting(t *testing.T, c net.Conn) string {
	t.Helper()
	var b [1]byte
	n, err := c.Read(b[:])
	if err != nil && err != io.EOF && !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestListenerOnPort0(t *testing.T) {
	s := listen(t, startGroup(t, 1), 0)
	if s.Addr().Port() == 0 || s.Addr().Addr().String() != "127.0.0.1" {
		t.Errorf("address %s, want 127.0.0.1 and a real port", s.Addr())
	}
	early := s.connect() // waits in the backlog
	s.serve()
	for _, c := range []net.Conn{early, s.connect()} {
		if got := greeting(t, c); got != "0" {
			t.Errorf("received %q, want to be served by loop 0", got)
		}
	}
}

func TestAddressInUse(t *testing.T) {
	s := listen(t, startGroup(t, 1), 0)
	l, err := Listen(Options{Name: "neo", Address: s.Addr(), Backlog: 1}, zap.NewNop())
	if err == nil {
		l.Close()
		t.Fatal("a second listener on the same port")
	}
	if want := fmt.Sprintf("neo listener on %s: bind: address already in use", s.Addr()); err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}

func TestAddressOfAnotherMachine(t *testing.T) {
	address := netip.MustParseAddrPort("192.0.2.1:10000") // reserved for documentation
	if l, err := Listen(Options{Name: "legacy", Address: address}, zap.NewNop()); err == nil {
		l.Close()
		t.Error("listens on an address that is not ours")
	} else if want := "legacy listener on 192.0.2.1:10000: bind: cannot assign requested address"; err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}

// legacy protocol spec §1.2, operations spec §10.
func TestOptionsOfAcceptedSockets(t *testing.T) {
	s := listen(t, startGroup(t, 1), 0)
	s.serve()
	greeting(t, s.connect())
	s.mu.Lock()
	fd := s.open[0].fd
	s.mu.Unlock()
	for _, test := range []struct {
		option            string
		fd                int
		level, name, want int
	}{
		{"SO_REUSEADDR of the listener", s.Listener.fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1},
		{"SO_KEEPALIVE", fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{"TCP_KEEPIDLE", fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 5},
		{"TCP_KEEPCNT", fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
		{"TCP_KEEPINTVL", fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 3},
		{"TCP_NODELAY", fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
	} {
		if got, err := unix.GetsockoptInt(test.fd, test.level, test.name); err != nil || got != test.want {
			t.Errorf("%s: %d, %v, want %d", test.option, got, err, test.want)
		}
	}
	for _, fd := range []int{fd, s.Listener.fd} {
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK == 0 {
			t.Errorf("flags %#x, %v, want non-blocking", flags, err)
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("flags %#x, %v, want close-on-exec", flags, err)
		}
	}
}

// legacy protocol spec §1.3: over the limit a connection is accepted and closed without
// a byte; a slot is free as soon as a connection is closed.
func TestConnectionLimit(t *testing.T) {
	s := listen(t, startGroup(t, 2), 3)
	s.serve()
	for i := range 3 {
		if got := greeting(t, s.connect()); got == "" {
			t.Fatalf("connection %d of 3 is closed", i+1)
		}
	}
	for range 5 {
		if got := greeting(t, s.connect()); got != "" {
			t.Errorf("one connection too many is served by loop %s", got)
		}
	}
	s.onFirst(func() {}) // the client sees the end a moment before it is counted
	if s.Connections() != 3 || s.Refused(Crowded) != 5 {
		t.Errorf("%d connections, %d refused, want 3, 5", s.Connections(), s.Refused(Crowded))
	}
	s.closeOne(func(connection) bool { return true })
	if got := greeting(t, s.connect()); got == "" {
		t.Error("a connection is closed although one of 3 is gone")
	}
	if got := greeting(t, s.connect()); got != "" {
		t.Error("one connection too many is served")
	}
	s.onFirst(func() {})
	if s.Connections() != 3 || s.Refused(Crowded) != 6 {
		t.Errorf("%d connections, %d refused, want 3, 6", s.Connections(), s.Refused(Crowded))
	}
	entries := s.logs.All()
	if len(entries) != 1 || entries[0].Level != zapcore.WarnLevel || !strings.Contains(entries[0].Message, "the connection limit is reached") {
		t.Errorf("logged %v, want one warning", entries)
	}
}

func TestNoConnectionLimit(t *testing.T) {
	s := listen(t, startGroup(t, 1), 0)
	var waiting []net.Conn
	for range 3*acceptsPerRound + 1 { // more than one round accepts
		waiting = append(waiting, s.connect())
	}
	s.serve()
	for i, c := range waiting {
		if got := greeting(t, c); got != "0" {
			t.Fatalf("connection %d: received %q, want to be served", i, got)
		}
	}
	if s.Connections() != int64(len(waiting)) || s.Refused(Crowded) != 0 {
		t.Errorf("%d connections, %d refused, want %d, 0", s.Connections(), s.Refused(Crowded), len(waiting))
	}
}

func TestConnectionsGoToTheLeastLoadedLoop(t *testing.T) {
	s := listen(t, startGroup(t, 3), 0)
	s.serve()
	connect := func(count int) string {
		var got []string
		for range count {
			got = append(got, greeting(t, s.connect()))
		}
		slices.Sort(got)
		return strings.Join(got, "")
	}
	if got := connect(6); got != "001122" {
		t.Errorf("6 connections are served by loops %s, want 001122", got)
	}
	for range 2 {
		s.closeOne(func(c connection) bool { return c.loop.Index() == 1 })
	}
	if got := connect(2); got != "11" {
		t.Errorf("after loop 1 has lost its connections: %s, want 11", got)
	}
	if got := connect(3); got != "012" {
		t.Errorf("then: %s, want 012", got)
	}
	for range 5 {
		s.closeOne(func(c connection) bool { return c.loop.Index() != 2 })
	}
	if s.Connections() != 4 {
		t.Errorf("%d connections, want the 4 that are left", s.Connections())
	}
}

// A connection is taken over by the loop that is to serve it, not by the one that accepts.
func TestAcceptedRunsOnTheServingLoop(t *testing.T) {
	s := listen(t, startGroup(t, 2), 0)
	s.serve()
	release := make(chan struct{})
	s.group.loops[1].Post(TaskFunc(func() { <-release }))
	if got := greeting(t, s.connect()); got != "0" {
		t.Errorf("the first connection is served by loop %s, want 0", got)
	}
	c := s.connect()
	for deadline := time.Now().Add(patience); s.Connections() < 2; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the second connection is not accepted")
		}
	}
	round := make(chan struct{})
	s.group.loops[0].Post(TaskFunc(func() { close(round) }))
	wait(t, "loop 0", round)
	s.mu.Lock()
	if len(s.open) != 1 {
		t.Errorf("%d connections are taken over while loop 1 is busy, want that of loop 0", len(s.open))
	}
	s.mu.Unlock()
	close(release)
	if got := greeting(t, c); got != "1" {
		t.Errorf("the second connection is served by loop %s, want 1", got)
	}
}

// Close ends listening; connections stay.
func TestListenerClose(t *testing.T) {
	s := listen(t, startGroup(t, 1), 0)
	s.serve()
	c := s.connect()
	greeting(t, c)
	address := s.Addr().String()
	s.onFirst(s.Close)
	s.onFirst(s.Close)
	if late, err := net.Dial("tcp4", address); err == nil {
		late.Close()
		t.Error("connected to a closed listener")
	}
	s.mu.Lock()
	unix.Write(s.open[0].fd, []byte("x"))
	s.mu.Unlock()
	if got := greeting(t, c); got != "x" {
		t.Errorf("received %q on the old connection, want x", got)
	}
	again, err := Listen(Options{Name: "legacy", Address: netip.MustParseAddrPort(address), Backlog: 1}, zap.NewNop())
	if err != nil {
		t.Fatalf("the port is not free: %v", err)
	}
	again.Close()
}

// operations spec §10: out of descriptors the node does not spin but logs, waits and
// recovers; existing connections go on. It runs in a process of its own because the
// limit is one of the process.
func TestOutOfDescriptors(t *testing.T) {
	if inParent(t) {
		return
	}
	s := listen(t, startGroup(t, 2), 0)
	s.serve()
	old := s.connect()
	greeting(t, old)
	var clients [3]int
	for i := range clients {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		clients[i] = fd
	}
	address := &unix.SockaddrInet4{Addr: s.Addr().Addr().As4(), Port: int(s.Addr().Port())}

	allow := exhaustDescriptors(t)
	for _, fd := range clients[:2] {
		if err := connect(fd, address); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(patience); s.logs.Len() == 0; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("nothing is logged")
		}
	}
	paused := func() (yes bool) {
		s.onFirst(func() { yes = s.group.loops[0].slots[s.Listener.fd].handler == nil })
		return yes
	}
	if !paused() {
		t.Error("the listener is still watched after the failure")
	}
	s.onFirst(func() { unix.Write(s.open[0].fd, []byte("x")) })
	if got := greeting(t, old); got != "x" {
		t.Errorf("received %q on the old connection, want x", got)
	}
	begin := time.Now()
	again := make(chan struct{}) // after further failures
	s.onFirst(func() { s.group.loops[0].After(3*acceptPause, TaskFunc(func() { close(again) })) })
	wait(t, "some more attempts", again)
	if s.Connections() != 1 {
		t.Errorf("%d connections %v after the failure, want 1", s.Connections(), time.Since(begin))
	}
	if entries := s.logs.All(); len(entries) != 1 || entries[0].Level != zapcore.ErrorLevel ||
		entries[0].ContextMap()["error"] != "too many open files" {
		t.Errorf("logged %v, want one error that says why", entries)
	}
	allow()
	for i, fd := range clients[:2] {
		if got := read(t, fd); got != "0" && got != "1" {
			t.Errorf("client %d: received %q, want to be served when descriptors are free", i, got)
		}
	}
	if err := connect(clients[2], address); err != nil {
		t.Fatal(err)
	}
	read(t, clients[2])
	if s.Connections() != 4 || paused() {
		t.Errorf("%d connections, paused %v, want 4, and to be watched again", s.Connections(), paused())
	}

	// Close during a pause, and the pause ends after it.
	late, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	allow = exhaustDescriptors(t)
	if err := connect(late, address); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); !paused(); {
		if time.Now().After(deadline) {
			t.Fatal("the listener does not pause")
		}
	}
	closed := make(chan struct{})
	s.onFirst(func() {
		s.Close()
		s.group.loops[0].After(2*acceptPause, TaskFunc(func() { close(closed) }))
	})
	wait(t, "the end of the pause", closed)
	allow()
	if got := s.logs.Len(); got != 1 {
		t.Errorf("%d messages, want no other", got)
	}
}

// inParent runs the test again in a process of its own and reports true; in that process
// it reports false.
func inParent(t *testing.T) bool {
	t.Helper()
	const child = "LISTENER_TEST_CHILD"
	if os.Getenv(child) != "" {
		return false
	}
	command := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	command.Env = append(os.Environ(), child+"=1")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return true
}

// exhaustDescriptors makes the process have no free descriptor until allow is called.
func exhaustDescriptors(t *testing.T) (allow func()) {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	lowest, err := unix.Dup(1)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(lowest)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: uint64(lowest), Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
	}
}

// read reads one byte from a socket that blocks.
func read(t *testing.T, fd int) string {
	t.Helper()
	limit := unix.NsecToTimeval(patience.Nanoseconds())
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit)
	var b [1]byte
	n, err := unix.Read(fd, b[:])
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

// connect goes on after a signal, such as the scheduler sends.
func connect(fd int, address unix.Sockaddr) error {
	for {
		err := unix.Connect(fd, address)
		if err == unix.EISCONN {
			return nil
		}
		if err != unix.EINTR && err != unix.EALREADY {
			return err
		}
	}
}
