package operations

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

func TestCheck07ControlSocket(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c := clients.Control(t, node)
	list := []string{"Registered credentials:", "test"}
	c.Do("list-credentials", list...)
	c.Do("update-credentials x", "Error: No command arguments expected")
	c.Do("nonsense", "Command not found")
	writeCredentials(t, node, "test:"+clients.HexKey(clients.CountingKey)+"\nbroken\n")
	c.Do("update-credentials\nlist-credentials", append([]string{
		"Error updating credentials: Invalid key length 0 (should be 256) in registry file etc/credentials at line 2"}, list...)...)

	if _, err := c.Conn.Write([]byte("list-credentials\n\nnonsense\nlist-cred")); err != nil {
		t.Fatal(err)
	}
	nodetest.Must(t, c.Conn.(*net.UnixConn).CloseWrite())
	want := strings.Join(list, "\n") + "\nCommand not found\n"
	if rest, err := io.ReadAll(c.In); err != nil || string(rest) != want {
		t.Errorf("after a half-close: got %q, error %v, want %q", rest, err, want)
	}
}

// The application socket (operations spec §6.2).
func TestApplicationSocket(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("UNIX_SOCKET.path", "application.socket"), nodetest.Set("UNIX_SOCKET.mode", "0700"))
	if info, err := os.Stat(node.Path("application.socket")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the socket file: got %v, error %v; want mode 0700", info, err)
	}
	c := clients.ControlAt(t, node, "application.socket")
	version := strings.TrimSuffix(nodetest.Run(t, node.Path(""), "--version").Stdout, "\n")
	c.Do("show_version", version)
	c.Do("show_version whatever follows", version)
	c.Do("list-credentials", "Command not found") // those are of the other socket

	c.Do("reopen_files", "ERROR: missing name of the file to rotate.")
	c.Do("reopen_files ./log/root.log", "ERROR: Could not rotate the file './log/root.log'")
	dir, err := filepath.EvalSymlinks(node.Path(""))
	nodetest.Must(t, err)
	for name, path := range map[string]string{
		"log/root.log": "log/root.log", "log/stats.log": filepath.Join(dir, "log/stats.log"), "log/version.log": "  log/version.log ",
	} {
		nodetest.Must(t, os.Rename(node.Path(name), node.Path(name+".old")))
		c.Do("reopen_files "+path, "ACK")
		if _, err := os.Stat(node.Path(name)); err != nil {
			t.Errorf("reopen_files %s: %v", path, err)
		}
	}
	// Those before the wrong one are reopened, those behind it are not.
	for _, name := range []string{"root.log", "stats.log"} {
		nodetest.Must(t, os.Rename(node.Path("log/"+name), node.Path("log/"+name+".older")))
	}
	c.Do("reopen_files log/root.log nonsense log/stats.log", "ERROR: Could not rotate the file 'nonsense'")
	if _, err := os.Stat(node.Path("log/root.log")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(node.Path("log/stats.log")); !os.IsNotExist(err) {
		t.Errorf("log/stats.log: got error %v, want no such file", err)
	}
	if status := node.Stop(); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
	if _, err := os.Lstat(node.Path("application.socket")); !os.IsNotExist(err) {
		t.Errorf("the socket file after the end: got %v, want none", err)
	}
}
