package operations

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/clients"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/terminal"
)

// startOnTerminal starts a node with the display on a terminal.
func startOnTerminal(t *testing.T, cols, rows int, options ...nodetest.Option) (*nodetest.Node, *terminal.Terminal) {
	t.Helper()
	term := terminal.Open(t, cols, rows)
	options = append([]nodetest.Option{
		nodetest.Terminal(term.File()), nodetest.Environment("TERM=screen", "LC_ALL=C", "NO_COLOR="), nodetest.Set("Stats.console_stats_enabled", "true"),
		nodetest.Set("LOG.Root.console", "false"), nodetest.Set("Server.channel_size_limit", "1000"),
	}, options...)
	return nodetest.Start(t, options...), term
}

// waitScreen waits until the text of the screen matches, and returns the submatches.
func waitScreen(t *testing.T, term *terminal.Terminal, pattern string) (match []string) {
	t.Helper()
	p := regexp.MustCompile(pattern)
	term.Wait(fmt.Sprintf("%q", pattern), nodetest.Patience, func(lines []string) bool {
		match = p.FindStringSubmatch(strings.Join(lines, "\n"))
		return match != nil
	})
	return match
}

// The display shows what the README of the original promises (operations spec §9), the fullest
// channel first, and goes without a trace but its last state.
func TestConsole(t *testing.T) {
	t.Parallel()
	node, term := startOnTerminal(t, 80, 24)
	for i := range 30 { // 108 bytes a record
		clients.PushTo(t, node, fmt.Sprintf("channel%02d", i), strings.Repeat("x", 10*i+2))
	}
	full := clients.Neo(t, node)
	for range 12 {
		full.MustPush(strings.Repeat("x", 100), "overflowing")
	}
	idle := clients.Legacy(t, node)
	idle.Alive()

	bar := `[#.]+ +`
	waitScreen(t, term, `(?s)\Amemory [0-9.]+ MiB \([0-9.]+ %\)  connections 1 legacy, 1 neo, limit 5,000 each\n`+
		`records/s [0-9]+ in, 0 out  stored 42 records, [0-9.]+ KiB\n\n`+
		`CHANNEL +FULL +RECORDS +BYTES +OVERFLOW\n`+
		`overflowing +97 % +`+bar+`12 +1.2 KiB +300 B\n`+
		`channel29 +30 % +`+bar+`1 +300 B +-\n`+
		`channel28 +29 % .*\n\.\.\. 13 more\z`)

	term.Resize(40, 10)
	waitScreen(t, term, `(?s)\Amemory [^\n]*\nconnections 1 legacy, 1 neo\nrecords/s [^\n]*\nstored 42 records, [^\n]*\n`+
		`CHANNEL +FULL\noverflowing +97 % +#+\.*\nchannel29 [^\n]*\nchannel28 [^\n]*\n\.\.\. 28 more\z`)
	term.Resize(20, 5)
	waitScreen(t, term, `\A[0-9.]+M rss  2 conns\n[0-9.k]+ rec/s\noverflowing +97 %\n\.\.\. 30 more\z`)
	term.Resize(80, 24)
	waitScreen(t, term, `(?s)\Amemory .*\.\.\. 13 more\z`)
	if term.Echoes() {
		t.Error("what is typed tears the display")
	}

	if status := node.Stop(); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
	if !term.Echoes() {
		t.Error("the terminal does not echo after the end")
	}
	term.Wait("display with the cursor on the line below", nodetest.Patience, func(lines []string) bool {
		col, row := term.Cursor()
		return len(lines) > 0 && lines[len(lines)-1] == "... 13 more" && col == 0 && row == len(lines)
	})
}

// Log lines appear above the display, one after the other, and do not tear it.
func TestConsoleWithLog(t *testing.T) {
	t.Parallel()
	node, term := startOnTerminal(t, 100, 30, nodetest.Set("LOG.Root.console", "true"))
	waitScreen(t, term, `no channels\z`)
	clients.PushTo(t, node, "first", "record")
	clients.PushTo(t, node, "second", "record")
	waitScreen(t, term, `(?s)name=first\n.*name=second\nmemory .*\nfirst .*\nsecond [^\n]*\z`)
	if text := strings.Join(term.Lines(), "\n"); strings.Count(text, "memory ") != 1 {
		t.Errorf("the display is there twice:\n%s", text)
	}
	if status := node.Stop(); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
}

// A terminal that takes nothing holds nobody up, nor does one that is gone.
func TestConsoleThatIsStopped(t *testing.T) {
	t.Parallel()
	node, term := startOnTerminal(t, 80, 24, nodetest.Set("LOG.Root.console", "true"),
		nodetest.Set("Server.connection_limit", "3"), nodetest.Set("Limits.peer_connections", "0"))
	waitScreen(t, term, `no channels\z`)
	term.Hold()
	c := clients.Legacy(t, node)
	for i := range 500 { // each with its log line
		c.MustPush(fmt.Sprint(strings.Repeat("x", 100), i), "record")
		c.MustRemove(fmt.Sprint(strings.Repeat("x", 100), i))
	}
	term.Resume()
	waitScreen(t, term, `(?s)99\n.*no channels\z`) // the last line that is not left out, too
	term.HangUp()                                  // which also sends a SIGHUP, for the log files
	for i := range 10 {
		c.MustPush(fmt.Sprint(i), "record")
	}
	c.Alive()
	if status := node.Stop(); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
}

// A node that cannot start leaves a clean terminal with the reason on it.
func TestConsoleOfAFailedStart(t *testing.T) {
	t.Parallel()
	term := terminal.Open(t, 80, 24)
	node := nodetest.Prepare(t, nodetest.Terminal(term.File()), nodetest.Environment("TERM=screen"), nodetest.Set("Stats.console_stats_enabled", "true"),
		nodetest.Credentials("bad"))
	node.Launch()
	if status := node.Wait(); status != 1 {
		t.Errorf("got exit status %d, want 1", status)
	}
	waitScreen(t, term, `(?m)^Invalid key length`)
	if !term.Echoes() {
		t.Error("the terminal does not echo")
	}
}

// Without a terminal the key changes nothing: old configurations must not flood a journal.
func TestConsoleWithoutTerminal(t *testing.T) {
	t.Parallel()
	node := nodetest.Start(t, nodetest.Set("Stats.console_stats_enabled", "true"), nodetest.Set("STATS.interval", "1"))
	nodetest.WaitStats(t, node, 0, "total_records:0")
	if status := node.Stop(); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
	if text := node.Console(); strings.Contains(text, "\x1b") || strings.Contains(text, "memory") {
		t.Errorf("the display is on a pipe:\n%s", text)
	}
}

// A console whose reader has gone costs its lines, not the node (operations spec §5.4).
func TestConsoleThatIsClosed(t *testing.T) {
	t.Parallel()
	reader, writer, err := os.Pipe()
	nodetest.Must(t, err)
	node := nodetest.Start(t, nodetest.Output(writer))
	writer.Close()
	reader.Close()
	for i := range 10 {
		clients.PushTo(t, node, fmt.Sprint("channel", i), "record")
	}
	node.Signal(syscall.SIGHUP)
	clients.Legacy(t, node).Alive()
	if status := node.Stop(); status != 0 {
		t.Errorf("got exit status %d, want 0", status)
	}
	if log := node.Log(); !strings.Contains(log, "messages to the console are lost") {
		t.Errorf("root.log does not tell of it:\n%s", log)
	}
}
