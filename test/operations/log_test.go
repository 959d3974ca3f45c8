package operations

import (
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/datadir"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// readFile returns the text of a file of the instance, "" if there is none.
func readFile(t *testing.T, node *nodetest.Node, name string) string {
	t.Helper()
	text, err := os.ReadFile(node.Path(name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(text)
}

func TestCheck08Rotation(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("STATS.interval", "1"))
	for _, name := range []string{"root.log", "stats.log", "version.log"} {
		nodetest.Must(t, os.Rename(node.Path("log/"+name), node.Path("log/"+name+".1")))
	}
	node.Signal(syscall.SIGHUP)
	nodetest.Eventually(t, "new log files", func() bool {
		_, err := os.Stat(node.Path("log/stats.log")) // the last one
		return err == nil
	})
	old := readFile(t, node, "log/root.log.1")
	clients.PushTo(t, node, "new", "record")
	nodetest.Eventually(t, "a line in the new root.log", func() bool { return strings.Contains(readFile(t, node, "log/root.log"), "name=new") })
	if now := readFile(t, node, "log/root.log.1"); now != old {
		t.Errorf("the renamed root.log goes on: %s", strings.TrimPrefix(now, old))
	}
	nodetest.WaitStats(t, node, 0, "total_records:1")
}

// A SIGHUP that fails costs nothing: what can be reopened is, the old descriptors go on, and
// later signals work (operations spec §5.3).
func TestRotationThatFails(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c := clients.Control(t, node)
	nodetest.Must(t, os.Rename(node.Path("log"), node.Path("elsewhere")))
	node.Signal(syscall.SIGHUP)
	node.WaitLog(`^Error .*log files could not be reopened, going on with the old ones .*log/root\.log.*no such file`)
	c.Do("list-credentials", "Registered credentials:", "test")
	clients.PushTo(t, node, "meanwhile", "record")
	nodetest.Eventually(t, "a line in the old file", func() bool { return strings.Contains(readFile(t, node, "elsewhere/root.log"), "name=meanwhile") })

	nodetest.Must(t, os.Rename(node.Path("elsewhere"), node.Path("log")))
	nodetest.Must(t, os.Rename(node.Path("log/root.log"), node.Path("log/root.log.1")))
	node.Signal(syscall.SIGHUP)
	nodetest.Eventually(t, "a new log file", func() bool { _, err := os.Stat(node.Path("log/root.log")); return err == nil })
	nodetest.Must(t, os.Rename(node.Path("log"), node.Path("elsewhere")))
	if status := node.Stop(); status != 0 { // nor does a log that is gone keep it from stopping
		t.Errorf("got exit status %d, want 0", status)
	}
	nodetest.Must(t, os.Rename(node.Path("elsewhere"), node.Path("log")))
	datadir.WantStopped(t, node.Path("data"), map[string][]string{"meanwhile": {"record"}})
}

// Signals that mean nothing to the node change nothing (operations spec §5.1).
func TestSignalsThatAreIgnored(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	for _, signal := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGPIPE} {
		node.Signal(signal)
	}
	clients.Legacy(t, node).Alive()
	clients.Control(t, node).Do("list-credentials", "Registered credentials:", "test")
}

// Who sends large values is worth a warning, but not one for each (operations spec §7.5).
func TestWarningOfLargeValues(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c := clients.Legacy(t, node)
	c.MustPush("small", strings.Repeat("x", 65536))
	for range 10 {
		c.MustPush("large", strings.Repeat("x", 65537))
	}
	node.WaitLog(`^Warn \[swarm\.node\.connection\.ConnectionHandler\] - request with a large value client=\S+ request=Push channel=large size=65537$`)
	if n := strings.Count(node.Log(), "large value"); n != 1 {
		t.Errorf("%d warnings, want 1", n)
	}
}

// wantInOrder requires lines that match the patterns, in this order; others may be between.
func wantInOrder(t *testing.T, text string, patterns ...string) {
	t.Helper()
	lines := strings.Split(text, "\n")
	for _, pattern := range patterns {
		p := regexp.MustCompile(pattern)
		i := slices.IndexFunc(lines, p.MatchString)
		if i < 0 {
			t.Fatalf("no line matching %q, or not in its place:\n%s", pattern, text)
		}
		lines = lines[i+1:]
	}
}

// The events of a start, of a run and of a stop, with their loggers (operations spec §7.5).
func TestEvents(t *testing.T) {
	t.Parallel()
	node := nodetest.Prepare(t, nodetest.Set("Server.channel_size_limit", "1000"))
	datadir.UseFixture(t, node, "loadfiles")
	nodetest.Must(t, os.WriteFile(node.Path("data/stray.txt"), nil, 0o644))
	stale, err := net.Listen("unix", node.Path("dmqnode.socket"))
	nodetest.Must(t, err)
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	nodetest.Must(t, stale.Close())

	node.Restart()
	clients.Control(t, node).Conn.Close()
	node.WaitLog(`control client disconnected`)
	wantLogin(t, node, "nobody", clients.CountingKey, false)
	consumer := clients.Neo(t, node)
	consumer.MustConsume("renamed", "reader")
	consumer.Close()
	node.WaitLog(`^Info \[swarm\.neo\.node\.ConnectionHandler\] - connection ended client=test request=consume`)
	clients.Legacy(t, node).MustSend([]byte{99, 0, 0, 0})
	node.WaitLog(`Invalid command`)
	if status := node.Stop(); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}

	const date = `^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} `
	wantInOrder(t, node.Log(),
		date+`Info \[ocean\.util\.app\.ext\.VersionArgsExt\] - dmqnode version .*, build_date=`,
		date+`Warn \[ocean\.net\.server\.unixsocket\] - existing socket file deleted, .* path=dmqnode\.socket$`,
		date+`Warn \[scan-datadir\] - ignored: .* file=data/stray\.txt$`,
		date+`Info \[storage:sub1@ch1\] - loaded records=\d+ of these in the overflow=\d+$`,
		date+`Info \[ocean\.net\.server\.unixsocket\] - listening path=dmqnode\.socket$`,
		date+`Info \[ocean\.net\.server\.unixsocket\] - control client connected path=dmqnode\.socket$`,
		date+`Info \[ocean\.net\.server\.unixsocket\] - control client disconnected path=dmqnode\.socket$`,
		date+`Warn \[swarm\.neo\.protocol\.connect\.NodeConnect\] - .*nobody`,
		date+`Info \[diskoverflow\] - new queue id=\d+ name=renamed$`,
		date+`Info \[diskoverflow\] - queue renamed for its first subscriber id=\d+ from=renamed to=reader@renamed$`,
		date+`Info \[swarm\.neo\.node\.ConnectionHandler\] - connection ended client=test request=consume`,
		date+`Error \[dmqnode\.main\] - Invalid command `,
		date+`Info \[ocean\.net\.server\.unixsocket\] - socket file deleted path=dmqnode\.socket$`,
		date+`Info \[storage:sub1@ch1\] - saved records=\d+ of these in the overflow=\d+$`)
}
