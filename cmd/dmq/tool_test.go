package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// The tests in tool_*_test.go run the built dmq against real nodes, as a user does.

// built is the one build of the tool in this test process.
var built struct {
	sync.Once
	err error
}

// scratch is a directory for the build and for what programs take for the user's settings.
var scratch string

// TestMain keeps what the user of this machine has configured out of the tests.
func TestMain(m *testing.M) {
	for _, name := range append(settable, "config", "profile") {
		os.Unsetenv(environment(name))
	}
	var err error
	if scratch, err = os.MkdirTemp("", "dmq-test-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Setenv("XDG_CONFIG_HOME", filepath.Join(scratch, "config"))
	status := nodetest.Main(m)
	os.RemoveAll(scratch)
	os.Exit(status)
}

func toolBinary(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		args := []string{"build", "-o", filepath.Join(scratch, "dmq")}
		if nodetest.RaceEnabled {
			args = append(args, "-race")
		}
		if output, err := exec.Command("go", append(args, ".")...).CombinedOutput(); err != nil {
			built.err = fmt.Errorf("building dmq: %w\n%s", err, output)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(scratch, "dmq")
}

// process is a running dmq.
type process struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
	ended          chan struct{}
}

// prepareTool is dmq before it starts.
func prepareTool(t *testing.T, stdin io.Reader, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(toolBinary(t), args...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "GORACE=halt_on_error=1 atexit_sleep_ms=0")
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = stdin, &p.stdout, &p.stderr
	return p
}

// startTool starts dmq. It is killed at the end of the test, if it still runs.
func startTool(t *testing.T, stdin io.Reader, args ...string) *process {
	t.Helper()
	p := prepareTool(t, stdin, args...)
	p.start()
	return p
}

func (p *process) start() {
	p.t.Helper()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.ended)
	}()
	p.t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.ended
	})
}

// wait waits for the end of the process.
func (p *process) wait() outcome {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(3 * nodetest.Patience):
		p.t.Fatalf("dmq %q does not end", p.cmd.Args[1:])
	}
	return outcome{p.cmd.ProcessState.ExitCode(), p.stdout.String(), p.stderr.String()}
}

// end sends a signal and waits.
func (p *process) end(signal os.Signal) outcome {
	p.t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
	return p.wait()
}

// runTool runs dmq to its end.
func runTool(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	return startTool(t, strings.NewReader(stdin), args...).wait()
}

// mustTool runs dmq, which has to succeed, and returns its standard output.
func mustTool(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	got := runTool(t, stdin, args...)
	if got.status != 0 {
		t.Fatalf("dmq %q: got %+v, want status 0", args, got)
	}
	return got.stdout
}

// credentialsFile is that of the client that nodes of package nodetest know.
func credentialsFile(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(name, []byte("test:"+strings.Repeat("0", 256)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// neoArgs are the options to reach nodes over neo, legacyArgs over legacy.
func neoArgs(t *testing.T, nodes ...*nodetest.Node) []string {
	t.Helper()
	args := []string{"-c", credentialsFile(t)}
	for _, node := range nodes {
		args = append(args, "-a", node.Neo())
	}
	return args
}

func legacyArgs(nodes ...*nodetest.Node) (args []string) {
	for _, node := range nodes {
		args = append(args, "-a", node.Legacy())
	}
	return args
}

// with joins a command line and options.
func with(command string, options ...[]string) []string {
	args := strings.Fields(command)
	for _, o := range options {
		args = append(args, o...)
	}
	return args
}

// waitFor waits until something is true.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(nodetest.Patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, nodetest.Patience)
		}
	}
}
