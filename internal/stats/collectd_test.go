package stats

import (
	"bufio"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
)

// daemon is a collectd that answers each command with what reply says; "" ends the
// connection.
type daemon struct {
	path     string
	commands chan string
}

func startDaemon(t *testing.T, reply func(command string) string) daemon {
	t.Helper()
	d := daemon{filepath.Join(t.TempDir(), "collectd.sock"), make(chan string, 100)}
	socket, err := net.Listen("unix", d.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	go func() {
		for {
			conn, err := socket.Accept()
			if err != nil {
				return
			}
			for in := bufio.NewScanner(conn); in.Scan(); {
				d.commands <- in.Text()
				answer := reply(in.Text())
				if answer == "" {
					break
				}
				io.WriteString(conn, answer+"\n")
			}
			conn.Close()
		}
	}()
	return d
}

func (d daemon) connect(t *testing.T) *Collectd {
	t.Helper()
	c, err := ConnectCollectd(config.Stats{
		SocketPath: d.path, Interval: 30 * time.Second,
		Hostname: "host", AppName: "dmqnode", AppInstance: "7", DefaultType: "dmqnode_stats",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// received is what the daemon got.
func (d daemon) received(count int) (all []string) {
	for range count {
		all = append(all, <-d.commands)
	}
	return all
}

func ok(string) string { return "0 Success: 1 value has been dispatched" }

// twoGroups is a line with a group that has no category and one that has.
func twoGroups() *line {
	l := new(line)
	l.group("", "")
	l.float("cpu_user", math.NaN())
	l.float("mem_percentage", 1.5)
	l.group("channel", "s@orders")
	l.uint("bytes", 3032)
	l.uint("records", 30)
	return l
}

var at = time.Unix(1763949600, 123)

var wantCommands = []string{
	`PUTVAL host/dmqnode-7/dmqnode_stats interval="30" 1763949600:U:1.50`,
	`PUTVAL host/dmqnode-7/channel-s@orders interval="30" 1763949600:3032:30`,
}

func TestCollectdGetsEachGroup(t *testing.T) {
	d := startDaemon(t, ok)
	c := d.connect(t)
	for range 2 {
		if err := c.send(at, twoGroups()); err != nil {
			t.Fatal(err)
		}
		if got := d.received(2); !slices.Equal(got, wantCommands) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(wantCommands, "\n"))
		}
	}
}

func TestCollectdThatRefusesAGroupGetsTheOthers(t *testing.T) {
	d := startDaemon(t, func(command string) string {
		if strings.Contains(command, "dmqnode_stats") {
			return "-1 Type `dmqnode_stats' isn't defined."
		}
		return ok(command)
	})
	err := d.connect(t).send(at, twoGroups())
	var no *refusal
	if !errors.As(err, &no) || !strings.Contains(err.Error(), "isn't defined") {
		t.Errorf("got error %v, want the daemon's words", err)
	}
	if got := d.received(2); !slices.Equal(got, wantCommands) {
		t.Errorf("got %q, want %q", got, wantCommands)
	}
}

func TestCollectdIsConnectedToAgain(t *testing.T) {
	broken := true
	d := startDaemon(t, func(command string) string {
		if broken {
			broken = false
			return ""
		}
		return ok(command)
	})
	c := d.connect(t)
	if err := c.send(at, twoGroups()); err == nil {
		t.Error("no error although the daemon has ended the connection")
	}
	if err := c.send(at, twoGroups()); err != nil {
		t.Errorf("the next line: %v", err)
	}
	if got := d.received(3); !slices.Equal(got[1:], wantCommands) {
		t.Errorf("got %q, want %q", got[1:], wantCommands)
	}
}

// A daemon that does not answer costs its patience, and the rest of the line.
func TestCollectdThatHangs(t *testing.T) {
	d := startDaemon(t, func(string) string {
		<-t.Context().Done()
		return ""
	})
	c := d.connect(t)
	c.patience = 10 * time.Millisecond
	err := c.send(at, twoGroups())
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got error %v, want one about the time", err)
	}
	if got := d.received(1); got[0] != wantCommands[0] {
		t.Errorf("got %q, want %q", got[0], wantCommands[0])
	}
	if c.conn != nil {
		t.Error("the connection is kept, on which a reply may be on its way")
	}
}

func TestNoCollectd(t *testing.T) {
	if c, err := ConnectCollectd(config.Stats{}); c != nil || err != nil {
		t.Errorf("without a path: got %v, error %v; want neither", c, err)
	}
	path := filepath.Join(t.TempDir(), "nobody")
	if _, err := ConnectCollectd(config.Stats{SocketPath: path}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("nobody there: got error %v, want one that names %s", err, path)
	}
}
