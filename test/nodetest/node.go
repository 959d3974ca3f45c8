package nodetest

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Patience is how long the tests wait for anything that has to happen. It only decides
// how fast a failure is reported.
const Patience = 2 * time.Minute

// The lines of logger dmqnode.main that say where the node listens.
var (
	legacyLine = regexp.MustCompile(`listening for legacy clients address=(\S+)`)
	neoLine    = regexp.MustCompile(`listening for neo clients address=(\S+)`)
)

// Node is a running dmqnode. Its methods belong to the test goroutine, since they end
// the test when they fail.
type Node struct {
	t     testing.TB
	dir   string
	setup *setup

	cmd     *exec.Cmd
	console *console
	legacy  string
	asked   bool          // the node has been told to end
	ended   chan struct{} // closed when the process is gone and its console read
}

// Start starts a node in a new instance directory and waits until it serves.
func Start(t testing.TB, options ...Option) *Node {
	t.Helper()
	n := Prepare(t, options...)
	n.start()
	return n
}

// Prepare makes a new instance directory and starts no node in it: Restart or Launch does.
func Prepare(t testing.TB, options ...Option) *Node {
	t.Helper()
	s := defaults()
	for _, option := range options {
		option(s)
	}
	n := &Node{t: t, dir: newInstance(t, s), setup: s}
	t.Cleanup(n.cleanup)
	return n
}

// Configure changes the configuration that the next start reads.
func (n *Node) Configure(options ...Option) {
	n.t.Helper()
	for _, option := range options {
		option(n.setup)
	}
	writeInstance(n.t, n.dir, n.setup)
}

// Launch starts the node in its directory and does not wait until it serves: it may end
// by itself, and Wait tells how.
func (n *Node) Launch() {
	n.t.Helper()
	if err := n.launch(); err != nil {
		n.t.Fatal(err)
	}
	n.asked = true
}

// Serves waits until a node that was launched serves, or has ended, and tells which.
func (n *Node) Serves() bool {
	n.t.Helper()
	match, err := n.console.wait(legacyLine, Patience)
	if err == nil {
		n.legacy = match[1]
	}
	return err == nil
}

// Restart starts a node that has ended again, in the same directory.
func (n *Node) Restart() {
	n.t.Helper()
	n.start()
}

func (n *Node) start() {
	n.t.Helper()
	if err := n.launch(); err != nil {
		n.t.Fatal(err)
	}
	match, err := n.console.wait(legacyLine, Patience)
	if err != nil {
		n.t.Fatalf("%v; console:\n%s", err, n.console.text())
	}
	n.legacy = match[1]
	if err := probe(n.legacy); err != nil {
		n.t.Fatalf("the node says that it listens, but: %v", err)
	}
}

// probe connects, says that it has nothing to say, and waits for the node to close, so
// that no test finds this connection still counted.
func probe(address string) error {
	conn, err := net.DialTimeout("tcp", address, Patience)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		return err
	}
	conn.SetReadDeadline(time.Now().Add(Patience))
	if n, err := conn.Read(make([]byte, 1)); err != io.EOF {
		return fmt.Errorf("read %d bytes, error %v on a half-closed connection, want the end of the stream", n, err)
	}
	return nil
}

// launch starts the process and the goroutine that waits for its end.
func (n *Node) launch() error {
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := n.setup.command(Binary(n.t))
	cmd.Dir = n.dir
	cmd.Stdout, cmd.Stderr = writer, writer
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if file := n.setup.output; file != nil {
		cmd.Stdout, cmd.Stderr = file, file
	}
	if n.setup.terminal {
		cmd.Stdin = n.setup.output
		cmd.SysProcAttr.Setsid, cmd.SysProcAttr.Setctty = true, true
	}

	n.cmd, n.console, n.asked, n.ended = cmd, newConsole(), false, make(chan struct{})
	started, exited, ended, console := make(chan error), make(chan struct{}), n.ended, n.console
	var output io.Reader = reader
	if n.setup.output != nil {
		output = newTail(n.Path("log/root.log"), exited)
	}
	go func() {
		// The death signal comes when the starting thread ends: keep this one.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		writer.Close()
		started <- err
		if err == nil {
			go func() {
				cmd.Wait()
				close(exited)
			}()
			console.collect(output)
			<-exited
		}
		reader.Close()
		close(ended)
	}()
	return <-started
}

// command is the command line of the node.
func (s *setup) command(binary string) *exec.Cmd {
	args := append([]string{binary, "-c", "etc/config.ini"}, s.arguments...)
	script := ""
	for _, option := range s.limits {
		script += "ulimit " + option + "; "
	}
	if len(s.sockets) > 0 {
		script += fmt.Sprintf("export LISTEN_PID=$$ LISTEN_FDS=%d LISTEN_FDNAMES=%s; ", len(s.sockets), s.socketNames)
	}
	if s.boot != "" {
		script += `mount --bind etc/boot_id /proc/sys/kernel/random/boot_id; `
	}
	if script != "" {
		args = append([]string{"/bin/sh", "-c", script + `exec "$0" "$@"`}, args...)
	}
	if s.boot != "" {
		args = append([]string{"unshare", "--mount"}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.ExtraFiles = s.sockets
	cmd.Env = append(environment(), "GORACE=halt_on_error=1 atexit_sleep_ms=0")
	cmd.Env = append(cmd.Env, s.environment...)
	return cmd
}

// environment is that of the tests, without what a service manager that runs them has to say.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return name == "NOTIFY_SOCKET" || strings.HasPrefix(name, "WATCHDOG_") || strings.HasPrefix(name, "LISTEN_")
	})
}

// cleanup ends the node and reports what is wrong with how it lived and died.
func (n *Node) cleanup() {
	if n.cmd == nil || n.cmd.Process == nil {
		return
	}
	if !n.asked {
		select {
		case <-n.ended:
			n.t.Errorf("the node ended by itself: %v", n.cmd.ProcessState)
		default:
			n.Signal(syscall.SIGTERM)
			if status := n.Wait(); status != 0 {
				n.t.Errorf("exit status after SIGTERM: got %d, want 0", status)
			}
		}
	}
	select {
	case <-n.ended:
	default:
		n.Kill()
	}
	if n.t.Failed() {
		n.t.Logf("console of the node:\n%s", n.console.text())
	}
}

// Stop ends the node with SIGTERM and returns its exit status.
func (n *Node) Stop() int {
	n.t.Helper()
	n.Signal(syscall.SIGTERM)
	return n.Wait()
}

// Kill ends the node with SIGKILL, unless it has ended already because it was told to, and
// waits until it is gone.
func (n *Node) Kill() {
	n.t.Helper()
	if n.asked {
		n.cmd.Process.Kill() // fails if it has ended
	} else {
		n.Signal(syscall.SIGKILL)
	}
	<-n.ended
}

// Signal sends a signal. After one that ends the node, it is expected to.
func (n *Node) Signal(signal syscall.Signal) {
	n.t.Helper()
	switch signal {
	case syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGKILL:
		n.asked = true
	}
	if err := n.cmd.Process.Signal(signal); err != nil {
		n.t.Errorf("sending %v to the node: %v", signal, err)
	}
}

// Wait waits for the end of the node and returns its exit status, 128 + n if signal n
// killed it. A node that does not end is killed and fails the test.
func (n *Node) Wait() int {
	n.t.Helper()
	select {
	case <-n.ended:
	case <-time.After(Patience):
		n.t.Errorf("the node does not end within %v", Patience)
		n.Kill()
	}
	status := n.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// Legacy returns the address of the legacy listener.
func (n *Node) Legacy() string { return n.legacy }

// Neo returns the address of the neo listener; it waits for the line that tells it.
func (n *Node) Neo() string {
	n.t.Helper()
	match, err := n.console.wait(neoLine, Patience)
	if err != nil {
		n.t.Fatal(err)
	}
	return match[1]
}

// HTTP returns the address of the status page, if [Http] port is set; it waits for the
// line that tells it.
func (n *Node) HTTP() string {
	n.t.Helper()
	return n.WaitLog(`listening for HTTP clients address=(\S+)`)[1]
}

// Path returns the path of a file of the instance directory.
func (n *Node) Path(name string) string { return filepath.Join(n.dir, name) }

// WaitLog waits until a log line matches and returns its submatches. The lines have the
// layout "simple": LEVEL [LOGGER] - MESSAGE.
func (n *Node) WaitLog(pattern string) []string {
	n.t.Helper()
	match, err := n.console.wait(regexp.MustCompile(pattern), Patience)
	if err != nil {
		n.t.Fatal(err)
	}
	return match
}

// Console returns what the node has written to its standard output and error so far.
func (n *Node) Console() string { return n.console.text() }

// Log returns what the node has written to log/root.log so far.
func (n *Node) Log() string {
	n.t.Helper()
	text, err := os.ReadFile(n.Path("log/root.log"))
	if err != nil {
		n.t.Fatal(err)
	}
	return string(text)
}
