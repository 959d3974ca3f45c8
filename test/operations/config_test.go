package operations

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// What is likely to be a mistake in the configuration does not keep a node from starting, but is
// told: on stderr and in the log.
func TestConfigurationWarnings(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.EditConfig(func(text string) string {
		return text + "\n[Htpp]\nport = 10080\n"
	}))
	const want = "section [Htpp] is not one of the node, its keys are ignored; did you mean Http?"
	if !strings.Contains(node.Console(), "#### WARNING: etc/config.ini: "+want) {
		t.Errorf("no warning on stderr:\n%s", node.Console())
	}
	node.WaitLog(`^Warn \[dmqnode\.main\] - etc/config\.ini: section \[Htpp\] is not one of the node`)
}

// A line without "=" is not taken for the second half of a path.
func TestBrokenDataDir(t *testing.T) {
	t.Parallel()
	node := nodetest.Prepare(t, nodetest.Set("Server.data_dir", "data\nconnection_limit 10"))
	node.Launch()
	if status := node.Wait(); status != 1 {
		t.Errorf("got exit status %d, want 1", status)
	}
	const want = `Configuration key Server.data_dir has a value of several lines: "connection_limit 10" has no '=' and continues "data" (`
	if got := node.Console(); !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q …", got, want)
	}
}

// A new data directory beside the one that a node has used is told, with the name of both.
func TestOtherDataDir(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	if strings.Contains(node.Console(), "data directory") {
		t.Errorf("the first start warns:\n%s", node.Console())
	}
	clients.PushTo(t, node, "jobs", "a record")
	node.Stop()
	node.Configure(nodetest.Set("Server.data_dir", "data # the old one"))
	node.Restart()
	const want = `#### WARNING: data directory "data # the old one" is new, but a node has run here before (`
	if text := node.Console(); !strings.Contains(text, want) || !strings.Contains(text, `perhaps in "data"`) {
		t.Errorf("no warning %q … that names the old directory in\n%s", want, text)
	}
	node.WaitLog(`^Warn \[dmqnode\.main\] - data directory "data # the old one" is new`)
}

// A data directory that is a link to nowhere, a disk that is not mounted for example.
func TestDanglingDataDir(t *testing.T) {
	t.Parallel()
	node := nodetest.Prepare(t)
	nodetest.Must(t, os.Symlink("/nowhere/data", node.Path("data")))
	node.Launch()
	if status := node.Wait(); status != 1 {
		t.Errorf("got exit status %d, want 1", status)
	}
	const want = "data directory data is a link to /nowhere/data, which does not exist: is it mounted?\n"
	if got := node.Console(); !strings.HasPrefix(got+"\n", want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A SIGHUP is answered: in the log, or, when log files are gone, on stderr.
func TestRotationIsTold(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	node.Signal(syscall.SIGHUP)
	node.WaitLog(`^Info \[dmqnode\.main\] - log files reopened$`)
	nodetest.Must(t, os.Rename(node.Path("log"), node.Path("elsewhere")))
	node.Signal(syscall.SIGHUP)
	const want = "log files could not be reopened, going on with the old ones: "
	nodetest.Eventually(t, "an error on stderr", func() bool {
		return strings.Contains("\n"+node.Console(), "\n"+want)
	})
	nodetest.Must(t, os.Rename(node.Path("elsewhere"), node.Path("log")))
}

// Keys that everybody can read are told.
func TestReadableCredentials(t *testing.T) {
	t.Parallel()
	node := nodetest.Prepare(t)
	nodetest.Must(t, os.Chmod(node.Path("etc/credentials"), 0o644))
	node.Restart()
	node.WaitLog(`^Warn \[dmqnode\.main\] - everybody on this machine can read the keys of clients in etc/credentials, mode 0644: chmod o= etc/credentials$`)
}
