package test

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/test/nodetest"
)

// wantFailedStart starts a node that can't, for a reason that its console has to tell, and
// requires its data directory to stay as it was.
func wantFailedStart(t *testing.T, node *nodetest.Node, reason ...string) {
	t.Helper()
	before := filesOf(t, node.Path("data"))
	node.Launch()
	if status := node.Wait(); status != 1 {
		t.Errorf("got exit status %d, want 1", status)
	}
	for _, text := range reason {
		if !strings.Contains(node.Console(), text) {
			t.Errorf("the console does not mention %q:\n%s", text, node.Console())
		}
	}
	wantSameFiles(t, node.Path("data"), before)
}

// A start that fails says why and leaves every file as it was; when its reason is gone the
// next one has all the records (operations spec §4.2, §14 check 12).
func TestFailedStartLeavesTheData(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	_, port, _ := net.SplitHostPort(taken.Addr().String())

	tests := []struct {
		name    string
		prepare func(t *testing.T, node *nodetest.Node) (repair func())
		reason  []string
	}{
		{"legacy port taken", func(_ *testing.T, node *nodetest.Node) func() {
			node.Configure(nodetest.Set("Server.port", port))
			return func() { node.Configure(nodetest.Set("Server.port", "0")) }
		}, []string{port, "address already in use"}},
		{"neo port taken", func(_ *testing.T, node *nodetest.Node) func() {
			node.Configure(nodetest.Set("Server.neoport", port))
			return func() { node.Configure(nodetest.Set("Server.neoport", "0")) }
		}, []string{port, "address already in use"}},
		{"bad credentials", func(t *testing.T, node *nodetest.Node) func() {
			node.Configure(nodetest.Credentials("test:0123\n"))
			return func() { node.Configure(nodetest.Credentials("test:" + strings.Repeat("0", 256))) }
		}, []string{"etc/credentials", "Invalid key length"}},
		{"no credentials", func(t *testing.T, node *nodetest.Node) func() {
			must(t, os.Remove(node.Path("etc/credentials")))
			return func() { node.Configure() }
		}, []string{"etc/credentials", "No such file"}},
		{"control socket taken", func(t *testing.T, node *nodetest.Node) func() {
			socket, err := net.Listen("unix", node.Path("dmqnode.socket"))
			must(t, err)
			return func() { socket.Close() }
		}, []string{"dmqnode.socket"}},
		{"ring directory missing and not to be made", func(t *testing.T, node *nodetest.Node) func() {
			must(t, os.WriteFile(node.Path("file"), nil, 0o644))
			node.Configure(nodetest.Set("Storage.ring_dir", node.Path("file/rings")))
			return func() { node.Configure(nodetest.Set("Storage.ring_dir", "")) }
		}, []string{"ring_dir", "/file", "not a directory"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Prepare(t)
			useFixture(t, node, "loadfiles")
			repair := test.prepare(t, node)
			wantFailedStart(t, node, test.reason...)
			repair()
			node.Restart()
			wantPops(t, node, "ch2", "Hello ch2!", "Hello ch2!")
			wantQueue(t, node, "ch1", "sub1", "Hello ch1!", "Hello ch1!")
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The same after a kill, when the records are in rings.
func TestFailedStartLeavesTheRings(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, smallRings)
	produceTo(t, node, "plain", 0, 30)
	node.Kill()
	node.Configure(nodetest.Credentials("test"))
	wantFailedStart(t, node, "etc/credentials")
	node.Configure(nodetest.Credentials("test:" + strings.Repeat("0", 256)))
	node.Restart()
	wantPops(t, node, "plain", numbered(0, 30, 100)...)
}

// A data directory that no node leaves behind: the index has a channel both plain and with
// subscribers (§2.5).
func TestFailedStartOnMixedIndex(t *testing.T) {
	t.Parallel()
	node := nodetest.Prepare(t)
	useFixture(t, node, "loadfiles")
	path := node.Path("data/ofchannels.csv")
	index := filesOf(t, node.Path("data"))["ofchannels.csv"]
	must(t, os.WriteFile(path, []byte(strings.Replace(index, "ch4 ", "ch1 ", 1)), 0o644))
	wantFailedStart(t, node, "ch1")
	must(t, os.WriteFile(path, []byte(index), 0o644))
	node.Restart()
	wantPops(t, node, "ch4", "Hello ch4!")
	wantQueue(t, node, "ch1", "sub1", "Hello ch1!", "Hello ch1!")
}

// A second node in the same data directory ends at once and says which directory that is;
// the first one notices nothing.
func TestSecondNodeInTheDirectory(t *testing.T) {
	t.Parallel()
	first := nodetest.Start(t, smallRings)
	produceTo(t, first, "plain", 0, 30)
	subscribeTo(t, first, "subscribed", "a")
	produceTo(t, first, "subscribed", 0, 30)
	before := filesOf(t, first.Path("data"))
	for range 3 {
		second := nodetest.Prepare(t, nodetest.Set("Server.data_dir", first.Path("data")))
		second.Launch()
		if status := second.Wait(); status != 1 {
			t.Errorf("the second node: got exit status %d, want 1", status)
		}
		if !strings.Contains(second.Console(), first.Path("data")) {
			t.Errorf("the console of the second node does not mention %s:\n%s", first.Path("data"), second.Console())
		}
	}
	wantSameFiles(t, first.Path("data"), before)
	wantPops(t, first, "plain", numbered(0, 30, 100)...)
	produceTo(t, first, "plain", 30, 60)
	first.Kill() // the lock goes with it
	second := nodetest.Start(t, smallRings, nodetest.Set("Server.data_dir", first.Path("data")))
	wantPops(t, second, "plain", numbered(30, 60, 100)...)
	wantQueue(t, second, "subscribed", "a", numbered(0, 30, 100)...)
}

// Clients may do anything from the moment at which the node serves. So by then a dump must not
// be able to bring back a channel that they remove, nor to clash with one to which they
// subscribe. Many dumps make the time long in which a kill finds some of them not deleted yet.
func TestDumpsDoNotComeBack(t *testing.T) {
	slow(t)
	for name, change := range map[string]func(t *testing.T, node *nodetest.Node){
		"remove": func(t *testing.T, node *nodetest.Node) { dial(t, node).remove("zzz") },
		"subscribe": func(t *testing.T, node *nodetest.Node) {
			c := connect(t, node)
			c.consume("zzz", "a").wantBatch("record")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Prepare(t, nodetest.Set("Server.channel_size_limit", "100"))
			must(t, os.Mkdir(node.Path("data"), 0o755))
			for i := range 500 {
				must(t, os.WriteFile(node.Path(fmt.Sprintf("data/s%d@many.rq", i)), []byte(dumpOf()), 0o644))
			}
			must(t, os.WriteFile(node.Path("data/zzz.rq"), []byte(dumpOf("record")), 0o644))
			node.Launch()
			if !node.Serves() {
				t.Fatalf("the node does not start:\n%s", node.Console())
			}
			change(t, node)
			node.Kill()
			node.Restart()
			if name == "remove" {
				dial(t, node).do(legacyclient.Request(legacyclient.Pop, "zzz"), legacyclient.Error) // no such channel
			} else {
				wantQueue(t, node, "zzz", "a", "record")
			}
			node.Kill() // a clean stop would take long
			if strings.Contains(node.Log(), " Error ") {
				t.Error("there is an error in root.log")
			}
		})
	}
}

// What a start leaves to see (operations spec §14 check 5).
func TestStartTellsWhereItIs(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	node.WaitLog(`listening path=dmqnode\.socket`)
	pid, err := os.ReadFile(node.Path("dmqnode.pid"))
	must(t, err)
	if dir, err := os.Readlink("/proc/" + strings.TrimSuffix(string(pid), "\n") + "/cwd"); err != nil || dir != node.Path("") {
		t.Errorf("dmqnode.pid has %q, whose directory is %q, error %v; want that of a process in %s", pid, dir, err, node.Path(""))
	}
	if !strings.HasSuffix(string(pid), "\n") {
		t.Errorf("dmqnode.pid has %q, want a line", pid)
	}
	version, err := os.ReadFile(node.Path("log/version.log"))
	must(t, err)
	if n := strings.Count(string(version), "\n"); n != 1 {
		t.Errorf("log/version.log has %d lines, want 1", n)
	}
	lines := strings.Split(strings.TrimSuffix(node.Log(), "\n"), "\n")
	if first := lines[0]; !strings.Contains(first, "dmqnode version ") {
		t.Errorf("root.log begins with %q, want the version", first)
	}
	if last := lines[len(lines)-1]; !strings.Contains(last, "dmqnode.socket") {
		t.Errorf("root.log ends with %q, want the control socket", last)
	}
}

// Another node with the same pid file ends; the first one keeps file and data (check 6).
func TestSecondNodeWithThePidFile(t *testing.T) {
	t.Parallel()
	first := nodetest.Start(t)
	pushTo(t, first, "ch", "record")
	pid, err := os.ReadFile(first.Path("dmqnode.pid"))
	must(t, err)
	second := nodetest.Prepare(t, nodetest.Set("PidLock.path", first.Path("dmqnode.pid")))
	useFixture(t, second, "loadfiles")
	wantFailedStart(t, second, "Couldn't lock the pid lock file '"+first.Path("dmqnode.pid")+
		"'. Probably another instance of the application is running.")
	if now, err := os.ReadFile(first.Path("dmqnode.pid")); err != nil || string(now) != string(pid) {
		t.Errorf("the pid file has %q, error %v; before %q", now, err, pid)
	}
	wantPops(t, first, "ch", "record")
}

// At SIGTERM clients of every kind see the end of the stream; what they did not confirm, and
// what nobody asked for, is in dumps (check 11).
func TestStopWithClientsOfEveryKind(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	idle, consumer := dial(t, node), dial(t, node)
	idle.alive()
	consumer.consume("legacy")
	neoIdle, neoConsumer := connect(t, node), connect(t, node)
	neoConsumer.consume("neo", "a")
	held := connect(t, node)
	k := held.consume("held", "a")
	control, err := net.Dial("unix", node.Path("dmqnode.socket"))
	must(t, err)
	defer control.Close()
	pushTo(t, node, "plain", "kept")
	pushTo(t, node, "held", "unconfirmed")
	k.wantBatch("unconfirmed")

	if status := node.Stop(); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
	idle.wantEOF()
	consumer.wantEOF()
	neoIdle.wantClose()
	neoConsumer.wantClose()
	held.wantClose()
	if n, err := control.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("control client: got %d bytes, error %v; want the end of the stream", n, err)
	}
	for _, name := range []string{"dmqnode.pid", "dmqnode.socket"} {
		if _, err := os.Lstat(node.Path(name)); !os.IsNotExist(err) {
			t.Errorf("%s: got %v, want no such file", name, err)
		}
	}
	wantStopped(t, node.Path("data"), map[string][]string{
		"plain": {"kept"}, "a@held": {"unconfirmed"}, "@legacy": nil, "a@neo": nil,
	})
}
