package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
	"github.com/sociomantic-tsunami/dmqnode/v2/test/terminal"
)

// onTerminal returns dmq with a TERM.
func onTerminal(t *testing.T, kind string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), nodetest.Patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, toolBinary(t), args...)
	cmd.Env = append(os.Environ(), "TERM="+kind)
	return cmd
}

// Where top can't draw it prints its tables once.
func TestToolTopOnADumbTerminal(t *testing.T) {
	node := nodetest.Start(t, nodetest.Set("Http.port", "0"))
	mustTool(t, "", with("push jobs a", legacyArgs(node))...)
	for _, kind := range []string{"", "dumb"} {
		slave, master := terminal.Pair(t)
		cmd := onTerminal(t, kind, "top", "--interval", "10ms", "--http", node.HTTP())
		cmd.Stdin, cmd.Stdout = slave, slave
		if err := cmd.Run(); err != nil {
			t.Fatalf("TERM=%s: %v", kind, err)
		}
		slave.Close()
		printed, _ := io.ReadAll(master) // the error is that the other end is closed
		if text := string(printed); !strings.Contains(text, "\njobs ") || strings.Contains(text, "\x1b") {
			t.Errorf("TERM=%s: got %q, want a table and no drawing", kind, text)
		}
	}
}

// Nothing is left of a progress bar, also not what the terminal has echoed into it.
func TestToolProgressIsErased(t *testing.T) {
	node := nodetest.Start(t)
	term := terminal.Open(t, 80, 24)
	cmd := onTerminal(t, "xterm", with("produce jobs", legacyArgs(node))...)
	cmd.Stderr = term.File()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(stdin, numbers(1, 64))
	shows := func(text string) func([]string) bool {
		return func(lines []string) bool { return strings.Contains(strings.Join(lines, "\n"), text) }
	}
	term.Wait("progress", nodetest.Patience, shows("producing"))
	neo := neoArgs(t, node)
	waitFor(t, "all records are at the node", func() bool { // the progress is shown before the first one
		return strings.Contains(runTool(t, "", with("info jobs --json", neo)...).stdout, `"records":64,`)
	})
	term.Type("\x03")
	term.Wait("^C", nodetest.Patience, shows("^C"))
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	want := []string{"dmq: records stored: 64", "dmq: interrupted"}
	term.Wait("end without a trace", nodetest.Patience, func(lines []string) bool { return slices.Equal(lines, want) })
}
