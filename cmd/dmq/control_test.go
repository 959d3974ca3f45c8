package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/control"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// Commands to the control sockets of a node, as a user gives them.
func TestToolControl(t *testing.T) {
	node := nodetest.Start(t, nodetest.Set("UNIX_SOCKET.path", "application.socket"))
	dir, application := node.Path("."), node.Path("application.socket")
	credentials := func(text string) {
		t.Helper()
		if err := os.WriteFile(node.Path("etc/credentials"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const listed = "Registered credentials:\n"
	check(t, runTool(t, "", "control", "list-credentials", "-i", dir), 0, listed+"test\n", "")
	credentials("one:" + strings.Repeat("1", 256) + "\n")
	check(t, runTool(t, "", "reload", dir), 0, "", "Credentials updated.")
	check(t, runTool(t, "", "control", "list-credentials", "-i", dir, "--json"), 0, `{"reply":"Registered credentials:\none\n"}`+"\n", "")
	credentials("one\n")
	check(t, runTool(t, "", "reload", dir), 1, "", "etc/credentials")
	check(t, runTool(t, "", "control", "list-credentials", "--socket", node.Path("dmqnode.socket")), 0, listed+"one\n", "")

	if got := mustTool(t, "", "control", "show_version", "--socket", application); !strings.Contains(got, "dmqnode version") {
		t.Errorf("got %q, want the version", got)
	}
	check(t, runTool(t, "", "control", "reopen_files", "log/root.log", "--socket", application), 0, "ACK\n", "")
	check(t, runTool(t, "", "control", "reopen_files", "log/none", "--socket", application), 1, "", "Could not rotate the file 'log/none'")
	check(t, runTool(t, "", "control", "foo", "-i", dir), 1, "", "Command not found")
	check(t, runTool(t, "", "control", "foo", "-i", dir), 1, "", "dmq control --help")
	check(t, runTool(t, "", "control", "a\nb", "-i", dir), 2, "", "one line")
	check(t, runTool(t, "", "control"), 2, "", "needs a COMMAND")
	check(t, runTool(t, "", "reload", t.TempDir()), 1, "", "name the directory of the node")

	credentials("two:" + strings.Repeat("2", 256) + "\n")
	stopped := nodetest.Start(t)
	stopped.Stop()
	check(t, runTool(t, "", "reload", stopped.Path("."), dir), 1, "", "not all nodes could be reached")
	check(t, runTool(t, "", "control", "list-credentials", "-i", dir), 0, listed+"two\n", "")
	check(t, runTool(t, "", "reload", stopped.Path(".")), 4, "", "does the node run there")
}

// The help of control, what a shell completes, and the manual of the node have all commands that there are.
func TestControlKnowsAllCommands(t *testing.T) {
	manual, err := os.ReadFile("../../deploy/man/dmqnode.8")
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{
		"the help":       mustTool(t, "", "control", "--help"),
		"the completion": mustTool(t, "", "__complete", "control", ""),
		"dmqnode(8)":     string(manual),
	}
	for _, commands := range []control.Commands{control.AdminCommands(nil), control.NodeCommands(nil), control.ApplicationCommands("", nil)} {
		for name := range commands {
			for where, text := range texts {
				if !regexp.MustCompile(`\b` + name + `\b`).MatchString(text) {
					t.Errorf("%s lacks %s", where, name)
				}
			}
		}
	}
}
