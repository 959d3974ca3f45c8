package vectors

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

const none = 250 * time.Millisecond

// serve runs a stand-in for a node on one connection and returns its address.
func serve(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
	return listener.Addr().String()
}

// answer returns a handler that reads one byte, writes the answer, then waits for the
// client to close.
func answer(text string) func(net.Conn) {
	return func(conn net.Conn) {
		io.ReadFull(conn, make([]byte, 1))
		io.WriteString(conn, text)
		io.Copy(io.Discard, conn)
	}
}

// hangUp is like answer but closes the connection at once.
func hangUp(text string) func(net.Conn) {
	return func(conn net.Conn) {
		io.ReadFull(conn, make([]byte, 1))
		io.WriteString(conn, text)
	}
}

func TestRunAccepts(t *testing.T) {
	tests := []struct {
		name, steps string
		node        func(net.Conn)
	}{
		{"exact answer", "1> 00\n1< 6162", answer("ab")},
		{"silence", "1> 00\n1<NONE", answer("")},
		{"answer and end", "1> 00\n1< 6162\n1<EOF", hangUp("ab")},
		{"end after FIN", "1> 00\n1>FIN\n1< 61\n1<EOF", answer("a")},
		{"several connections", "1> 00\n2> 00\n2< 61\n1< 61\n1>CLOSE\n2>CLOSE", answer("a")},
		{"node that ends before it has all bytes", "1> 00*100000\n1> 00*100000\n1> 00*100000\n1<EOF", hangUp("")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if err := Run(parseOne(t, "V01 a\n"+test.steps), serve(t, test.node), none); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRunReports(t *testing.T) {
	tests := []struct {
		name, steps string
		node        func(net.Conn)
		want        string
	}{
		{"wrong byte", "1> 00\n1< 6162", answer("ac"), "line 3: 1< 6162: got 6163, want 6162, different from byte 1 on"},
		{"cut answer", "1> 00\n1< 6162", hangUp("a"), "got 61, want 6162"},
		{"no answer", "1> 00\n1< 6162", hangUp(""), "got , want 6162"},
		{"bytes instead of silence", "1> 00\n1<NONE", answer("a"), "line 3: 1<NONE: got 61, want nothing"},
		{"end instead of silence", "1> 00\n1<NONE", hangUp(""), "want an open connection"},
		{"bytes instead of the end", "1> 00\n1<EOF", hangUp("a"), "got 61, want the end"},
		{"unread bytes at the end", "1> 00\n1< 61", answer("ab"), "at the end: connection 1: got 62, want nothing"},
		{"bytes after CLOSE", "1> 00\n1>CLOSE", answer("a"), "line 3: 1>CLOSE: got 61, want the end"},
		{"closed at the end", "1> 00\n1< 61", hangUp("a"), "at the end: connection 1: want an open connection"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := Run(parseOne(t, "V01 a\n"+test.steps), serve(t, test.node), none)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}
