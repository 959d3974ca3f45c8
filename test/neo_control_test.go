package test

import (
	"bufio"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// control is a connection to the control socket of a node.
type control struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// dialControl connects to the socket of [Server] unix_socket_path.
func dialControl(t *testing.T, node *nodetest.Node) *control {
	t.Helper()
	return dialSocket(t, node, "dmqnode.socket")
}

// dialSocket connects to a socket of the instance.
func dialSocket(t *testing.T, node *nodetest.Node, name string) *control {
	t.Helper()
	conn, err := net.DialTimeout("unix", node.Path(name), nodetest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(nodetest.Patience))
	return &control{t, conn, bufio.NewReader(conn)}
}

// do sends a line and requires lines in reply.
func (c *control) do(command string, want ...string) {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(command + "\n")); err != nil {
		c.t.Fatal(err)
	}
	for _, line := range want {
		got, err := c.in.ReadString('\n')
		if err != nil || got != line+"\n" {
			c.t.Fatalf("%q: got %q, error %v; want %q", command, got, err, line)
		}
	}
}

// The commands of the node, and what is none (neo protocol spec §5, operations spec §6).
func TestControlCommands(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Credentials(fixedClients))
	if info, err := os.Stat(node.Path("dmqnode.socket")); err != nil || info.Mode().Perm() != 0o775 {
		t.Errorf("the socket file: got %v, error %v; want mode 0775", info, err)
	}
	c := dialControl(t, node)
	list := []string{"Registered credentials:", "a", "client1"} // the order is not promised; ours is alphabetical
	c.do("list-credentials", list...)
	c.do("update-credentials", "Credentials updated.")
	c.do("\n  list-credentials\t\r", list...)
	for _, command := range []string{"list-credentials x", "update-credentials etc/other", "update-credentials  x"} {
		c.do(command, "Error: No command arguments expected")
	}
	for _, command := range []string{"help", "LIST-CREDENTIALS", "list-credentials\tx", "update-credentialsx", "\xff"} {
		c.do(command, "Command not found")
	}
	c.do("update-credentials\nlist-credentials\nx", append(append([]string{"Credentials updated."}, list...), "Command not found")...)
	dialControl(t, node).do("list-credentials", list...)
	c.do("list-credentials", list...)

	if status := node.Stop(); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
	if _, err := os.Lstat(node.Path("dmqnode.socket")); !os.IsNotExist(err) {
		t.Errorf("the socket file after the end: got %v, want none", err)
	}
}

// otherKey is not that of any client at first.
var otherKey = [128]byte{1, 2, 3}

// writeCredentials replaces etc/credentials.
func writeCredentials(t *testing.T, node *nodetest.Node, text string) {
	t.Helper()
	if err := os.WriteFile(node.Path("etc/credentials"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// wantLogin requires a client to be accepted, or to be rejected.
func wantLogin(t *testing.T, node *nodetest.Node, name string, key [128]byte, accepted bool) *neo {
	t.Helper()
	c := dialNeo(t, node)
	err := c.Authenticate(neoclient.Now(name, key))
	if accepted != (err == nil) || err != nil && !errors.Is(err, neoclient.ErrRejected) {
		t.Fatalf("client %s: got %v, want to be accepted: %v", name, err, accepted)
	}
	return c
}

// A reload replaces the whole table for handshakes from then on. Connections that are there
// stay, even those of clients that are no longer in it (neo protocol spec §4.2, §18, point 3).
func TestControlUpdateCredentials(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Credentials("first:"+hexKey(countingKey)+"\nboth:"+hexKey(countingKey)+"\n"))
	first, both := wantLogin(t, node, "first", countingKey, true), wantLogin(t, node, "both", countingKey, true)
	k := first.consume("update", "")
	wantLogin(t, node, "second", otherKey, false)
	begun, timestamp := dialNeo(t, node), testLogin().Time // in the middle of its handshake
	nonce, err := begun.Introduce(timestamp)
	begun.must(err)

	writeCredentials(t, node, " second :\t"+strings.ToUpper(hexKey(otherKey))+" \r\n\nboth:"+hexKey(otherKey))
	wantLogin(t, node, "second", otherKey, false) // not before the command
	c := dialControl(t, node)
	c.do("update-credentials", "Credentials updated.")
	c.do("list-credentials", "Registered credentials:", "both", "second")
	wantLogin(t, node, "second", otherKey, true).alive()
	wantLogin(t, node, "both", otherKey, true).alive()
	wantLogin(t, node, "both", countingKey, false)
	wantLogin(t, node, "first", countingKey, false)
	begun.must(begun.Answer("second", neoclient.Code(otherKey, timestamp, nonce)))
	both.push("value", "update")
	k.wantRecords("value")
	first.alive()

	// The last line for a name counts; an empty file lets nobody in.
	writeCredentials(t, node, "second:"+hexKey(countingKey)+"\nsecond:"+hexKey(otherKey)+"\n")
	c.do("update-credentials", "Credentials updated.")
	c.do("list-credentials", "Registered credentials:", "second")
	wantLogin(t, node, "second", otherKey, true).alive()
	wantLogin(t, node, "second", countingKey, false)
	writeCredentials(t, node, "")
	c.do("update-credentials", "Credentials updated.")
	c.do("list-credentials", "Registered credentials:")
	wantLogin(t, node, "second", otherKey, false)
	k.stop()
}

// Nothing that is wrong with the file changes anything (neo protocol spec §4.1, §4.2; operations spec §3).
func TestControlFaultyCredentials(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Credentials("first:"+hexKey(countingKey)+"\nboth:"+hexKey(countingKey)+"\n"))
	c := dialControl(t, node)
	unchanged := func() {
		t.Helper()
		c.do("list-credentials", "Registered credentials:", "both", "first")
		wantLogin(t, node, "first", countingKey, true).alive()
		wantLogin(t, node, "second", otherKey, false)
	}
	second := "second:" + hexKey(otherKey) + "\n"
	for _, fault := range []struct{ file, reply string }{
		{second + "\n\nthird:12\n", "Invalid key length 2 (should be 256) in registry file etc/credentials at line 4"},
		{second + ":" + hexKey(countingKey) + "\n", "Empty name"},
		{second + " \t\n", "Empty name"},
		{second + "\r\n", "Empty name"},
		{second + longName + "n:" + hexKey(countingKey) + "\n", "Name too long"},
		{second + "third\n", "Invalid key length 0 (should be 256)"},
		{second + "# a comment\n", "Invalid key length 0 (should be 256)"},
		{second + "#:comment\n", "Invalid key length 7 (should be 256)"},
		{second + "th ird:" + hexKey(countingKey) + "\n", "Invalid name letter at position 2"},
		{second + "third:" + strings.Repeat("g", 256) + "\n", "Invalid key letter at position"},
		{strings.Repeat(second, 40_000), "Key registry file too large"},
	} {
		writeCredentials(t, node, fault.file)
		c.doBegins("update-credentials", "Error updating credentials: "+fault.reply)
		unchanged()
	}
	if err := os.Remove(node.Path("etc/credentials")); err != nil {
		t.Fatal(err)
	}
	c.doBegins("update-credentials", "Error updating credentials: open: No such file or directory on etc/credentials")
	unchanged()
	writeCredentials(t, node, second)
	c.do("update-credentials", "Credentials updated.")
	wantLogin(t, node, "second", otherKey, true).alive()
}

// A SIGHUP reopens the log files and leaves the credentials alone (neo protocol spec §4.2).
func TestHangupDoesNotReloadCredentials(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t)
	log := node.Path("log/root.log")
	for _, err := range []error{
		os.WriteFile(node.Path("etc/credentials"), nil, 0o600),
		os.Rename(log, log+".old"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	node.Signal(syscall.SIGHUP)
	eventually(t, "a new log file", func() bool { _, err := os.Stat(log); return err == nil })
	connect(t, node).alive()
	dialControl(t, node).do("list-credentials", "Registered credentials:", "test")
}

// doBegins sends a line and requires a line in reply that begins with a text.
func (c *control) doBegins(command, want string) {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(command + "\n")); err != nil {
		c.t.Fatal(err)
	}
	got, err := c.in.ReadString('\n')
	if err != nil || !strings.HasPrefix(got, want) {
		c.t.Fatalf("%q: got %q, error %v; want %q …", command, got, err, want)
	}
}
