package control

import (
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// patience is how long a test waits for what must happen.
const patience = 2 * time.Minute

// socketPath is a short path in a fresh directory.
func socketPath(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	if len(path) > maxPath {
		t.Skipf("the path of the test's directory is too long for a socket: %s", path)
	}
	return path
}

// messages is a log and what it was told.
func messages() (*zap.Logger, *observer.ObservedLogs) {
	core, observed := observer.New(zapcore.InfoLevel)
	return zap.New(core), observed
}

// lines renders messages as "level message", each of which must name the path.
func lines(t testing.TB, observed *observer.ObservedLogs, path string) (all []string) {
	t.Helper()
	for _, entry := range observed.All() {
		all = append(all, fmt.Sprintf("%s %s", entry.Level, entry.Message))
		if got := entry.ContextMap()["path"]; got != path {
			t.Errorf("%q: got path %v, want %s", entry.Message, got, path)
		}
	}
	return all
}

// open is Listen without a log; the socket is closed at the end of the test.
func open(t testing.TB, path string, commands Commands) *Socket {
	t.Helper()
	s, err := Listen(path, 0, commands, zap.NewNop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// serve opens a socket at a fresh path and serves it.
func serve(t testing.TB, commands Commands) (path string, s *Socket) {
	t.Helper()
	path = socketPath(t)
	s = open(t, path, commands)
	s.Serve()
	return path, s
}

// echo tells which command was run and with what.
func echo(name string) Command {
	return func(arguments string, reply io.Writer) { fmt.Fprintf(reply, "%s %q\n", name, arguments) }
}

func dial(t testing.TB, path string) *net.UnixConn {
	t.Helper()
	client, err := connect(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	client.SetDeadline(time.Now().Add(patience))
	return client
}

// connect waits for a place in the backlog, which a descriptor of Go's does not by itself.
func connect(path string) (client *net.UnixConn, err error) {
	for began := time.Now(); time.Since(began) < patience; runtime.Gosched() {
		client, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
		if !errors.Is(err, syscall.EAGAIN) {
			break
		}
	}
	return client, err
}

// exchange sends the input in these packets, ends the stream, and returns all that comes
// until the node closes the connection.
func exchange(t testing.TB, path string, packets ...string) string {
	t.Helper()
	client := dial(t, path)
	for _, packet := range packets {
		send(t, client, packet)
	}
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	return rest(t, client)
}

func send(t testing.TB, client net.Conn, input string) {
	t.Helper()
	if _, err := io.WriteString(client, input); err != nil {
		t.Fatal(err)
	}
}

// receive returns the next reply, which must be as long as what is wanted.
func receive(t testing.TB, client net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(client, got); err != nil || string(got) != want {
		t.Fatalf("reply: got %q, %v, want %q", got[:n], err, want)
	}
}

// rest reads to the end of the stream.
func rest(t testing.TB, client net.Conn) string {
	t.Helper()
	reply, err := io.ReadAll(client)
	if err != nil {
		t.Errorf("reading to the end of stream: %v", err)
	}
	return string(reply)
}
