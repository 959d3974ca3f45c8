package storage

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// queueFiles returns the files of that kind that say that they are of a queue.
func queueFiles(t *testing.T, node *nodetest.Node, kind, queue string) (paths []string) {
	t.Helper()
	all, err := filepath.Glob(node.Path("data/" + kind + "-*.dat"))
	nodetest.Must(t, err)
	for _, path := range all {
		content, err := os.ReadFile(path)
		nodetest.Must(t, err)
		if bytes.Contains(content[:min(4096, len(content))], []byte(queue+"\x00")) {
			paths = append(paths, path)
		}
	}
	if len(paths) == 0 {
		t.Fatalf("no file of kind %s is of queue %s: %v", kind, queue, all)
	}
	return paths
}

// popAll takes what a plain channel has. These must be records that were pushed, in order.
func popAll(t *testing.T, node *nodetest.Node, channel string) (numbers []int) {
	t.Helper()
	c := clients.Neo(t, node)
	for {
		status, value, err := c.Pop(channel)
		nodetest.Must(t, err)
		if status == clients.PopEmpty {
			break
		}
		n, err := clients.RecordNumber(string(value), 100)
		nodetest.Must(t, err)
		if len(numbers) > 0 && n <= numbers[len(numbers)-1] {
			t.Fatalf("record %d comes behind %d", n, numbers[len(numbers)-1])
		}
		numbers = append(numbers, n)
	}
	c.Must(c.Close())
	return numbers
}

// Somebody cuts a file of a queue under a running node, so that touching the pages that are gone
// would end the process, as would those of a disk that fails. The records that were there are lost,
// which the log says; everything else goes on.
func TestFileIsCutUnderARunningNode(t *testing.T) {
	const records = 3000
	for _, kind := range []string{"ring", "spill"} {
		for _, size := range []int64{0, 4096, 150_000} {
			t.Run(fmt.Sprintf("%s to %d bytes", kind, size), func(t *testing.T) {
				t.Parallel()
				limit := "1000"
				if kind == "ring" {
					limit = "10000000"
				}
				node := nodetest.Start(t, nodetest.Set("Server.channel_size_limit", limit))
				clients.ProduceTo(t, node, "victim", 0, records)
				clients.ProduceTo(t, node, "other", 0, records)
				clients.WantFirst(t, node, "victim", clients.Numbered(0, 20, 100)...)
				file := queueFiles(t, node, kind, "victim")[0]
				nodetest.Must(t, os.Truncate(file, size))

				got := popAll(t, node, "victim")
				node.WaitLog(`^Error .*victim.*` + regexp.QuoteMeta(filepath.Base(file)))
				most := int(size) / 108
				if len(got) > most {
					t.Errorf("%d records were handed out, the file has room for %d", len(got), most)
				}
				if least := most - 16*1024/108 - 50; len(got) < least {
					t.Errorf("%d records were handed out, about %d are in the file", len(got), most)
				}
				clients.PushTo(t, node, "victim", clients.Numbered(records, records+10, 100)...)
				clients.WantPops(t, node, "victim", clients.Numbered(records, records+10, 100)...)
				clients.WantPops(t, node, "other", clients.Numbered(0, records, 100)...)
				clients.ProduceTo(t, node, "other", 0, 10)
				if code := node.Stop(); code != 0 {
					t.Errorf("exit status %d", code)
				}
				node.Launch()
				clients.WantPops(t, node, "other", clients.Numbered(0, 10, 100)...)
			})
		}
	}
}

// The catalogue is cut: queues that there are go on; what it would have to tell is refused.
func TestCatalogueIsCutUnderARunningNode(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.SmallRings)
	clients.ProduceTo(t, node, "ch", 0, 300)
	nodetest.Must(t, os.Truncate(node.Path("data/catalogue.dat"), 0))
	c := clients.Neo(t, node)
	c.MustStart(neoclient.PushPayload([]byte("record"), "another"))
	node.WaitLog(`^Error .*another.*catalogue\.dat, offset`)
	clients.WantFirst(t, node, "ch", clients.Numbered(0, 100, 100)...)
	node.Kill()
	node.Restart()
	clients.WantPops(t, node, "ch", clients.Numbered(100, 300, 100)...)
}
