package nodetest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// clockTick is the unit of the times in /proc/PID/stat; Linux reports them in
// hundredths of a second on every platform the node supports.
const clockTick = 10 * time.Millisecond

// RSS returns the resident memory of the node in bytes.
func (n *Node) RSS() int64 {
	n.t.Helper()
	return n.statusBytes("VmRSS")
}

// AnonymousRSS returns the resident memory of the node without what is mapped from files.
func (n *Node) AnonymousRSS() int64 {
	n.t.Helper()
	return n.statusBytes("RssAnon")
}

// PeakRSS returns the largest resident memory in bytes since ResetPeakRSS.
func (n *Node) PeakRSS() int64 {
	n.t.Helper()
	return n.statusBytes("VmHWM")
}

// ResetPeakRSS starts a new measurement for PeakRSS and returns the current value.
func (n *Node) ResetPeakRSS() int64 {
	n.t.Helper()
	if err := os.WriteFile(n.proc("clear_refs"), []byte("5"), 0); err != nil {
		n.t.Fatal(err)
	}
	return n.PeakRSS()
}

// statusBytes returns a field of /proc/PID/status that is given in kB.
func (n *Node) statusBytes(field string) int64 {
	n.t.Helper()
	for _, line := range strings.Split(n.readProc("status"), "\n") {
		if rest, found := strings.CutPrefix(line, field+":"); found {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				n.t.Fatal(err)
			}
			return kilobytes << 10
		}
	}
	n.t.Fatalf("no %s in %s", field, n.proc("status"))
	return 0
}

// CPU returns the processor time that the node has used, to 10 ms.
func (n *Node) CPU() time.Duration {
	n.t.Helper()
	stat := n.readProc("stat")
	// The second field, the program's name in parentheses, may contain blanks.
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	var ticks int64
	for _, field := range fields[11:13] { // utime, stime
		value, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			n.t.Fatal(err)
		}
		ticks += value
	}
	return time.Duration(ticks) * clockTick
}

// Sockets returns how many sockets the node has open.
func (n *Node) Sockets() (open int) {
	n.t.Helper()
	entries, err := os.ReadDir(n.proc("fd"))
	if err != nil {
		n.t.Fatal(err)
	}
	for _, e := range entries {
		if to, err := os.Readlink(n.proc("fd/" + e.Name())); err == nil && strings.HasPrefix(to, "socket:") {
			open++
		}
	}
	return open
}

// LimitDescriptors changes how many descriptors the node may have open from now on.
func (n *Node) LimitDescriptors(most uint64) {
	n.t.Helper()
	limit := unix.Rlimit{Cur: most, Max: most}
	if err := unix.Prlimit(n.cmd.Process.Pid, unix.RLIMIT_NOFILE, &limit, nil); err != nil {
		n.t.Fatal(err)
	}
}

func (n *Node) proc(file string) string {
	return fmt.Sprintf("/proc/%d/%s", n.cmd.Process.Pid, file)
}

func (n *Node) readProc(file string) string {
	n.t.Helper()
	text, err := os.ReadFile(n.proc(file))
	if err != nil {
		n.t.Fatal(err)
	}
	return string(text)
}

// SendQueue returns how many bytes the kernel holds that the node has sent to a client
// and the client's kernel has not acknowledged.
func (n *Node) SendQueue(client net.Addr) int {
	n.t.Helper()
	local, remote := hexPort(n.t, n.legacy), hexPort(n.t, client.String())
	for _, line := range strings.Split(n.readProc("net/tcp"), "\n") {
		// sl local_address rem_address st tx_queue:rx_queue …, all in hexadecimal
		fields := strings.Fields(line)
		if len(fields) < 5 || !strings.HasSuffix(fields[1], local) || !strings.HasSuffix(fields[2], remote) {
			continue
		}
		queue, _, _ := strings.Cut(fields[4], ":")
		bytes, err := strconv.ParseInt(queue, 16, 64)
		if err != nil {
			n.t.Fatal(err)
		}
		return int(bytes)
	}
	n.t.Fatalf("no socket for %v in %s", client, n.proc("net/tcp"))
	return 0
}

// hexPort returns the end of an address as /proc/net/tcp writes it.
func hexPort(t testing.TB, address string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(":%04X", number)
}

// Hang stops the process, all its threads, until a SIGCONT.
func (n *Node) Hang() {
	n.t.Helper()
	n.Signal(syscall.SIGSTOP)
	for deadline := time.Now().Add(Patience); !n.stopped(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			n.t.Fatalf("not all threads of the node stop within %v", Patience)
		}
	}
}

func (n *Node) stopped() bool {
	n.t.Helper()
	threads, err := filepath.Glob(n.proc("task/*/status"))
	if err != nil || len(threads) == 0 {
		n.t.Fatalf("looking for the threads of the node: %d found, error %v", len(threads), err)
	}
	for _, thread := range threads {
		if status, err := os.ReadFile(thread); err == nil && !bytes.Contains(status, []byte("State:\tT")) {
			return false
		}
	}
	return true
}

// WantGrowth requires that the peak of the node's memory has not gone up by more than a
// number of bytes since ResetPeakRSS returned before.
func WantGrowth(t *testing.T, node *Node, before, most int64) {
	t.Helper()
	if RaceEnabled {
		most *= 8 // the race detector's shadow memory
	}
	growth := node.PeakRSS() - before
	t.Logf("memory: %d KiB before, at most %d KiB more", before>>10, growth>>10)
	if growth > most {
		t.Errorf("the node grew by %d KiB, want at most %d KiB", growth>>10, most>>10)
	}
}
