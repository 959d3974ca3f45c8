package budget

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// dialFrom connects to an address of the node from another address of this machine.
func dialFrom(t *testing.T, from, to string) net.Conn {
	t.Helper()
	dialer := net.Dialer{Timeout: nodetest.Patience, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := dialer.Dial("tcp4", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(nodetest.Patience))
	return c
}

// served tells whether the node answers a legacy client there, or has closed the connection.
func served(t *testing.T, c net.Conn) bool {
	t.Helper()
	c.Write(legacyclient.Request(legacyclient.GetNumConnections)) // it may be closed
	status := make([]byte, 4)
	_, err := io.ReadFull(c, status)
	return err == nil
}

// One address has no more than its share of a port; others are served.
func TestConnectionsOfOneAddressAreBounded(t *testing.T) {
	t.Parallel()
	node := nodetest.StartWithHTTP(t, nodetest.Set("Server.connection_limit", "100"))
	for range 90 { // nine tenths of the limit, by default
		clients.Legacy(t, node).Alive()
	}
	for range 50 {
		clients.Legacy(t, node).WantEOF()
	}
	clients.Neo(t, node).Alive() // the other port counts for itself
	other := dialFrom(t, "127.0.0.2", node.Legacy())
	if !served(t, other) {
		t.Error("a client at another address is not served")
	}
	node.WaitLog(`^Warn \[dmqnode\.main\] - connection closed at once, its address has as many as it may have protocol=legacy limit=90 client=127\.0\.0\.1`)
	nodetest.WantMetrics(t, node, "after refused connections", nodetest.Metrics{
		"dmqnode_refused_connections_total{protocol=legacy,reason=address}": 50,
		"dmqnode_refused_connections_total{protocol=legacy,reason=limit}":   0,
		"dmqnode_refused_connections_total{protocol=neo,reason=address}":    0,
	})
	if lines := strings.Count(node.Log(), "connection closed at once"); lines > 3 {
		t.Errorf("%d lines about connections, want a limited rate", lines)
	}
}

// When all places of the legacy port are taken, connections that have been idle for long make
// room, and consumers do not.
func TestIdleLegacyConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Server.connection_limit", "5"),
		nodetest.Set("Limits.peer_connections", "0"), nodetest.Set("Limits.idle_timeout_ms", "50"))
	consumer := clients.Legacy(t, node)
	consumer.MustConsume("idle")
	for range 4 {
		clients.Legacy(t, node).Alive()
	}
	var c *clients.LegacyClient
	nodetest.Eventually(t, "a new client is served", func() bool {
		c = clients.Legacy(t, node)
		status, err := c.Do(legacyclient.Request(legacyclient.GetNumConnections))
		return err == nil && status == legacyclient.NotSupported
	})
	c.MustPush("idle", "value")
	consumer.WantArray("value")
	node.WaitLog(`^Warn .* idle connections closed, the connection limit is reached protocol=legacy`)
}

// Clients can't take the descriptors that the node needs to make files and to let an operator in.
func TestDescriptorsAreKeptInReserve(t *testing.T) {
	t.Parallel()
	node := nodetest.StartWithHTTP(t, nodetest.OpenFiles(100))
	first := clients.Legacy(t, node)
	first.Alive()
	for range 200 {
		clients.Legacy(t, node)
	}
	node.WaitLog(`connection closed at once, the file descriptors that are left are kept for other things`)
	for number := range 3 {
		channel := fmt.Sprint("new", number)
		first.MustPush(channel, "value")
	}
	if strings.Contains(node.Log(), "no file for a ring") {
		t.Error("a ring has no file")
	}
	clients.Control(t, node).Do("list-credentials", "Registered credentials:", "test")
	if status, _ := nodetest.Page(t, node, "/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: got status %d, want 200", status)
	}
	node.Kill()
	node.Restart()
	clients.Legacy(t, node).WantPop("new2", "value")
}

// Who may connect can be restricted, and a protocol switched off.
func TestProtocolsForSomeOnly(t *testing.T) {
	t.Parallel()
	node := nodetest.Prepare(t, nodetest.Set("Legacy.allow", "127.0.0.2, 10.0.0.0/8"), nodetest.Set("Neo.allow", "127.0.0.0/24"))
	node.Launch()
	if !node.Serves() {
		t.Fatalf("the node does not start:\n%s", node.Console())
	}
	if served(t, dialFrom(t, "127.0.0.1", node.Legacy())) {
		t.Error("a legacy client at 127.0.0.1 is served, want only those at 127.0.0.2 and in 10.0.0.0/8")
	}
	if !served(t, dialFrom(t, "127.0.0.2", node.Legacy())) {
		t.Error("a legacy client at 127.0.0.2 is not served")
	}
	clients.Neo(t, node).Alive()
	node.WaitLog(`connection closed at once, its address is not allowed protocol=legacy client=127\.0\.0\.1`)
}

func TestLegacyProtocolSwitchedOff(t *testing.T) {
	t.Parallel()
	node := nodetest.Prepare(t, nodetest.Set("Legacy.enabled", "false"), nodetest.WithHTTP)
	node.Launch()
	c := clients.Neo(t, node)
	c.MustPush("value", "neo")
	c.WantPop("neo", "value")
	if strings.Contains(node.Console(), "listening for legacy clients") {
		t.Error("the node listens for legacy clients")
	}
	nodetest.Eventually(t, "the node is ready", func() bool {
		status, _ := nodetest.Page(t, node, "/readyz")
		return status == http.StatusOK
	})
	if status, _ := nodetest.Page(t, node, "/metrics"); status != http.StatusOK {
		t.Errorf("/metrics: got status %d, want 200", status)
	}
	if status := node.Stop(); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
}

// A web page from elsewhere can't read the figures through somebody's browser, whatever name its
// owner makes point to the node.
func TestHTTPAnswersToItsNamesOnly(t *testing.T) {
	t.Parallel()
	node := nodetest.StartWithHTTP(t, nodetest.Set("Http.hosts", "queue-1.example, status.example"))
	for host, want := range map[string]int{
		"":                       http.StatusOK, // the address
		"localhost":              http.StatusOK,
		"queue-1.example:10080":  http.StatusOK,
		"attacker.example":       http.StatusMisdirectedRequest,
		"attacker.example:10080": http.StatusMisdirectedRequest,
	} {
		for _, path := range []string{"/", "/metrics", "/healthz"} {
			request, err := http.NewRequest("GET", "http://"+node.HTTP()+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Host = host
			reply, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(reply.Body)
			reply.Body.Close()
			if reply.StatusCode != want {
				t.Errorf("host %q, %s: got status %d (%s), want %d", host, path, reply.StatusCode, clients.Excerpt(string(body)), want)
			}
		}
	}
}

// Clients that take all places of the control socket do not keep an operator out, and can't fill
// the log.
func TestControlClientsAreBounded(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	for range 200 {
		clients.Control(t, node).Do("list-credentials", "Registered credentials:", "test")
	}
	clients.Control(t, node).Do("list-credentials", "Registered credentials:", "test")
	if files := node.Sockets(); files > 120 {
		t.Errorf("the node has %d descriptors open for 201 control clients, want a bound", files)
	}
	if lines := strings.Count(node.Log(), "control client connected"); lines > 60 {
		t.Errorf("%d lines for 201 control clients, want a limited rate", lines)
	}
}

// Whoever is not let in can't fill the disk with lines about it.
func TestRejectionsAreLoggedAtALimitedRate(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	name := strings.Repeat("x", 900)
	for range 500 {
		c, err := neoclient.Dial(node.Neo())
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Authenticate(neoclient.Now(name, [128]byte{})); err == nil {
			t.Fatal("a client with an unknown name is let in")
		}
		c.Close()
	}
	for range 500 {
		c := clients.Legacy(t, node)
		c.MustSend([]byte{99, 0, 0, 0})
		c.WantEOF()
		c.Close()
	}
	churning := clients.Legacy(t, node)
	for number := range 500 {
		channel := fmt.Sprint(strings.Repeat("c", 200), number)
		churning.MustPush(channel, "value")
		churning.MustRemove(channel)
	}
	if size := len(node.Log()); size > 100<<10 {
		t.Errorf("root.log has %d bytes after 1000 clients that are not let in, and 500 channels made and removed, want at most 100 KiB", size)
	}
}

// Whoever reads the console may stand still: clients are served, and the node stops.
func TestStalledConsoleHoldsNothingUp(t *testing.T) {
	t.Parallel()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	defer writer.Close()
	fillPipe(t, writer)

	node := nodetest.StartWithHTTP(t, nodetest.Output(writer))
	clients.RoundTrips(t, node, "stalled", 100)
	for range 20 { // each is worth a line
		c := clients.Legacy(t, node)
		c.MustSend([]byte{99, 0, 0, 0})
		c.WantEOF()
	}
	if status, _ := nodetest.Page(t, node, "/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: got status %d, want 200", status)
	}
	node.Signal(syscall.SIGHUP)
	clients.RoundTrips(t, node, "stalled", 100)
	if status := node.Stop(); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
}

// fillPipe makes the next write to a pipe block.
func fillPipe(t *testing.T, writer *os.File) {
	t.Helper()
	raw, err := writer.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		for err == nil {
			_, err = unix.Write(int(fd), make([]byte, 4096))
		}
	})
	if err != unix.EAGAIN {
		t.Fatalf("filling a pipe: %v", err)
	}
	writer.Fd() // the child's end is to block
}
