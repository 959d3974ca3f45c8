package clients

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// ControlClient is a connection to the control socket of a node.
type ControlClient struct {
	T    *testing.T
	Conn net.Conn
	In   *bufio.Reader
}

// Control connects to the socket of [Server] unix_socket_path.
func Control(t *testing.T, node *nodetest.Node) *ControlClient {
	t.Helper()
	return ControlAt(t, node, "dmqnode.socket")
}

// ControlAt connects to a socket of the instance.
func ControlAt(t *testing.T, node *nodetest.Node, name string) *ControlClient {
	t.Helper()
	conn, err := net.DialTimeout("unix", node.Path(name), nodetest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(nodetest.Patience))
	return &ControlClient{t, conn, bufio.NewReader(conn)}
}

// Do sends a line and requires lines in reply.
func (c *ControlClient) Do(command string, want ...string) {
	c.T.Helper()
	if _, err := c.Conn.Write([]byte(command + "\n")); err != nil {
		c.T.Fatal(err)
	}
	for _, line := range want {
		got, err := c.In.ReadString('\n')
		if err != nil || got != line+"\n" {
			c.T.Fatalf("%q: got %q, error %v; want %q", command, got, err, line)
		}
	}
}

// Ask sends a line and returns the first line of the reply.
func (c *ControlClient) Ask(command string) string {
	c.T.Helper()
	if _, err := c.Conn.Write([]byte(command + "\n")); err != nil {
		c.T.Fatal(err)
	}
	reply, err := c.In.ReadString('\n')
	if err != nil {
		c.T.Fatalf("%q: got %q, error %v", command, reply, err)
	}
	return reply
}

// DoBegins sends a line and requires a line in reply that begins with a text.
func (c *ControlClient) DoBegins(command, want string) {
	c.T.Helper()
	if _, err := c.Conn.Write([]byte(command + "\n")); err != nil {
		c.T.Fatal(err)
	}
	got, err := c.In.ReadString('\n')
	if err != nil || !strings.HasPrefix(got, want) {
		c.T.Fatalf("%q: got %q, error %v; want %q …", command, got, err, want)
	}
}
