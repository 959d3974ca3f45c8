package web

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/admin"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/logging"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/storagetest"
)

// patience bounds how long a test waits for what has to happen.
const patience = 2 * time.Minute

// newSources returns figures of channels with rings of that size, without connections.
func newSources(t testing.TB, ringSize uint64) *stats.Sources {
	return &stats.Sources{
		Legacy:            new(stats.Legacy),
		Neo:               new(stats.Neo),
		Channels:          storagetest.Start(t, storagetest.Options(t, ringSize)),
		LegacyConnections: func() stats.Connections { return stats.Connections{Open: 3, Limit: 5000, Refused: 2} },
		NeoConnections:    func() stats.Connections { return stats.Connections{Open: 4} },
		Budgets:           func() stats.Budgets { return stats.Budgets{Queues: 1, QueueLimit: 1000, Waiting: 2} },
		Traffic:           func() (received, sent uint64) { return 1000, 2000 },
		Logged:            func() logging.Counts { return logging.Counts{Warn: 5} },
	}
}

// newOperations returns the operations of a node without connections.
func newOperations(sources *stats.Sources) *admin.Operations {
	return admin.New(sources.Channels, new(admin.Clients), nil)
}

// serve lets a server tell of sources.
func (s *Server) serve(sources *stats.Sources) { s.Serve(sources, newOperations(sources)) }

func push(t testing.TB, sources *stats.Sources, channel string, payloads ...string) {
	t.Helper()
	c, err := sources.Channels.Open([]byte(channel))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Commit()
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
	s.serve(newSources(t, 1000))
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
	s.serve(newSources(t, 1000))
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
	s.Serve(nil, nil)
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

// Of connections beyond the limit each takes the place of the one that has been idle for
// longest. They wait while all are served.
func TestConnectionsTakeIdlePlaces(t *testing.T) {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := limit(socket, 2)
	t.Cleanup(func() { l.Close() })
	connect := func() net.Conn {
		client, err := net.Dial("tcp", socket.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close() })
		client.SetReadDeadline(time.Now().Add(patience))
		return client
	}
	accepted := make(chan *placedConn, 1)
	ended := make(chan error, 1)
	accept := func() {
		conn, err := l.Accept()
		if err != nil {
			ended <- err
			return
		}
		accepted <- conn.(*placedConn)
	}
	next := func() *placedConn {
		t.Helper()
		select {
		case c := <-accepted:
			return c
		case <-time.After(patience):
			t.Fatal("no connection is accepted")
			return nil
		}
	}
	isClosed := func(name string, client net.Conn) {
		t.Helper()
		if _, err := client.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%s: got error %v, want %v", name, err, io.EOF)
		}
	}
	connect()
	go accept()
	first := next()
	client := connect()
	go accept()
	second := next()
	first.serve()
	first.idle() // later than the second
	thirdClient := connect()
	go accept()
	third := next()
	isClosed("second", client)
	second.Close() // has no place any more
	first.serve()
	third.serve()
	connect()
	go accept()
	select {
	case <-accepted:
		t.Fatal("another connection has a place while all are served")
	case <-time.After(10 * time.Millisecond):
	}
	third.idle()
	fourth := next()
	isClosed("third", thirdClient)
	fourth.serve()
	connect()
	go accept()
	first.Close()
	first.Close() // gives its place once
	fifth := next()
	fifth.serve()
	if n := len(l.open); n != 2 {
		t.Errorf("%d places are taken, want 2", n)
	}
	connect()
	go accept()
	l.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("got error %v while waiting for a place, want %v", err, net.ErrClosed)
		}
	case <-time.After(patience):
		t.Error("Accept does not end with the listener")
	}
	fourth.Close()
	fifth.Close()
}

// Peers that never finish a request do not end those that are served.
func TestUnfinishedRequestsTakeNoPlaceOfOthers(t *testing.T) {
	asked, answer := make(chan struct{}, 1), make(chan error)
	s := listen(t, func(context.Context) error {
		asked <- struct{}{}
		return <-answer
	})
	ended := make(chan error, 1)
	go func() {
		status, _, err := tryGet(s, "/healthz")
		ended <- cmp.Or(err, map[bool]error{false: fmt.Errorf("status %d", status)}[status == http.StatusOK])
	}()
	<-asked
	var first net.Conn
	for i := range maxConnections {
		conn, err := net.Dial("tcp", s.address.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if i == 0 {
			first = conn
		}
		fmt.Fprintf(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Unfinished: ")
	}
	first.SetReadDeadline(time.Now().Add(patience))
	if n, err := first.Read(make([]byte, 1)); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the first of those that never finish: got %d bytes, error %v, want it closed", n, err)
	}
	answer <- nil
	if err := <-ended; err != nil {
		t.Errorf("the request that was served: %v", err)
	}
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

// Records that a client has and has not confirmed are told, with the time since it got them.
func TestUnconfirmedRecords(t *testing.T) {
	sources := newSources(t, 1000)
	push(t, sources, "orders", "one", "two")
	sources.Channels.Mark(time.Now().Add(-time.Minute))
	c := sources.Channels.Find([]byte("orders"))
	c.Lock()
	run, err := c.Pop(false)
	c.Commit()
	if err != nil {
		t.Fatal(err)
	}
	s := listen(t, well)
	s.serve(sources)
	_, body := get(t, s, "/metrics")
	for _, want := range []string{
		`dmqnode_queue_records{channel="orders",place="memory",subscriber=""} 2`,
		`dmqnode_queue_unconfirmed_records{channel="orders",subscriber=""} 1`,
		`dmqnode_queue_unconfirmed_bytes{channel="orders",subscriber=""} 3`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("there is no %q in\n%s", want, body)
		}
	}
	_, age, _ := strings.Cut(body, `dmqnode_queue_unconfirmed_age_seconds{channel="orders",subscriber=""} `)
	var seconds float64
	if fmt.Sscan(age, &seconds); seconds < 60 {
		t.Errorf("they are said to be unconfirmed for %v seconds, want 60 and some", seconds)
	}
	run.Deliver()
	_, body = get(t, s, "/metrics")
	for _, want := range []string{
		`dmqnode_queue_records{channel="orders",place="memory",subscriber=""} 1`,
		`dmqnode_queue_unconfirmed_records{channel="orders",subscriber=""} 0`,
		`dmqnode_queue_unconfirmed_age_seconds{channel="orders",subscriber=""} 0`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("delivered: there is no %q in\n%s", want, body)
		}
	}
}
