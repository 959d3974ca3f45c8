package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What a node logs, and the ceiling prints, in front of the addresses that it serves
// clients on.
const (
	announceLegacy = "listening for legacy clients address="
	announceNeo    = "listening for neo clients address="
)

const (
	startTimeout = 10 * time.Second
	stopTimeout  = 30 * time.Second // a node saves its records
)

// target is a process that serves both protocols.
type target struct {
	legacy    unix.Sockaddr
	neo       unix.Sockaddr // nil: not known
	process   *exec.Cmd     // nil: not started here, so nothing is known of its use of resources
	isCeiling bool
	dir       string // instance directory, removed at the end; empty: none
}

// addresses are where a target serves, each host:port.
type addresses struct{ legacy, neo string }

// existing is the target at the addresses, which somebody else started. The one for neo
// clients may be empty.
func existing(at addresses) (t *target, err error) {
	t = &target{}
	if t.legacy, err = parseAddress(at.legacy); err == nil && at.neo != "" {
		t.neo, err = parseAddress(at.neo)
	}
	return t, err
}

func parseAddress(address string) (unix.Sockaddr, error) {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !at.Addr().Is4() {
		return nil, fmt.Errorf("address %q: want an IPv4 address and a port, like 127.0.0.1:10000", address)
	}
	return &unix.SockaddrInet4{Addr: at.Addr().As4(), Port: int(at.Port())}, nil
}

// startCeiling runs this program again as the ceiling, which knows records up to maxSize.
func startCeiling(size int, _ ...string) (*target, error) {
	if size > maxSize {
		return nil, errUnknown
	}
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("ceiling: %w", err)
	}
	t, err := start(exec.Command(program, "--ceiling", fmt.Sprintf("--size=%d", size)), "")
	if err != nil {
		return nil, err
	}
	t.isCeiling = true
	return t, nil
}

// nodeConfig makes the node choose its ports and log them to the console.
const nodeConfig = `[Server]
address            = 127.0.0.1
port               = 0
neoport            = 0
cpu                = -1
channel_size_limit = 2000000000
unix_socket_path   = dmqnode.socket

[LOG.Root]
level     = info
propagate = true
console   = true
`

// nodeCredentials let the generator in.
var nodeCredentials = fmt.Sprintf("%s:%x\n", clientName, clientKey)

// startNode runs a node with these settings, Section.key=value, in an instance directory of its own.
func startNode(path string, settings []string) (*target, error) {
	program, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("node %s: %w", path, err)
	}
	dir, err := os.MkdirTemp("", "dmqnode-bench-")
	if err != nil {
		return nil, fmt.Errorf("instance directory: %w", err)
	}
	err = errors.Join(
		os.Mkdir(filepath.Join(dir, "etc"), 0o755),
		os.Mkdir(filepath.Join(dir, "log"), 0o755),
		os.WriteFile(filepath.Join(dir, "etc", "config.ini"), []byte(nodeConfig), 0o644),
		os.WriteFile(filepath.Join(dir, "etc", "credentials"), []byte(nodeCredentials), 0o600),
	)
	if err != nil {
		os.RemoveAll(dir)
		return nil, fmt.Errorf("instance directory: %w", err)
	}
	arguments := []string{"--config", "etc/config.ini"}
	for _, setting := range settings {
		arguments = append(arguments, "-O", setting)
	}
	command := exec.Command(program, arguments...)
	command.Dir = dir
	t, err := start(command, dir)
	if errors.Is(err, os.ErrNotExist) {
		err = fmt.Errorf("%w (build the node, or name one with --node)", err)
	}
	return t, err
}

// start runs command and waits until it announces its addresses.
func start(command *exec.Cmd, dir string) (*target, error) {
	t := &target{process: command, dir: dir}
	command.Stderr = os.Stderr
	// Should this program be killed, the target ends too.
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	output, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	announced := make(chan addresses, 1)
	go watch(output, announced)
	select {
	case at, ok := <-announced:
		if !ok {
			return nil, errors.Join(fmt.Errorf("%s ended without listening", command.Path), t.stop())
		}
		served, err := existing(at)
		if err != nil {
			return nil, errors.Join(err, t.stop())
		}
		t.legacy, t.neo = served.legacy, served.neo
		return t, nil
	case <-time.After(startTimeout):
		return nil, errors.Join(fmt.Errorf("%s does not listen after %v", command.Path, startTimeout), t.stop())
	}
}

// watch sends the addresses that output announces and goes on reading, so that the
// process never waits for its console.
func watch(output io.Reader, announced chan<- addresses) {
	defer close(announced)
	var at addresses
	for lines := bufio.NewScanner(output); at.legacy == "" || at.neo == ""; {
		if !lines.Scan() {
			return
		}
		cutAddress(lines.Text(), announceLegacy, &at.legacy)
		cutAddress(lines.Text(), announceNeo, &at.neo)
	}
	announced <- at
	io.Copy(io.Discard, output)
}

// cutAddress takes the address out of a line with that announcement.
func cutAddress(line, announcement string, address *string) {
	if _, behind, found := strings.Cut(line, announcement); found {
		*address, _, _ = strings.Cut(behind, " ")
	}
}

// stop ends the process in an orderly way, or by force after stopTimeout, and removes its
// directory. It does nothing to a target that was not started here.
func (t *target) stop() error {
	if t.process == nil {
		return nil
	}
	defer os.RemoveAll(t.dir)
	t.process.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(stopTimeout, func() { t.process.Process.Kill() })
	defer kill.Stop()
	if err := t.process.Wait(); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(t.process.Path), err)
	}
	return nil
}

// kill ends a target that was started here, whatever it has stored.
func (t *target) kill() error {
	if t.process == nil {
		return nil
	}
	defer os.RemoveAll(t.dir)
	if err := t.process.Process.Kill(); err != nil {
		return err
	}
	t.process.Wait() // tells that it was killed
	return nil
}

// cpuTime returns the CPU time the process has used so far, all threads together.
func (t *target) cpuTime() (time.Duration, error) {
	var used unix.Timespec
	// The number of the CPU clock of a process: clock_getcpuclockid(3).
	clock := int32(^t.process.Process.Pid<<3 | 2)
	if err := unix.ClockGettime(clock, &used); err != nil {
		return 0, fmt.Errorf("CPU clock of process %d: %w", t.process.Process.Pid, err)
	}
	return time.Duration(used.Nano()), nil
}

// residentBytes returns the memory of the process that is in RAM.
func (t *target) residentBytes() (int64, error) {
	name := fmt.Sprintf("/proc/%d/statm", t.process.Process.Pid)
	text, err := os.ReadFile(name)
	if err != nil {
		return 0, err
	}
	var total, resident int64
	if _, err := fmt.Sscan(string(text), &total, &resident); err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return resident * int64(os.Getpagesize()), nil
}
