package operations

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/neoclient"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// The commands of the node, and what is none (neo protocol spec §5, operations spec §6).
func TestControlCommands(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Credentials(clients.FixedClients))
	if info, err := os.Stat(node.Path("dmqnode.socket")); err != nil || info.Mode().Perm() != 0o775 {
		t.Errorf("the socket file: got %v, error %v; want mode 0775", info, err)
	}
	c := clients.Control(t, node)
	list := []string{"Registered credentials:", "a", "client1"} // the order is not promised; ours is alphabetical
	c.Do("list-credentials", list...)
	c.Do("update-credentials", "Credentials updated.")
	c.Do("\n  list-credentials\t\r", list...)
	for _, command := range []string{"list-credentials x", "update-credentials etc/other", "update-credentials  x"} {
		c.Do(command, "Error: No command arguments expected")
	}
	for _, command := range []string{"help", "LIST-CREDENTIALS", "list-credentials\tx", "update-credentialsx", "\xff"} {
		c.Do(command, "Command not found")
	}
	c.Do("update-credentials\nlist-credentials\nx", append(append([]string{"Credentials updated."}, list...), "Command not found")...)
	clients.Control(t, node).Do("list-credentials", list...)
	c.Do("list-credentials", list...)

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
func wantLogin(t *testing.T, node *nodetest.Node, name string, key [128]byte, accepted bool) *clients.NeoClient {
	t.Helper()
	c := clients.DialNeo(t, node)
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
	node := nodetest.Start(t, nodetest.Credentials("first:"+clients.HexKey(clients.CountingKey)+"\nboth:"+clients.HexKey(clients.CountingKey)+"\n"))
	first, both := wantLogin(t, node, "first", clients.CountingKey, true), wantLogin(t, node, "both", clients.CountingKey, true)
	k := first.MustConsume("update", "")
	wantLogin(t, node, "second", otherKey, false)
	begun, timestamp := clients.DialNeo(t, node), clients.TestLogin().Time // in the middle of its handshake
	nonce, err := begun.Introduce(timestamp)
	begun.Must(err)

	writeCredentials(t, node, " second :\t"+strings.ToUpper(clients.HexKey(otherKey))+" \r\n\nboth:"+clients.HexKey(otherKey))
	wantLogin(t, node, "second", otherKey, false) // not before the command
	c := clients.Control(t, node)
	c.Do("update-credentials", "Credentials updated.")
	c.Do("list-credentials", "Registered credentials:", "both", "second")
	wantLogin(t, node, "second", otherKey, true).Alive()
	wantLogin(t, node, "both", otherKey, true).Alive()
	wantLogin(t, node, "both", clients.CountingKey, false)
	wantLogin(t, node, "first", clients.CountingKey, false)
	begun.Must(begun.Answer("second", neoclient.Code(otherKey, timestamp, nonce)))
	both.MustPush("value", "update")
	k.WantRecords("value")
	first.Alive()

	// The last line for a name counts; an empty file lets nobody in.
	writeCredentials(t, node, "second:"+clients.HexKey(clients.CountingKey)+"\nsecond:"+clients.HexKey(otherKey)+"\n")
	c.Do("update-credentials", "Credentials updated.")
	c.Do("list-credentials", "Registered credentials:", "second")
	wantLogin(t, node, "second", otherKey, true).Alive()
	wantLogin(t, node, "second", clients.CountingKey, false)
	writeCredentials(t, node, "")
	c.Do("update-credentials", "Credentials updated.")
	c.Do("list-credentials", "Registered credentials:")
	wantLogin(t, node, "second", otherKey, false)
	k.Stop()
}

// Nothing that is wrong with the file changes anything (neo protocol spec §4.1, §4.2; operations spec §3).
func TestControlFaultyCredentials(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Credentials("first:"+clients.HexKey(clients.CountingKey)+"\nboth:"+clients.HexKey(clients.CountingKey)+"\n"))
	c := clients.Control(t, node)
	unchanged := func() {
		t.Helper()
		c.Do("list-credentials", "Registered credentials:", "both", "first")
		wantLogin(t, node, "first", clients.CountingKey, true).Alive()
		wantLogin(t, node, "second", otherKey, false)
	}
	second := "second:" + clients.HexKey(otherKey) + "\n"
	for _, fault := range []struct{ file, reply string }{
		{second + "\n\nthird:12\n", "Invalid key length 2 (should be 256) in registry file etc/credentials at line 4"},
		{second + ":" + clients.HexKey(clients.CountingKey) + "\n", "Empty name"},
		{second + " \t\n", "Empty name"},
		{second + "\r\n", "Empty name"},
		{second + strings.Repeat("n", 101) + ":" + clients.HexKey(clients.CountingKey) + "\n", "Name too long"},
		{second + "third\n", "Invalid key length 0 (should be 256)"},
		{second + "# a comment\n", "Invalid key length 0 (should be 256)"},
		{second + "#:comment\n", "Invalid key length 7 (should be 256)"},
		{second + "th ird:" + clients.HexKey(clients.CountingKey) + "\n", "Invalid name letter at position 2"},
		{second + "third:" + strings.Repeat("g", 256) + "\n", "Invalid key letter at position"},
		{strings.Repeat(second, 40_000), "Key registry file too large"},
	} {
		writeCredentials(t, node, fault.file)
		c.DoBegins("update-credentials", "Error updating credentials: "+fault.reply)
		unchanged()
	}
	if err := os.Remove(node.Path("etc/credentials")); err != nil {
		t.Fatal(err)
	}
	c.DoBegins("update-credentials", "Error updating credentials: open: No such file or directory on etc/credentials")
	unchanged()
	writeCredentials(t, node, second)
	c.Do("update-credentials", "Credentials updated.")
	wantLogin(t, node, "second", otherKey, true).Alive()
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
	nodetest.Eventually(t, "a new log file", func() bool { _, err := os.Stat(log); return err == nil })
	clients.Neo(t, node).Alive()
	clients.Control(t, node).Do("list-credentials", "Registered credentials:", "test")
}
