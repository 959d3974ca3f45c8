package legacy

import (
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// A connection over the limit is accepted and closed at once, without bytes; the others
// don't notice (legacy protocol spec §1.3, §12.4).
func TestConnectionOverTheLimitIsClosed(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Server.connection_limit", "3"), nodetest.Set("Limits.peer_connections", "0"))
	three := []*clients.LegacyClient{clients.Legacy(t, node), clients.Legacy(t, node), clients.Legacy(t, node)}
	three[0].MustConsume("limit")
	three[1].MustPush("limit", "value")
	three[2].MustProduce("limit")
	three[0].WantArray("value")

	t.Log("an idle fourth connection")
	clients.Legacy(t, node).WantEOF()

	t.Log("a fourth connection that sends at once")
	fourth := clients.Legacy(t, node)
	if err := fourth.Send(legacyclient.Request(legacyclient.Push, "limit", "not counted")); err == nil {
		if _, err := fourth.End(); err != nil {
			t.Error(err)
		}
	}

	t.Log("many more")
	for range 50 {
		clients.Legacy(t, node).WantEOF()
	}
	three[2].MustSend(legacyclient.Records("record"))
	three[0].WantArray("record")
	three[1].Alive()
	node.WaitLog(`(?i)connection.*limit`)
	if lines := len(regexp.MustCompile(`(?i)connection.*limit`).FindAllString(node.Log(), -1)); lines > 10 {
		t.Errorf("%d log lines about the limit for 52 connections, want a limited rate", lines)
	}

	t.Log("one of the three ends")
	three[1].Close()
	var next *clients.LegacyClient
	nodetest.Eventually(t, "a new connection is served", func() bool {
		next = clients.Legacy(t, node)
		status, err := next.Do(legacyclient.Request(legacyclient.GetNumConnections))
		return err == nil && status == legacyclient.NotSupported
	})
	clients.Legacy(t, node).WantEOF()
	next.Alive()
}

// A client that does not close a connection that the node has closed holds no slot for
// long, whether it is silent or goes on sending.
func TestRefusedConnectionsGiveTheirSlotsBack(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Server.connection_limit", "2"), nodetest.Set("Limits.peer_connections", "0"))
	silent, sending := clients.Legacy(t, node), clients.Legacy(t, node)
	for _, c := range []*clients.LegacyClient{silent, sending} {
		c.MustSend([]byte{99, 0, 0, 0})
		c.WantEOF()
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
	var inUse []*clients.LegacyClient
	nodetest.Eventually(t, "two new connections are served", func() bool {
		c := clients.Legacy(t, node)
		status, err := c.Do(legacyclient.Request(legacyclient.GetNumConnections))
		if err == nil && status == legacyclient.NotSupported {
			inUse = append(inUse, c)
		}
		return len(inUse) == 2
	})
	for _, c := range inUse {
		c.Alive()
	}
}

func TestConnectionLimitZeroIsNoLimit(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Server.connection_limit", "0"))
	for range 100 {
		clients.Legacy(t, node).Alive()
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
	nodetest.Slow(t)
	const limit = 5000
	needOpenFiles(t, limit+200)
	node := nodetest.Start(t, nodetest.Set("Limits.peer_connections", "0"))
	clients.Legacy(t, node).Alive()
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

	clients.Legacy(t, node).WantEOF()
	useAll(t, all)
	all[limit/2].Close()
	nodetest.Eventually(t, "a connection in the place of the closed one", func() bool {
		status, err := clients.Legacy(t, node).Do(legacyclient.Request(legacyclient.GetNumConnections))
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
	nodetest.Slow(t)
	node := nodetest.Start(t, nodetest.OpenFiles(64))
	first := clients.Legacy(t, node)
	first.MustPush("fd", "value")
	var waiting []*clients.LegacyClient
	for range 100 {
		waiting = append(waiting, clients.Legacy(t, node))
	}
	node.WaitLog(`(?i)^(Warn|Error|Fatal) .*(descriptor|too many open files)`)
	first.Alive()

	before := node.CPU()
	time.Sleep(2 * time.Second) // the time over which the use of the CPU is measured
	if used := node.CPU() - before; used > 200*time.Millisecond {
		t.Errorf("the node used %v of CPU in 2 s while it was out of descriptors", used)
	}
	if lines := strings.Count(node.Log(), "\n"); lines > 100 {
		t.Errorf("%d lines in root.log, want a limited rate", lines)
	}
	first.WantPop("fd", "value")
	first.MustPush("fd", "next")

	for _, c := range waiting {
		c.Close()
	}
	nodetest.Eventually(t, "new connections are served", func() bool {
		status, err := clients.Legacy(t, node).Do(legacyclient.Request(legacyclient.GetNumConnections))
		return err == nil && status == legacyclient.NotSupported
	})
	first.WantPop("fd", "next")
}
