package operations

import (
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/datadir"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// At SIGTERM clients of every kind see the end of the stream; what they did not confirm, and
// what nobody asked for, is in dumps.
func TestCheck11StopWithClientsOfEveryKind(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	idle, consumer := clients.Legacy(t, node), clients.Legacy(t, node)
	idle.Alive()
	consumer.MustConsume("legacy")
	neoIdle, neoConsumer := clients.Neo(t, node), clients.Neo(t, node)
	neoConsumer.MustConsume("neo", "a")
	held := clients.Neo(t, node)
	k := held.MustConsume("held", "a")
	control, err := net.Dial("unix", node.Path("dmqnode.socket"))
	nodetest.Must(t, err)
	defer control.Close()
	clients.PushTo(t, node, "plain", "kept")
	clients.PushTo(t, node, "held", "unconfirmed")
	k.WantBatch("unconfirmed")

	if status := node.Stop(); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
	idle.WantEOF()
	consumer.WantEOF()
	neoIdle.WantClose()
	neoConsumer.WantClose()
	held.WantClose()
	if n, err := control.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("control client: got %d bytes, error %v; want the end of the stream", n, err)
	}
	for _, name := range []string{"dmqnode.pid", "dmqnode.socket"} {
		if _, err := os.Lstat(node.Path(name)); !os.IsNotExist(err) {
			t.Errorf("%s: got %v, want no such file", name, err)
		}
	}
	datadir.WantStopped(t, node.Path("data"), map[string][]string{
		"plain": {"kept"}, "a@held": {"unconfirmed"}, "@legacy": nil, "a@neo": nil,
	})
}

// Further signals during a stop change nothing (operations spec §5.2).
func TestSignalsDuringTheStop(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	clients.BlockedConsumer(t, node, "blocked") // whose connection takes a moment to end
	clients.PushTo(t, node, "plain", "kept")
	pid, err := strconv.Atoi(strings.TrimSpace(readFile(t, node, "dmqnode.pid")))
	nodetest.Must(t, err)
	node.Signal(syscall.SIGTERM)
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP} {
		syscall.Kill(pid, signal) // it may have ended
	}
	if status := node.Wait(); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
	if _, err := os.Stat(node.Path("data/plain.rq")); err != nil {
		t.Errorf("no dump: %v", err)
	}
}
