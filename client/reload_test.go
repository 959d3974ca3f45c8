package client_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/client/dmq"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// Nodes that were killed, or hang, go off the nodes file, as an operator would have it, and come
// back. Requests, a producer and a consumer that are there go on with those that are left, and
// no record that was taken is lost.
func TestNodesFileDropsDeadNodes(t *testing.T) {
	t.Parallel() // it waits for the limit
	eachProtocol(t, func(t *testing.T, address func(*nodetest.Node) string, open func(dmq.Options) dmq.Client) {
		alive, killed, hanging := nodetest.Start(t), nodetest.Start(t), nodetest.Start(t)
		file := filepath.Join(t.TempDir(), "nodes")
		list := func(nodes ...*nodetest.Node) {
			t.Helper()
			var lines []string
			for _, n := range nodes {
				lines = append(lines, address(n))
			}
			if err := os.WriteFile(file+".new", []byte(strings.Join(lines, "\n")), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(file+".new", file); err != nil {
				t.Fatal(err)
			}
		}
		list(alive, killed, hanging)
		limit := 2 * time.Second
		c := open(dmq.Options{NodesFile: file, ConnectTimeout: limit, RequestTimeout: limit})
		p := c.Producer(dmq.ProducerOptions{Retry: nodetest.Patience})
		consumer, err := c.Consume(patient(t), "news", dmq.ConsumeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer consumer.Close()
		if err := errors.Join(c.WaitConnected(patient(t), 0), consumer.WaitStarted(patient(t), 0)); err != nil {
			t.Fatal(err)
		}
		values := numbered(600)
		produce(t, p, "jobs", values[:300]...)
		if err := p.Flush(patient(t)); err != nil {
			t.Fatal(err)
		}

		killed.Kill()
		hanging.Hang()
		produce(t, p, "jobs", values[300:]...) // some of them to nodes that are no more
		list(alive)
		eventually(t, "one node", func() bool { return len(c.Nodes()) == 1 })
		err = errors.Join(p.Flush(patient(t)), c.Push(patient(t), []byte("meanwhile"), "news"))
		if err != nil {
			t.Fatal(err)
		}
		for record, err := range consumer.Records() {
			if err != nil || string(record.Value) != "meanwhile" || record.Node != address(alive) {
				t.Fatalf("got %+v, error %v", record, err)
			}
			break
		}

		hanging.Signal(syscall.SIGCONT)
		killed.Restart()
		list(alive, killed, hanging)
		eventually(t, "three nodes", func() bool { return len(c.Nodes()) == 3 })
		if err := errors.Join(c.WaitConnected(patient(t), 0), consumer.WaitStarted(patient(t), 3), p.Close(patient(t))); err != nil {
			t.Fatal(err)
		}
		missing := make(map[string]bool)
		for _, value := range values {
			missing[value] = true
		}
		for {
			value, err := c.Pop(patient(t), "jobs")
			if errors.Is(err, dmq.ErrEmpty) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			delete(missing, string(value))
		}
		if len(missing) > 0 {
			t.Errorf("%d of %d records are lost", len(missing), len(values))
		}
	})
}
