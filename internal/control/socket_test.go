package control

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"
)

func TestClientsWaitForServe(t *testing.T) {
	path := socketPath(t)
	s := open(t, path, ab)
	client := dial(t, path)
	send(t, client, "a\n")
	s.Serve()
	receive(t, client, "a \"\"\n")
}

func TestCloseEndsClients(t *testing.T) {
	path, s := serve(t, ab)
	idle, half, busy := dial(t, path), dial(t, path), dial(t, path)
	for _, client := range []net.Conn{idle, half, busy} {
		send(t, client, "a\n")
		receive(t, client, "a \"\"\n") // it is being served
	}
	send(t, half, "unterminated")

	s.Close()
	for _, client := range []net.Conn{idle, busy} {
		if got := rest(t, client); got != "" {
			t.Errorf("after Close: got %q, want end of stream", got)
		}
	}
	// What it sent may not have been read, which makes it a reset.
	if got, err := io.ReadAll(half); len(got) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after Close: got %q, %v, want the end of the connection", got, err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Close: the socket file: got %v, want %v", err, os.ErrNotExist)
	}
	if _, err := net.Dial("unix", path); err == nil {
		t.Error("after Close: a client could connect")
	}
	s.Close()
	open(t, path, ab)
}

func TestCloseWithoutServe(t *testing.T) {
	path := socketPath(t)
	log, observed := messages()
	s, err := Listen(path, 0, ab, log)
	if err != nil {
		t.Fatal(err)
	}
	client := dial(t, path)
	s.Close()
	if got, _ := io.ReadAll(client); len(got) > 0 { // ends with a reset
		t.Errorf("waiting client: got %q, want nothing", got)
	}
	if got, want := lines(t, observed, path), []string{"info socket file deleted"}; !slices.Equal(got, want) {
		t.Errorf("log: got %q, want %q", got, want)
	}
}

func TestCloseDeletesOnlyItsOwnFile(t *testing.T) {
	for _, test := range []struct {
		name    string
		replace func(path string) error
		reason  string
	}{
		{"nothing there", func(string) error { return nil }, "no such file"},
		{"another file there", func(path string) error { return os.WriteFile(path, nil, 0o600) }, "replaced"},
		{"another socket there", func(path string) error {
			s, err := Listen(path, 0, ab, zap.NewNop())
			if err == nil {
				s.Serve()
				t.Cleanup(s.Close)
			}
			return err
		}, "replaced"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := socketPath(t)
			log, observed := messages()
			s, err := Listen(path, 0, ab, log)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.Remove(path), test.replace(path)); err != nil {
				t.Fatal(err)
			}
			before, _ := os.Lstat(path)
			s.Close()
			after, _ := os.Lstat(path)
			if before != nil && (after == nil || !os.SameFile(before, after)) {
				t.Error("Close deleted a file that it did not create")
			}
			if got, want := lines(t, observed, path), []string{"error socket file could not be deleted"}; !slices.Equal(got, want) {
				t.Fatalf("log: got %q, want %q", got, want)
			}
			if got := fmt.Sprint(observed.All()[0].ContextMap()["error"]); !strings.Contains(got, test.reason) {
				t.Errorf("logged reason: got %q, want it to contain %q", got, test.reason)
			}
		})
	}
}

func TestCloseWaitsForACommandThatEnds(t *testing.T) {
	began, proceed := make(chan struct{}), make(chan struct{})
	var ended atomic.Bool
	path, s := serve(t, Commands{"slow": func(string, io.Writer) {
		close(began)
		<-proceed
		ended.Store(true)
	}})
	client := dial(t, path)
	send(t, client, "slow\n")
	<-began
	go func() {
		io.Copy(io.Discard, client) // until Close ends the connection
		close(proceed)
	}()
	s.Close()
	if !ended.Load() {
		t.Error("Close returned before the command did")
	}
}

func TestCloseDoesNotWaitForACommandThatHangs(t *testing.T) {
	began, proceed := make(chan struct{}), make(chan struct{})
	defer close(proceed)
	path := socketPath(t)
	log, observed := messages()
	s, err := Listen(path, 0, Commands{"hang": func(string, io.Writer) {
		close(began)
		<-proceed
	}}, log)
	if err != nil {
		t.Fatal(err)
	}
	s.Serve()
	send(t, dial(t, path), "hang\n")
	<-began
	s.Close()
	if got, want := observed.FilterMessage("a control command does not end, going on without it").Len(), 1; got != want {
		t.Errorf("log: got %d messages about the command, want %d: %q", got, want, lines(t, observed, path))
	}
}

func TestClientAcceptedDuringClose(t *testing.T) {
	_, s := serve(t, ab)
	s.Close()
	client, accepted := net.Pipe()
	client.SetDeadline(time.Now().Add(patience))
	go s.serve(accepted)
	if got := rest(t, client); got != "" {
		t.Errorf("got %q, want end of stream", got)
	}
}

func TestManyClients(t *testing.T) {
	path, _ := serve(t, ab)
	const clients, commands = 50, 40
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			client, err := connect(path)
			if err != nil {
				t.Error(err)
				return
			}
			defer client.Close()
			client.SetDeadline(time.Now().Add(patience))
			var input, want bytes.Buffer
			for i := range commands {
				fmt.Fprintf(&input, "a %d/%d\n\nnone\n", c, i)
				fmt.Fprintf(&want, "a \"%d/%d\"\nCommand not found\n", c, i)
			}
			client.Write(input.Bytes())
			client.CloseWrite()
			if got, err := io.ReadAll(client); err != nil || !bytes.Equal(got, want.Bytes()) {
				t.Errorf("client %d: got %q, %v, want %q", c, got, err, want.Bytes())
			}
		})
	}
	all.Wait()
}

func TestCloseAmongManyClients(t *testing.T) {
	path, s := serve(t, ab)
	var all sync.WaitGroup
	served := make(chan struct{}, 1000)
	for range 20 {
		all.Go(func() {
			for {
				client, err := connect(path)
				if err != nil {
					return // closed
				}
				io.WriteString(client, "a\n")
				reply := make([]byte, 100)
				client.SetDeadline(time.Now().Add(patience))
				_, err = client.Read(reply)
				client.Close()
				if errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error("a client was neither answered nor closed")
				}
				select {
				case served <- struct{}{}:
				default:
				}
			}
		})
	}
	for range 100 {
		<-served
	}
	s.Close()
	all.Wait()
	if got := len(s.clients); got != 0 {
		t.Errorf("after Close: got %d clients, want none", got)
	}
}

func TestEndlessLineEndsTheConnection(t *testing.T) {
	path, _ := serve(t, ab)
	client := dial(t, path)
	chunk := bytes.Repeat([]byte("x"), 4096)
	sent := 0
	var err error
	for err == nil && sent < 64<<20 {
		var n int
		n, err = client.Write(chunk)
		sent += n
	}
	if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after %d bytes without LF: got %v, want the connection closed", sent, err)
	}
	if got, want := exchange(t, path, "a\n"), "a \"\"\n"; got != want {
		t.Errorf("another client: got %q, want %q", got, want)
	}
}

func TestClientThatDoesNotRead(t *testing.T) {
	path, s := serve(t, ab)
	client := dial(t, path)
	input := []byte(strings.Repeat("a 0123456789\n", 1000))
	sent := 0
	for {
		client.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		n, err := client.Write(input)
		sent += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break // the node has stopped reading
		}
		if err != nil || sent > 64<<20 {
			t.Fatalf("after %d bytes of commands: got %v, want the node to stop reading", sent, err)
		}
	}
	if got, want := exchange(t, path, "a\n"), "a \"\"\n"; got != want {
		t.Errorf("another client: got %q, want %q", got, want)
	}
	s.Close() // does not hang
}

func TestClientThatLeavesBeforeTheReply(t *testing.T) {
	path, _ := serve(t, ab)
	for range 100 {
		client := dial(t, path)
		send(t, client, strings.Repeat("a\n", 100))
		client.Close()
	}
	if got, want := exchange(t, path, "a\n"), "a \"\"\n"; got != want {
		t.Errorf("another client: got %q, want %q", got, want)
	}
}

func TestPanicEndsOnlyTheCommand(t *testing.T) {
	path := socketPath(t)
	log, observed := messages()
	s, err := Listen(path, 0, Commands{
		"boom": func(_ string, reply io.Writer) {
			io.WriteString(reply, "half a reply")
			panic("no reason")
		},
		"a": echo("a"),
	}, log)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Serve()
	const input, want = "a 1\nboom\na 2\n", "a \"1\"\nError: the command failed, the log says why\na \"2\"\n"
	if got := exchange(t, path, input); got != want {
		t.Errorf("%q: got %q, want %q", input, got, want)
	}
	failures := observed.FilterMessage("a control command failed").All()
	if len(failures) != 1 {
		t.Fatalf("got %d messages about the panic, want 1", len(failures))
	}
	fields := failures[0].ContextMap()
	if fields["command"] != "boom" || fields["panic"] != "no reason" || !strings.Contains(fmt.Sprint(fields["stack"]), "socket_test.go") {
		t.Errorf("message about the panic: got %v, want command, reason and stack", fields)
	}
}

// exhausted is a listener of a process without descriptors to spare.
type exhausted struct {
	net.Listener
	failures int // that are to come
}

func (e *exhausted) Accept() (net.Conn, error) {
	if e.failures > 0 {
		e.failures--
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return e.Listener.Accept()
}

func TestFailedAcceptsAreTriedAgain(t *testing.T) {
	path := socketPath(t)
	log, observed := messages()
	s, err := Listen(path, 0, ab, log)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.listener = &exhausted{s.listener, 2}
	began := time.Now()
	s.Serve()
	if got, want := exchange(t, path, "a\n"), "a \"\"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := time.Since(began), 2*acceptPause; got < want {
		t.Errorf("got a client after %v, want pauses of %v", got, want)
	}
	if got := observed.FilterMessage("cannot accept control clients, trying again").Len(); got != 1 {
		t.Errorf("got %d messages, want 1", got)
	}
}

func TestCloseDuringThePauseOfFailedAccepts(t *testing.T) {
	path := socketPath(t)
	log, observed := messages()
	s, err := Listen(path, 0, ab, log)
	if err != nil {
		t.Fatal(err)
	}
	s.listener = &exhausted{s.listener, 1}
	s.Serve()
	s.Close()
	if got := observed.FilterLevelExact(zap.ErrorLevel).FilterMessageSnippet("does not end").Len(); got != 0 {
		t.Error("Close gave up waiting for the accepting goroutine")
	}
}
