package operations

import (
	"net"
	"os"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/datadir"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// The tests TestCheckNN are the acceptance checks of operations spec §14.

// wantRun runs the binary in an empty directory and requires its status; each of the texts is
// in what it prints, errors to stderr, the rest to stdout.
func wantRun(t *testing.T, arguments string, status int, texts ...string) {
	t.Helper()
	r := nodetest.Run(t, t.TempDir(), strings.Fields(arguments)...)
	if r.Status != status {
		t.Errorf("dmqnode %s: got exit status %d, want %d", arguments, r.Status, status)
	}
	printed, silent := r.Stderr, r.Stdout
	if status == 0 {
		printed, silent = silent, printed
	}
	if silent != "" {
		t.Errorf("dmqnode %s: also prints %q", arguments, silent)
	}
	for _, text := range texts {
		if !strings.Contains(printed, text) {
			t.Errorf("dmqnode %s: no %q in %q", arguments, text, printed)
		}
	}
}

func TestCheck01CommandLine(t *testing.T) {
	t.Parallel()
	wantRun(t, "", 2, "argument 'config' is missing\n", "\n\nType dmqnode -h for help\n")
	wantRun(t, "etc/config.ini", 2, "argument 'config' is missing\n")
	wantRun(t, "-h --nonsense", 0, "Usage:\tdmqnode [OPTIONS] [ARGS]", "--override-config")
	wantRun(t, "--version --nonsense", 0, "dmqnode version ")
	wantRun(t, "--build-info", 0, "dmqnode version ", "\nbuild_date=")
}

func TestCheck02MissingConfiguration(t *testing.T) {
	t.Parallel()
	const want = "Error reading config file 'missing.ini': open: No such file or directory on missing.ini\n"
	if r := nodetest.Run(t, t.TempDir(), "-c", "missing.ini"); r.Status != 3 || r.Stderr != want || r.Stdout != "" {
		t.Errorf("got %+v, want status 3, errors %q", r, want)
	}
}

// wantConfigRefused starts a node that refuses its configuration: no line but the one about that.
func wantConfigRefused(t *testing.T, option nodetest.Option, text string) {
	t.Helper()
	node := nodetest.Prepare(t, option)
	node.Launch()
	if status := node.Wait(); status != 1 {
		t.Errorf("got exit status %d, want 1", status)
	}
	if got := node.Console(); !strings.HasPrefix(got, text) || strings.Contains(got, "\n") {
		t.Errorf("got %q, want the one line %q …", got, text)
	}
}

func TestCheck03Keys(t *testing.T) {
	t.Parallel()
	bogus := nodetest.Set("Server.bogus", "1")
	wantConfigRefused(t, nodetest.Set("Server.port", ""), "Mandatory variable Server.port not set.")
	wantConfigRefused(t, bogus, "Invalid configuration key Server.bogus")
	node := nodetest.Start(t, bogus, nodetest.Arguments("--loose-config-parsing"))
	if got := strings.Count(node.Console(), "#### WARNING: Invalid configuration key Server.bogus\n"); got != 1 {
		t.Errorf("got %d warnings, want 1:\n%s", got, node.Console())
	}
}

func TestCheck04Values(t *testing.T) {
	t.Parallel()
	const size = "Server.channel_size_limit"
	wantConfigRefused(t, nodetest.Set(size, "0"), "Configuration key Server.channel_size_limit is smaller than allowed minimum of 1")
	for _, value := range []string{"1_000", "1M"} {
		wantConfigRefused(t, nodetest.Set(size, value),
			"Critical Error: Configuration key 'Server:channel_size_limit' appears not to be of type 'ulong'")
	}
	wantConfigRefused(t, nodetest.Set("Server.port", "10000 # x"),
		"Critical Error: Configuration key 'Server:port' appears not to be of type 'ushort'")
	nodetest.Start(t, nodetest.Set(size, "0x100000"), nodetest.EditConfig(func(text string) string {
		text = strings.Replace(text, "\nport = ", "\nport =\n", 1)
		return strings.ReplaceAll(text, "\n", "\r\n")
	}))
}

// What a start leaves to see.
func TestCheck05NormalStart(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	node.WaitLog(`listening path=dmqnode\.socket`)
	pid, err := os.ReadFile(node.Path("dmqnode.pid"))
	nodetest.Must(t, err)
	if dir, err := os.Readlink("/proc/" + strings.TrimSuffix(string(pid), "\n") + "/cwd"); err != nil || dir != node.Path("") {
		t.Errorf("dmqnode.pid has %q, whose directory is %q, error %v; want that of a process in %s", pid, dir, err, node.Path(""))
	}
	if !strings.HasSuffix(string(pid), "\n") {
		t.Errorf("dmqnode.pid has %q, want a line", pid)
	}
	if info, err := os.Stat(node.Path("dmqnode.socket")); err != nil || info.Mode().Perm() != 0o775 {
		t.Errorf("the control socket: got %v, error %v; want mode 0775", info, err)
	}
	version, err := os.ReadFile(node.Path("log/version.log"))
	nodetest.Must(t, err)
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

// Another node with the same pid file ends; the first one keeps file, data and control socket.
func TestCheck06SecondStart(t *testing.T) {
	t.Parallel()
	first := nodetest.Start(t)
	clients.PushTo(t, first, "ch", "record")
	pid, err := os.ReadFile(first.Path("dmqnode.pid"))
	nodetest.Must(t, err)
	second := nodetest.Prepare(t, nodetest.Set("PidLock.path", first.Path("dmqnode.pid")))
	datadir.UseFixture(t, second, "loadfiles")
	datadir.WantFailedStart(t, second, "Couldn't lock the pid lock file '"+first.Path("dmqnode.pid")+
		"'. Probably another instance of the application is running.")
	if now, err := os.ReadFile(first.Path("dmqnode.pid")); err != nil || string(now) != string(pid) {
		t.Errorf("the pid file has %q, error %v; before %q", now, err, pid)
	}
	clients.Control(t, first).Do("list-credentials", "Registered credentials:", "test")
	clients.WantPops(t, first, "ch", "record")
}

// A start that fails says why and leaves every file as it was; when its reason is gone the
// next one has all the records (operations spec §4.2).
func TestCheck12FailedStartLeavesTheDumps(t *testing.T) {
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
			nodetest.Must(t, os.Remove(node.Path("etc/credentials")))
			return func() { node.Configure() }
		}, []string{"etc/credentials", "No such file"}},
		{"control socket taken", func(t *testing.T, node *nodetest.Node) func() {
			socket, err := net.Listen("unix", node.Path("dmqnode.socket"))
			nodetest.Must(t, err)
			return func() { socket.Close() }
		}, []string{"dmqnode.socket"}},
		{"ring directory missing and not to be made", func(t *testing.T, node *nodetest.Node) func() {
			nodetest.Must(t, os.WriteFile(node.Path("file"), nil, 0o644))
			node.Configure(nodetest.Set("Storage.ring_dir", node.Path("file/rings")))
			return func() { node.Configure(nodetest.Set("Storage.ring_dir", "")) }
		}, []string{"ring_dir", "/file", "not a directory"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Prepare(t)
			datadir.UseFixture(t, node, "loadfiles")
			repair := test.prepare(t, node)
			datadir.WantFailedStart(t, node, test.reason...)
			repair()
			node.Restart()
			clients.WantPops(t, node, "ch2", "Hello ch2!", "Hello ch2!")
			clients.WantQueue(t, node, "ch1", "sub1", "Hello ch1!", "Hello ch1!")
		})
	}
}
