package storage

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// eventuallyReady waits until /readyz answers with a status, and returns its text.
func eventuallyReady(t *testing.T, node *nodetest.Node, want int) (text string) {
	t.Helper()
	nodetest.Eventually(t, "/readyz answers "+http.StatusText(want), func() bool {
		var status int
		status, text = nodetest.Page(t, node, "/readyz")
		return status == want
	})
	return text
}

// Somebody deletes the files under a running node: it says that what it has is not safe. At its
// end it saves the records if it can, and else does not promise that the next start has them.
func TestDataDirectoryIsDeleted(t *testing.T) {
	for _, mode := range []string{"dump", "keep"} {
		for name, remove := range map[string]func(data string) error{
			"directory": os.RemoveAll,
			"and made anew": func(data string) error {
				if err := os.RemoveAll(data); err != nil {
					return err
				}
				return os.Mkdir(data, 0o755)
			},
			"files": func(data string) error {
				files, err := filepath.Glob(data + "/*")
				for _, file := range files {
					if err := os.Remove(file); err != nil {
						return err
					}
				}
				return err
			},
		} {
			t.Run(mode+", "+name, func(t *testing.T) {
				t.Parallel()
				node := nodetest.StartWithHTTP(t, nodetest.SmallRings, nodetest.Set("Storage.stop", mode))
				clients.ProduceTo(t, node, "ch", 0, 30)
				eventuallyReady(t, node, http.StatusOK)
				node.Hang() // so that it makes no files meanwhile
				nodetest.Must(t, remove(node.Path("data")))
				node.Signal(syscall.SIGCONT)
				node.WaitLog(`^Error \[dmqnode\.storage\] - records will be LOST .*were deleted`)
				if text := eventuallyReady(t, node, http.StatusServiceUnavailable); !strings.Contains(text, "were deleted") {
					t.Errorf("/readyz does not say why: %s", text)
				}
				clients.WantFirst(t, node, "ch", clients.Numbered(0, 5, 100)...) // consumers can still save what is there
				saves := mode == "dump" && name != "directory"
				if status := node.Stop(); (status == 0) != saves {
					t.Errorf("got exit status %d; are the records saved: %t", status, saves)
				}
				if strings.Contains(node.Console(), "the next start of this node goes on with") {
					t.Error("the node promises that the next start has the records")
				}
				if n := strings.Count(node.Console(), "records will be LOST"); n != 1 {
					t.Errorf("%d lines tell of the loss, want 1", n)
				}
				if saves {
					node.Restart()
					clients.WantPops(t, node, "ch", clients.Numbered(5, 30, 100)...)
				}
			})
		}
	}
}

// The directory comes back: then all is well again.
func TestDataDirectoryIsMovedAndComesBack(t *testing.T) {
	t.Parallel()
	node := nodetest.StartWithHTTP(t, nodetest.SmallRings)
	clients.ProduceTo(t, node, "ch", 0, 30)
	nodetest.Must(t, os.Rename(node.Path("data"), node.Path("elsewhere")))
	eventuallyReady(t, node, http.StatusServiceUnavailable)
	nodetest.Must(t, os.Rename(node.Path("elsewhere"), node.Path("data")))
	eventuallyReady(t, node, http.StatusOK)
	clients.ProduceTo(t, node, "ch", 30, 60)
	node.Kill()
	node.Restart()
	clients.WantPops(t, node, "ch", clients.Numbered(0, 60, 100)...)
}
