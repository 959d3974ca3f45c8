package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/internal/logging"
	"github.com/sociomantic-tsunami/dmqnode/internal/stats"
	"github.com/sociomantic-tsunami/dmqnode/internal/storage"
	"github.com/sociomantic-tsunami/dmqnode/internal/storage/overflow/overflowtest"
)

// patience bounds how long a test waits for what has to happen.
const patience = 20 * time.Second

// newSources returns figures of channels with rings of that size, without connections.
func newSources(ringSize uint64) *stats.Sources {
	return &stats.Sources{
		Legacy: new(stats.Legacy),
		Neo:    new(stats.Neo),
		Channels: storage.NewChannels(storage.Options{
			RingSize: func(string) uint64 { return ringSize },
			Overflow: func(string) (storage.Overflow, error) { return &overflowtest.Memory{}, nil },
		}),
		LegacyConnections: func() stats.Connections { return stats.Connections{Open: 3, Limit: 5000, Refused: 2} },
		NeoConnections:    func() stats.Connections { return stats.Connections{Open: 4} },
		Traffic:           func() (received, sent uint64) { return 1000, 2000 },
		Logged:            func() logging.Counts { return logging.Counts{Warn: 5} },
	}
}

func push(t testing.TB, sources *stats.Sources, channel string, payloads ...string) {
	t.Helper()
	c, err := sources.Channels.Open([]byte(channel))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Unlock()
	for _, p := range payloads {
		if err := c.Push([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
}

// listen starts a server that ends with the test.
func listen(t *testing.T, alive func(context.Context) error) *Server {
	t.Helper()
	s, err := Listen(Options{
		Address: netip.MustParseAddrPort("127.0.0.1:0"),
		Build:   Build{"v1.2.3", "go1"},
		Alive:   alive,
		Log:     zap.NewNop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func well(context.Context) error { return nil }

// get returns status and body of a page.
func get(t *testing.T, s *Server, path string) (int, string) {
	t.Helper()
	status, body, err := tryGet(s, path)
	if err != nil {
		t.Fatal(err)
	}
	return status, body
}

func tryGet(s *Server, path string) (int, string, error) {
	client := http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	reply, err := client.Get("http://" + s.address.String() + path)
	if err != nil {
		return 0, "", err
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	return reply.StatusCode, string(body), err
}

func TestPagesFromStartToStop(t *testing.T) {
	var ill atomic.Bool
	s := listen(t, func(context.Context) error {
		if ill.Load() {
			return errors.New("2 of 3 event loops do not answer")
		}
		return nil
	})
	check := func(when string, want map[string]int) {
		t.Helper()
		for path, status := range want {
			got, body := get(t, s, path)
			if got != status {
				t.Errorf("%s: GET %s: got status %d, want %d", when, path, got, status)
			}
			if got == 503 && !strings.Contains(body, "clients are not served") && !strings.Contains(body, "event loops") {
				t.Errorf("%s: GET %s: got %q, want the reason", when, path, body)
			}
		}
	}
	check("starting", map[string]int{"/healthz": 200, "/readyz": 503, "/metrics": 503, "/": 503, "/other": 404})
	s.Serve(newSources(1000))
	check("serving", map[string]int{"/healthz": 200, "/readyz": 200, "/metrics": 200, "/": 200, "/other": 404, "/metrics/": 404})
	ill.Store(true)
	check("ill", map[string]int{"/healthz": 503, "/readyz": 503, "/metrics": 200, "/": 200})
	s.Close()
	if _, _, err := tryGet(s, "/healthz"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("closed: got error %v, want %v", err, syscall.ECONNREFUSED)
	}
	if s.enter() {
		t.Error("closed: a late request is let in")
	}
}

func TestOnlyReading(t *testing.T) {
	s := listen(t, well)
	s.Serve(newSources(1000))
	for _, path := range []string{"/", "/metrics", "/healthz"} {
		reply, err := http.Post("http://"+s.address.String()+path, "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		reply.Body.Close()
		if reply.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: got status %d, want %d", path, reply.StatusCode, http.StatusMethodNotAllowed)
		}
	}
}

func TestPortInUse(t *testing.T) {
	s := listen(t, well)
	address := netip.MustParseAddrPort(s.address.String())
	_, err := Listen(Options{Address: address, Log: zap.NewNop()})
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(fmt.Sprint(err), "[Http] address, port: ") ||
		!strings.Contains(fmt.Sprint(err), address.String()) {
		t.Errorf("got error %v, want one that names the keys, the address and the reason", err)
	}
}

func TestNoServer(t *testing.T) {
	var s *Server
	s.Serve(nil)
	s.Close()
}

// A request that asks a node which does not answer ends with the server.
func TestCloseWaitsForNobody(t *testing.T) {
	asked := make(chan struct{})
	s := listen(t, func(ctx context.Context) error {
		close(asked)
		<-ctx.Done()
		return ctx.Err()
	})
	answered := make(chan struct{})
	go func() {
		tryGet(s, "/healthz")
		close(answered)
	}()
	<-asked
	s.Close()
	<-answered
}

// Connections beyond the limit wait until others end.
func TestConnectionsWaitForAPlace(t *testing.T) {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := limit(socket, 1)
	accepted := make(chan net.Conn)
	ended := make(chan error, 1)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			accepted <- conn
		}
	}()
	for range 3 {
		client, err := net.Dial("tcp", socket.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
	}
	first := <-accepted
	for range 3 {
		if n := len(l.places); n != 1 {
			t.Fatalf("%d places taken, want 1", n)
		}
		select {
		case <-accepted:
			t.Fatal("a second connection is accepted")
		case <-time.After(10 * time.Millisecond):
		}
	}
	first.Close()
	first.Close() // gives its place once
	second := <-accepted
	l.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got error %v while waiting for a place, want %v", err, net.ErrClosed)
	}
	second.Close()
}

// A peer that sends too much, or nothing for long, is sent away; see the limits.
func TestHugeHeader(t *testing.T) {
	s := listen(t, well)
	conn, err := net.Dial("tcp", s.address.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", 2*maxHeader))
	reply, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer reply.Body.Close()
	if reply.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got status %d, want %d", reply.StatusCode, http.StatusRequestHeaderFieldsTooLarge)
	}
	for name, limit := range map[string]time.Duration{
		"header": s.http.ReadHeaderTimeout, "read": s.http.ReadTimeout, "write": s.http.WriteTimeout, "idle": s.http.IdleTimeout,
	} {
		if limit <= 0 {
			t.Errorf("there is no %s time-out", name)
		}
	}
}
