package test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

func TestCheck07ControlSocket(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	c := dialControl(t, node)
	list := []string{"Registered credentials:", "test"}
	c.do("list-credentials", list...)
	c.do("update-credentials x", "Error: No command arguments expected")
	c.do("nonsense", "Command not found")
	writeCredentials(t, node, "test:"+hexKey(countingKey)+"\nbroken\n")
	c.do("update-credentials\nlist-credentials", append([]string{
		"Error updating credentials: Invalid key length 0 (should be 256) in registry file etc/credentials at line 2"}, list...)...)

	if _, err := c.conn.Write([]byte("list-credentials\n\nnonsense\nlist-cred")); err != nil {
		t.Fatal(err)
	}
	must(t, c.conn.(*net.UnixConn).CloseWrite())
	want := strings.Join(list, "\n") + "\nCommand not found\n"
	if rest, err := io.ReadAll(c.in); err != nil || string(rest) != want {
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
	c := dialSocket(t, node, "application.socket")
	version := strings.TrimSuffix(nodetest.Run(t, node.Path(""), "--version").Stdout, "\n")
	c.do("show_version", version)
	c.do("show_version whatever follows", version)
	c.do("list-credentials", "Command not found") // those are of the other socket

	c.do("reopen_files", "ERROR: missing name of the file to rotate.")
	c.do("reopen_files ./log/root.log", "ERROR: Could not rotate the file './log/root.log'")
	dir, err := filepath.EvalSymlinks(node.Path(""))
	must(t, err)
	for name, path := range map[string]string{
		"log/root.log": "log/root.log", "log/stats.log": filepath.Join(dir, "log/stats.log"), "log/version.log": "  log/version.log ",
	} {
		must(t, os.Rename(node.Path(name), node.Path(name+".old")))
		c.do("reopen_files "+path, "ACK")
		if _, err := os.Stat(node.Path(name)); err != nil {
			t.Errorf("reopen_files %s: %v", path, err)
		}
	}
	// Those before the wrong one are reopened, those behind it are not.
	for _, name := range []string{"root.log", "stats.log"} {
		must(t, os.Rename(node.Path("log/"+name), node.Path("log/"+name+".older")))
	}
	c.do("reopen_files log/root.log nonsense log/stats.log", "ERROR: Could not rotate the file 'nonsense'")
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
