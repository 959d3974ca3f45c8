package test

import (
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// A connection over the limit is accepted and closed at once, without bytes; the others
// don't notice (legacy protocol spec §1.3, §12.4).
func TestConnectionOverTheLimitIsClosed(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Server.connection_limit", "3"), nodetest.Set("Limits.peer_connections", "0"))
	three := []*client{dial(t, node), dial(t, node), dial(t, node)}
	three[0].consume("limit")
	three[1].push("limit", "value")
	three[2].produce("limit")
	three[0].wantArray("value")

	t.Log("an idle fourth connection")
	dial(t, node).wantEOF()

	t.Log("a fourth connection that sends at once")
	fourth := dial(t, node)
	if err := fourth.Send(legacyclient.Request(legacyclient.Push, "limit", "not counted")); err == nil {
		if _, err := fourth.End(); err != nil {
			t.Error(err)
		}
	}

	t.Log("many more")
	for range 50 {
		dial(t, node).wantEOF()
	}
	three[2].send(legacyclient.Records("record"))
	three[0].wantArray("record")
	three[1].alive()
	node.WaitLog(`(?i)connection.*limit`)
	if lines := len(regexp.MustCompile(`(?i)connection.*limit`).FindAllString(node.Log(), -1)); lines > 10 {
		t.Errorf("%d log lines about the limit for 52 connections, want a limited rate", lines)
	}

	t.Log("one of the three ends")
	three[1].Close()
	var next *client
	eventually(t, "a new connection is served", func() bool {
		next = dial(t, node)
		status, err := next.Do(legacyclient.Request(legacyclient.GetNumConnections))
		return err == nil && status == legacyclient.NotSupported
	})
	dial(t, node).wantEOF()
	next.alive()
}

// A client that does not close a connection that the node has closed holds no slot for
// long, whether it is silent or goes on sending.
func TestRefusedConnectionsGiveTheirSlotsBack(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Server.connection_limit", "2"), nodetest.Set("Limits.peer_connections", "0"))
	silent, sending := dial(t, node), dial(t, node)
	for _, c := range []*client{silent, sending} {
		c.send([]byte{99, 0, 0, 0})
		c.wantEOF()
	}
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		for sending.Send(make([]byte, 1000)) == nil {
			select {
			case <-stop:
				return
			default:
			}
		}
	}()
	var inUse []*client
	eventually(t, "two new connections are served", func() bool {
		c := dial(t, node)
		status, err := c.Do(legacyclient.Request(legacyclient.GetNumConnections))
		if err == nil && status == legacyclient.NotSupported {
			inUse = append(inUse, c)
		}
		return len(inUse) == 2
	})
	for _, c := range inUse {
		c.alive()
	}
}

func TestConnectionLimitZeroIsNoLimit(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Server.connection_limit", "0"))
	for range 100 {
		dial(t, node).alive()
	}
}

// needOpenFiles skips the test where this process, or a node that it starts, can't have
// that many descriptors.
func needOpenFiles(t *testing.T, count uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Max < count {
		t.Skipf("needs %d open files, the hard limit is %d (ulimit -Hn)", count, limit.Max)
	}
	limit.Cur = max(limit.Cur, count)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
}

// The default limit: 5000 connections work, the 5001st is closed, and the memory for
// one that is idle stays under 4 KiB.
func TestFiveThousandConnections(t *testing.T) {
	slow(t)
	const limit = 5000
	needOpenFiles(t, limit+200)
	node := nodetest.Start(t, nodetest.Set("Limits.peer_connections", "0"))
	dial(t, node).alive()
	before := node.RSS()
	all := make([]*legacyclient.Conn, limit-1) // and the one above
	for i := range all {
		conn, err := legacyclient.Dial(node.Legacy())
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		defer conn.Close()
		all[i] = conn
	}
	useAll(t, all)
	growth := node.RSS() - before
	t.Logf("%d connections that have been used cost %d bytes each", limit, growth/limit)
	if !nodetest.RaceEnabled && growth > limit*4<<10 {
		t.Errorf("an idle connection costs %d bytes, want less than 4 KiB", growth/limit)
	}

	dial(t, node).wantEOF()
	useAll(t, all)
	all[limit/2].Close()
	eventually(t, "a connection in the place of the closed one", func() bool {
		status, err := dial(t, node).Do(legacyclient.Request(legacyclient.GetNumConnections))
		return err == nil && status == legacyclient.NotSupported
	})
}

// useAll sends a request on all connections, then reads all answers.
func useAll(t *testing.T, all []*legacyclient.Conn) {
	t.Helper()
	for i, conn := range all {
		if err := conn.Send(legacyclient.Request(legacyclient.Push, "all", "value")); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
	for i, conn := range all {
		if status, err := conn.Status(); status != legacyclient.Ok {
			t.Fatalf("connection %d: got status %d, error %v; want 200", i, status, err)
		}
	}
}

// Without free descriptors the node serves the connections it has, says so in the log,
// does not spin, and takes new ones when others have gone (operations spec §10).
func TestDescriptorExhaustion(t *testing.T) {
	t.Parallel()
	slow(t)
	node := nodetest.Start(t, nodetest.OpenFiles(64))
	first := dial(t, node)
	first.push("fd", "value")
	var waiting []*client
	for range 100 {
		waiting = append(waiting, dial(t, node))
	}
	node.WaitLog(`(?i)^(Warn|Error|Fatal) .*(descriptor|too many open files)`)
	first.alive()

	before := node.CPU()
	time.Sleep(2 * time.Second) // the time over which the use of the CPU is measured
	if used := node.CPU() - before; used > 200*time.Millisecond {
		t.Errorf("the node used %v of CPU in 2 s while it was out of descriptors", used)
	}
	if lines := strings.Count(node.Log(), "\n"); lines > 100 {
		t.Errorf("%d lines in root.log, want a limited rate", lines)
	}
	first.wantPop("fd", "value")
	first.push("fd", "next")

	for _, c := range waiting {
		c.Close()
	}
	eventually(t, "new connections are served", func() bool {
		status, err := dial(t, node).Do(legacyclient.Request(legacyclient.GetNumConnections))
		return err == nil && status == legacyclient.NotSupported
	})
	first.wantPop("fd", "next")
}
