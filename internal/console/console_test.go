package console

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/figures"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/stats"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/terminal"
)

const patience = 2 * time.Minute

// open opens a Console on a terminal.
func open(t *testing.T, cols, rows int) (*Console, *terminal.Terminal) {
	t.Helper()
	t.Setenv("TERM", "screen")
	t.Setenv("LC_ALL", "C")
	term := terminal.Open(t, cols, rows)
	c := openEvery(20*time.Millisecond, term.File())
	if c == nil {
		t.Fatal("the terminal is none to draw on")
	}
	return c, term
}

// node returns what a node with some queues reads.
func node(queues int) func() stats.Reading {
	var all []storage.Figures
	for i := range queues {
		all = append(all, storage.Figures{Channel: fmt.Sprintf("channel%d", i), Capacity: 100, MemoryRecords: 1, MemoryBytes: uint64(i)})
	}
	return func() stats.Reading { return stats.Reading{At: time.Now(), Storages: all} }
}

// shows tells whether the last of the lines are those of a display that is cut, with the
// fullest channel at the top and nothing twice.
func shows(lines []string, fullest string) bool {
	heading := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "CHANNEL ") })
	text := strings.Join(lines, "\n")
	return heading >= 0 && heading+1 < len(lines) && strings.HasPrefix(lines[heading+1], fullest) &&
		strings.HasSuffix(text, " more") && strings.Count(text, " more") == 1 && strings.Count(text, "CHANNEL ") == 1
}

func TestDisplayAndLogLines(t *testing.T) {
	c, term := open(t, 80, 24)
	fmt.Fprintln(c, "before")
	term.Wait("line before", patience, func(lines []string) bool { return slices.Equal(lines, []string{"before"}) })
	c.Show(node(50))
	term.Wait("display", patience, func(lines []string) bool { return shows(lines, "channel49") && lines[0] == "before" })

	for i := range 30 {
		fmt.Fprintf(c, "log line %d\n", i)
	}
	lines := term.Wait("line above the display", patience, func(lines []string) bool {
		return shows(lines, "channel49") && strings.HasPrefix(lines[5], "log line 29")
	})
	if got := lines[:6]; !slices.Equal(got, []string{"log line 24", "log line 25", "log line 26", "log line 27", "log line 28", "log line 29"}) {
		t.Errorf("above the display: got %q, want the latest lines", got)
	}

	fmt.Fprintln(c, strings.Repeat("x", 200))
	lines = term.Wait("long line", patience, func(lines []string) bool { return shows(lines, "channel49") && strings.HasPrefix(lines[4], "xxxx") })
	if lines[3] != strings.Repeat("x", 80) || lines[5] != strings.Repeat("x", 40) {
		t.Errorf("a long line is cut:\n%s", strings.Join(lines, "\n"))
	}
	c.Close()
	term.Wait("cursor at the start of the line below the display", patience, func([]string) bool {
		col, row := term.Cursor()
		return col == 0 && row == 23
	})
}

func TestResizing(t *testing.T) {
	c, term := open(t, 80, 24)
	c.Show(node(50))
	term.Wait("display", patience, func(lines []string) bool { return shows(lines, "channel49") })
	fmt.Fprintln(c, "a line")
	for _, size := range [][2]int{{40, 10}, {120, 50}, {30, 12}, {80, 24}} {
		term.Resize(size[0], size[1])
		lines := term.Wait("display in the new size", patience, func(lines []string) bool {
			return shows(lines, "channel49") && !strings.Contains(strings.Join(lines, ""), "?")
		})
		if lines[0] != "a line" {
			t.Errorf("%v: the first line is %q, want the log line", size, lines[0])
		}
	}
	c.Close()
}

// A display that becomes smaller leaves nothing behind.
func TestSmallerDisplay(t *testing.T) {
	c, term := open(t, 80, 24)
	var count atomic.Int64
	count.Store(9)
	c.Show(func() stats.Reading {
		r := node(int(count.Load()))()
		r.Legacy.Open = 1_000_000_000 * count.Load()
		return r
	})
	for _, n := range []int{9, 2, 0, 5} {
		count.Store(int64(n))
		first := fmt.Sprintf("memory 0 B  connections %s legacy, 0 neo  records/s 0 in, 0 out\n", figures.Count(uint64(n)*1_000_000_000))
		term.Wait(fmt.Sprintf("display of %d channels", n), patience, func(lines []string) bool {
			text := strings.Join(lines, "\n")
			return strings.HasPrefix(text, first) && strings.Count(text, " %") == n &&
				strings.Count(text, "records/s") == 1 && (n > 0) != strings.Contains(text, "no channels")
		})
	}
	c.Close()
}

// Nobody waits for a terminal that takes nothing, and what it missed is told.
func TestStoppedTerminal(t *testing.T) {
	c, term := open(t, 80, 24)
	c.Show(node(3))
	term.Hold()
	line := strings.Repeat("x", 1000) + "\n"
	for range 4 * maxWaiting / len(line) { // one batch is on its way, one waits
		if _, err := c.Write([]byte(line)); err != nil {
			t.Fatal(err)
		}
	}
	c.Freeze()
	term.Resume()
	term.Wait("message about lines that are left out", patience, func(lines []string) bool {
		lines = append(term.History(), lines...) // more lines may follow it
		return slices.ContainsFunc(lines, func(line string) bool {
			return strings.HasSuffix(line, "lines are left out, the terminal did not take them")
		})
	})
	c.Close()

	c, term = open(t, 80, 24)
	c.Show(node(3))
	term.Wait("display", patience, func(lines []string) bool { return len(lines) > 5 })
	term.Hold()
	for range 4 * maxWaiting / len(line) { // one batch is on its way, one waits
		c.Write([]byte(line))
	}
	c.Close() // ends, though the terminal never takes it all
	if !term.Echoes() {
		t.Error("the terminal does not echo after Close")
	}
	term.Resume()
}

func TestEcho(t *testing.T) {
	c, term := open(t, 80, 24)
	if !term.Echoes() {
		t.Fatal("a new terminal does not echo")
	}
	c.Show(node(3))
	term.Wait("display", patience, func(lines []string) bool { return len(lines) > 5 && !term.Echoes() })
	term.Type("rm -rf /\n")
	c.Close()
	if !term.Echoes() {
		t.Error("the terminal does not echo after Close")
	}
	if text := strings.Join(term.Lines(), "\n"); strings.Contains(text, "rm") {
		t.Errorf("what was typed is on the screen:\n%s", text)
	}
}

func TestTerminalThatIsGone(t *testing.T) {
	c, term := open(t, 80, 24)
	c.Show(node(3))
	term.Wait("display", patience, func(lines []string) bool { return len(lines) > 5 })
	term.HangUp()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if _, err := c.Write([]byte("a line\n")); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no error although the terminal is gone")
		}
	}
	c.Freeze()
	c.Close()
}

func TestNoTerminal(t *testing.T) {
	file, err := os.Create(t.TempDir() + "/stdout")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	t.Setenv("TERM", "screen")
	if Open(file) != nil {
		t.Error("a file is taken for a terminal")
	}
	c, term := open(t, 80, 24)
	defer c.Close()
	if got := c.Over(file); got != file {
		t.Errorf("another file is written to by %v", got)
	}
	if got := c.Over(term.File()); got != c {
		t.Errorf("the same terminal is written to by %v", got)
	}
	for _, kind := range []string{"", "dumb"} {
		t.Setenv("TERM", kind)
		if Open(term.File()) != nil {
			t.Errorf("TERM=%s: taken for a terminal that can be drawn on", kind)
		}
	}
}

// The figures are not read any more once Freeze returns: what they are read from may go.
func TestFreeze(t *testing.T) {
	c, term := open(t, 80, 24)
	var frozen atomic.Bool
	var reads atomic.Int64
	c.Show(func() stats.Reading {
		if reads.Add(1); frozen.Load() {
			t.Error("read after Freeze")
		}
		return stats.Reading{At: time.Now()}
	})
	term.Wait("display", patience, func(lines []string) bool { return reads.Load() > 1 })
	c.Freeze()
	frozen.Store(true)
	fmt.Fprintln(c, "a line")
	term.Wait("line", patience, func(lines []string) bool { return len(lines) > 0 && lines[0] == "a line" })
	c.Close()
}
