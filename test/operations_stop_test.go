package test

import (
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// At SIGTERM clients of every kind see the end of the stream; what they did not confirm, and
// what nobody asked for, is in dumps.
func TestCheck11StopWithClientsOfEveryKind(t *testing.T) {
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

// Further signals during a stop change nothing (operations spec §5.2).
func TestSignalsDuringTheStop(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	blockedConsumer(t, node, "blocked") // whose connection takes a moment to end
	pushTo(t, node, "plain", "kept")
	pid, err := strconv.Atoi(strings.TrimSpace(readFile(t, node, "dmqnode.pid")))
	must(t, err)
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
