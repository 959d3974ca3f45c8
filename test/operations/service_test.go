package operations

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// handedOver makes a listening socket, as a service manager does for a node.
func handedOver(t *testing.T) (address string, socket *os.File) {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	nodetest.Must(t, err)
	socket, err = listener.(*net.TCPListener).File()
	nodetest.Must(t, err)
	address = listener.Addr().String()
	nodetest.Must(t, listener.Close()) // the socket stays
	t.Cleanup(func() { socket.Close() })
	return address, socket
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// With sockets of a service manager a restart refuses nobody: who connects while no node runs is
// served by the next one.
func TestRestartWithoutRefusedConnections(t *testing.T) {
	t.Parallel()
	legacyAddress, legacySocket := handedOver(t)
	neoAddress, neoSocket := handedOver(t)
	for _, test := range []struct {
		rule    string
		options []nodetest.Option
	}{
		{"by port", []nodetest.Option{nodetest.Inherit("", neoSocket, legacySocket),
			nodetest.Set("Server.port", portOf(legacyAddress)), nodetest.Set("Server.neoport", portOf(neoAddress))}},
		{"by name", []nodetest.Option{nodetest.Inherit("neo:legacy", neoSocket, legacySocket)}},
	} {
		t.Run(test.rule, func(t *testing.T) {
			node := nodetest.Start(t, test.options...)
			if node.Legacy() != legacyAddress || node.Neo() != neoAddress {
				t.Fatalf("the node listens on %s and %s, want %s and %s", node.Legacy(), node.Neo(), legacyAddress, neoAddress)
			}
			clients.PushTo(t, node, "jobs", "first")
			if status := node.Stop(); status != 0 {
				t.Fatalf("got exit status %d, want 0", status)
			}
			waiting := clients.Legacy(t, node)
			waiting.MustSend(legacyclient.Request(legacyclient.Push, "jobs", "second"))
			node.Restart()
			waiting.WantStatus(200)
			clients.WantPops(t, node, "jobs", "first", "second")
			clients.Neo(t, node).Alive()
		})
	}
}

// A socket for a port that is none of the node's would have clients that nobody serves.
func TestSocketOfAnotherPort(t *testing.T) {
	t.Parallel()
	address, socket := handedOver(t)
	node := nodetest.Prepare(t, nodetest.Inherit("", socket))
	node.Launch()
	if status := node.Wait(); status != 1 {
		t.Errorf("got exit status %d, want 1", status)
	}
	want := "hands over a socket for port " + portOf(address) + ", which is neither [Server] port nor neoport"
	if !strings.Contains(node.Console(), want) {
		t.Errorf("no %q in\n%s", want, node.Console())
	}
}

// notified is a service manager that writes down what it is told.
func notified(t *testing.T) (variable string, next func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	nodetest.Must(t, err)
	t.Cleanup(func() { socket.Close() })
	return "NOTIFY_SOCKET=" + path, func() string {
		t.Helper()
		socket.SetReadDeadline(time.Now().Add(nodetest.Patience))
		message := make([]byte, 4096)
		n, err := socket.Read(message)
		nodetest.Must(t, err)
		return string(message[:n])
	}
}

func TestServiceManagerIsTold(t *testing.T) {
	t.Parallel()
	variable, next := notified(t)
	node := nodetest.Start(t, nodetest.Environment(variable))
	if got := next(); got != "STATUS=loading records" {
		t.Errorf("at the start: got %q", got)
	}
	ready := fmt.Sprintf("READY=1\nSTATUS=listening on %s (legacy) and %s (neo)", node.Legacy(), node.Neo())
	if got := next(); got != ready {
		t.Errorf("then: got %q, want %q", got, ready)
	}
	node.Signal(syscall.SIGHUP)
	if got := next(); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") {
		t.Errorf("after SIGHUP: got %q, want a reload", got)
	}
	if got := next(); got != ready {
		t.Errorf("then: got %q, want %q", got, ready)
	}
	node.Signal(syscall.SIGTERM)
	if got, want := next(), "STOPPING=1\nSTATUS=saving records"; got != want {
		t.Errorf("after SIGTERM: got %q, want %q", got, want)
	}
	if status := node.Wait(); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
}

func TestWatchdog(t *testing.T) {
	t.Parallel()
	variable, next := notified(t)
	node := nodetest.Start(t, nodetest.Environment(variable, "WATCHDOG_USEC=200000"))
	var told []string
	for !slices.Contains(told, "WATCHDOG=1") {
		told = append(told, next())
	}
	if len(told) != 3 {
		t.Errorf("before the watchdog: got %q, want status and readiness", told)
	}
	if got := next(); got != "WATCHDOG=1" {
		t.Errorf("later: got %q, want the watchdog again", got)
	}
	clients.Legacy(t, node).Alive()
}

// Clients that keep connecting and pushing notice restarts at most as a connection that ends, and
// every record that was acknowledged is there.
func TestRestartsUnderLoad(t *testing.T) {
	t.Parallel()
	const workers, restarts = 4, 3
	address, socket := handedOver(t)
	node := nodetest.Start(t, nodetest.Inherit("legacy", socket))
	var acknowledged [workers]atomic.Int64
	var stop atomic.Bool
	var done sync.WaitGroup
	for i := range workers {
		done.Go(func() {
			for !stop.Load() {
				conn, err := legacyclient.Dial(address)
				if err != nil {
					t.Errorf("a client is refused: %v", err)
					return
				}
				for !stop.Load() {
					record := fmt.Sprintf("%d %d", i, acknowledged[i].Load())
					if conn.Send(legacyclient.Request(legacyclient.Push, "jobs", record)) != nil {
						break
					}
					if status, err := conn.Status(); err != nil || status != legacyclient.Ok {
						break
					}
					acknowledged[i].Add(1)
				}
				conn.Close()
			}
		})
	}
	for range restarts {
		for i := range workers {
			before := acknowledged[i].Load()
			nodetest.Eventually(t, "every client to be served", func() bool { return acknowledged[i].Load() > before })
		}
		if status := node.Stop(); status != 0 {
			t.Errorf("got exit status %d, want 0", status)
		}
		node.Restart()
	}
	stop.Store(true)
	done.Wait()
	stored := map[string]bool{}
	consumer := clients.Legacy(t, node)
	for {
		consumer.MustDo(legacyclient.Request(legacyclient.Pop, "jobs"), legacyclient.Ok)
		record := consumer.MustArray()
		if record == "" {
			break
		}
		stored[record] = true
	}
	for i := range acknowledged {
		for number := range acknowledged[i].Load() {
			if record := fmt.Sprintf("%d %d", i, number); !stored[record] {
				t.Errorf("record %q was acknowledged and is gone", record)
			}
		}
	}
}
