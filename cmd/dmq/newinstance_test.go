package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/client"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// A node starts in what new-instance makes, and lets in whoever has the key.
func TestToolNewInstance(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	mustTool(t, "", "new-instance", dir, "-O", "Server.address=127.0.0.1", "--set", "Server.port = 0",
		"-O", "Server.neoport=0", "-O", "LOG.Root.console=true")
	node := exec.Command(nodetest.Binary(t), "-c", "etc/config.ini")
	node.Dir = dir
	stdout, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	defer node.Process.Kill()
	lines, address := bufio.NewScanner(stdout), ""
	for found := false; !found && lines.Scan(); {
		_, address, found = strings.Cut(lines.Text(), "listening for neo clients address=")
	}
	mustTool(t, "", "push", "jobs", "x", "-a", address, "-c", filepath.Join(dir, "etc/credentials"))
	if err := node.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	if err := node.Wait(); err != nil {
		t.Errorf("the node ended with %v", err)
	}
	check(t, runTool(t, "", "new-instance", dir), 1, "", "is an instance already")
}

func TestNewInstance(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"etc", "log"} { // as the packages make them
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	got := dmq(t.Context(), nil, "new-instance", dir, "-O", "Http.port=10080", "-O", "LOG.Root.level=warn", "--json")
	check(t, got, 0, `{"instance":"`+dir+`"}`+"\n", "")
	c, _, err := config.Load(filepath.Join(dir, "etc/config.ini"), nil, false)
	if err != nil || c.HTTP.Port != 10080 || c.Server.Port != 10000 || c.Log.Loggers[0].Level != config.LevelWarn {
		t.Errorf("got %+v, %v", c, err)
	}
	file := filepath.Join(dir, "etc/credentials")
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("credentials: got %v, %v", info, err)
	}
	if key, err := client.LoadCredentials(file); err != nil || key.Name != "dmq" || key.Key == [client.KeySize]byte{} {
		t.Errorf("got credentials of %s, %v", key.Name, err)
	}

	if err := os.WriteFile(filepath.Join(dir, "dmqnode.pid"), nil, 0o600); err != nil { // as of a node that runs there
		t.Fatal(err)
	}
	check(t, dmq(t.Context(), nil, "new-instance", dir), 1, "", "is an instance already")

	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "notes"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args   []string
		status int
		stderr string
	}{
		{[]string{other}, 1, "something else in it already: notes"},
		{[]string{filepath.Join(other, "notes")}, 1, "not a directory"},
		{[]string{filepath.Join(other, "a", "b")}, 1, "no such file or directory"},
		{[]string{filepath.Join(other, "a", "b")}, 1, "mkdir -p " + filepath.Join(other, "a")},
		{[]string{""}, 2, "DIR is empty"},
		{[]string{other, "-O", "Server.prot=1"}, 2, "has no key prot in [Server]"},
		{[]string{other, "-O", "Server.port=x"}, 2, "etc/config.ini"},
		{[]string{other, "-O", "port=1"}, 2, "invalid override"},
		{nil, 2, "needs exactly a DIR"},
	} {
		check(t, dmq(t.Context(), nil, append([]string{"new-instance"}, tc.args...)...), tc.status, "", tc.stderr)
	}
}

// What is made inside of the directory does not leave it through a link.
func TestNewInstanceFollowsNoLinks(t *testing.T) {
	dir, elsewhere := t.TempDir(), t.TempDir()
	if err := os.Symlink(elsewhere, filepath.Join(dir, "etc")); err != nil {
		t.Fatal(err)
	}
	got := dmq(t.Context(), nil, "new-instance", dir)
	check(t, got, 1, "", "escapes")
	if files, _ := os.ReadDir(elsewhere); len(files) > 0 {
		t.Errorf("got %v elsewhere", files)
	}
}
