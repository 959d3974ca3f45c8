package legacy

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/legacyclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// Each of the three signals ends the node: every connection, whatever it is doing, gets
// the end of the stream and nothing else; the exit status is 0 (legacy protocol spec §9,
// operations spec §5).
func TestShutdownEndsEveryConnection(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			node := nodetest.Start(t)
			consumer, producer, idle, fresh := clients.Legacy(t, node), clients.Legacy(t, node), clients.Legacy(t, node), clients.Legacy(t, node)
			consumer.MustConsume("consumed")
			idle.MustPush("consumed", "record")
			consumer.WantArray("record")
			producer.MustProduce("produced")
			producer.MustSend(append(legacyclient.Records("complete"), legacyclient.AppendLength(nil, 100)...))
			producer.MustSend([]byte("a partial record"))
			idle.Alive()

			node.Signal(signal)
			if status := node.Wait(); status != 0 {
				t.Errorf("got exit status %d, want 0", status)
			}
			for _, c := range []*clients.LegacyClient{consumer, producer, idle, fresh} {
				c.WantEOF()
			}
			if conn, err := legacyclient.Dial(node.Legacy()); err == nil {
				conn.Close()
				t.Error("a connection was accepted after the end of the node")
			}
			for _, file := range []string{"dmqnode.pid", "dmqnode.socket"} {
				if _, err := os.Lstat(node.Path(file)); !os.IsNotExist(err) {
					t.Errorf("%s after the end of the node: got %v, want no such file", file, err)
				}
			}
		})
	}
}

// A client that reads nothing does not hold up the shutdown.
func TestShutdownWithBlockedConsumers(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	var all []*clients.LegacyClient
	for i := range 3 {
		all = append(all, clients.BlockedConsumer(t, node, fmt.Sprintf("blocked%d", i)))
	}
	if status := node.Stop(); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
	for _, c := range all {
		want := 0
		for {
			text, err := c.Array()
			if err != nil {
				break // the end, possibly inside a record
			}
			if number, err := clients.RecordNumber(text, clients.BigRecord); err != nil || number != want {
				t.Fatalf("got record %d, error %v; want %d", number, err, want)
			}
			want++
		}
	}
}

// The configuration says port 0; a node that is started again serves again.
func TestRestart(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	clients.Legacy(t, node).MustPush("before", "value")
	if status := node.Stop(); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
	node.Restart()
	clients.Legacy(t, node).MustPush("after", "value")

	node.Kill() // leaves the pid file and the socket behind
	node.Restart()
	clients.Legacy(t, node).MustPush("again", "value")
}
