package operations

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// What an operator sees when a start fails: the object, the reason, and what to do.
func TestErrorsAtStart(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	nodetest.Must(t, err)
	t.Cleanup(func() { taken.Close() })
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	set := func(key, value string) func(*testing.T, *nodetest.Node) {
		return func(_ *testing.T, node *nodetest.Node) { node.Configure(nodetest.Set(key, value)) }
	}
	remove := func(name string) func(*testing.T, *nodetest.Node) {
		return func(t *testing.T, node *nodetest.Node) { nodetest.Must(t, os.RemoveAll(node.Path(name))) }
	}
	create := func(name string) func(*testing.T, *nodetest.Node) {
		return func(t *testing.T, node *nodetest.Node) { nodetest.Must(t, os.WriteFile(node.Path(name), nil, 0o644)) }
	}
	for _, c := range []struct {
		name    string
		prepare func(*testing.T, *nodetest.Node)
		want    []string
	}{
		{"port in use", set("Server.port", port),
			[]string{"legacy listener on 127.0.0.1:" + port, "address already in use", "another process listens on that port"}},
		{"address of another machine", set("Server.address", "192.0.2.1"),
			[]string{"legacy listener on 192.0.2.1:0", "cannot assign requested address", "0.0.0.0 for all"}},
		{"no log directory", remove("log"),
			[]string{"[LOG.Root] file: open log/root.log: no such file or directory", "directory of a log file must exist", "DIR"}},
		{"no directory for statistics", set("STATS.file_name", "nowhere/stats.log"),
			[]string{"[STATS] file_name: open nowhere/stats.log: no such file or directory", "directory of a log file must exist", "DIR"}},
		{"no credentials", remove("etc/credentials"),
			[]string{"open: No such file or directory on etc/credentials", "NAME:KEY", "DIR"}},
		{"bad credentials", func(_ *testing.T, node *nodetest.Node) { node.Configure(nodetest.Credentials("\n\nname:key\n")) },
			[]string{"Invalid key length 3 (should be 256) in registry file etc/credentials at line 3", "NAME:KEY"}},
		{"data is a file", create("data"), []string{"data directory: mkdir data: not a directory", "remove it, or configure another path"}},
		{"data in a file", set("Server.data_dir", "/dev/null/data"), []string{"/dev/null", "not a directory", "configure another path"}},
		{"data where nothing can be written", set("Server.data_dir", "/proc/data"), []string{"data directory: mkdir /proc/data: no such file or directory"}},
		{"control socket is a directory", func(t *testing.T, node *nodetest.Node) {
			nodetest.Must(t, os.Mkdir(node.Path("dmqnode.socket"), 0o755))
		},
			[]string{"UNIX socket dmqnode.socket", "directory", "remove it, or configure another path"}},
		{"no directory for the control socket", set("Server.unix_socket_path", "run/dmqnode.socket"),
			[]string{"UNIX socket run/dmqnode.socket", "the directory of a socket must exist", "DIR"}},
		{"no directory for the pid file", set("PidLock.path", "run/dmqnode.pid"),
			[]string{"open run/dmqnode.pid: no such file or directory", "DIR"}},
		{"no such CPU", set("Server.cpu", "1000"), []string{"CPU 1000", "no such CPU", "[Server] cpu = -1 is for all"}},
		{"ring larger than any machine", set("Server.channel_size_limit", "1000000000000000"),
			[]string{"Configuration key Server.channel_size_limit is bigger than allowed maximum of 70368744177664"}},
		{"too few descriptors", func(_ *testing.T, node *nodetest.Node) { node.Configure(nodetest.OpenFiles(14)) },
			[]string{"oo many open files", "raise the limit (ulimit -n, LimitNOFILE=)"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			node := nodetest.Prepare(t)
			c.prepare(t, node)
			node.Launch()
			if status := node.Wait(); status != 1 {
				t.Errorf("got exit status %d, want 1", status)
			}
			text := strings.ReplaceAll(node.Console(), node.Path(""), "DIR")
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
		})
	}
}

// A node with fewer descriptors than its connections need starts, and says so.
func TestDescriptorWarning(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.OpenFiles(100), nodetest.Set("Server.connection_limit", "50"))
	node.WaitLog(`^Warn \[dmqnode\.main\] - file descriptors may run out before connection_limit is reached: .* limit=100 wanted=130$`)
}

// A ring for which there is no memory costs its channel, and the log says what to do.
func TestNoMemoryForARing(t *testing.T) {
	t.Parallel()
	if nodetest.RaceEnabled {
		t.Skip("the race detector needs the address space for itself")
	}
	node := nodetest.Start(t, nodetest.Limit(fmt.Sprintf("-v %d", 4<<20)), // KiB
		nodetest.Set("Storage.ring", "memory"), nodetest.Set("ChannelSizeById.large", fmt.Sprint(64<<30)))
	clients.PushTo(t, node, "small", "record")
	clients.Legacy(t, node).MustDo(legacyclient.Request(legacyclient.Push, "large", "record"), legacyclient.Status(407))
	node.WaitLog(`^Error \[dmqnode\.main\] - request failed .*ring of 68719476736 bytes: mmap: cannot allocate memory.*channel_size_limit`)
	clients.WantPops(t, node, "small", "record")
}
