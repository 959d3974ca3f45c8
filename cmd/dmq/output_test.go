package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/test/nodetest"
)

// onto runs dmq with its standard output as a shell redirects it.
func onto(t *testing.T, output string, args ...string) outcome {
	t.Helper()
	var stderr strings.Builder
	cmd := exec.Command("sh", append([]string{"-c", `"$0" "$@" ` + output, toolBinary(t)}, args...)...)
	cmd.Stderr = &stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), "", stderr.String()}
}

// What can't be printed is not taken: not by pop, nor by consume.
func TestToolTakesNothingThatItCannotPrint(t *testing.T) {
	node := nodetest.Start(t)
	for protocol, options := range map[string][]string{"legacy": legacyArgs(node), "neo": neoArgs(t, node)} {
		mustTool(t, "", with("push CH-"+protocol+" a b c", options)...)
		for _, command := range []string{"pop CH-" + protocol, "pop -n 0 CH-" + protocol, "consume --idle 10s CH-" + protocol} {
			for output, said := range map[string]string{
				"> /dev/full": "no space left on device",
				">&-":         "standard output: it is closed",
			} {
				check(t, onto(t, output, with(command, options)...), 1, "", said)
			}
			check(t, brokenPipe(t, with(command, options)...), 1, "", "broken pipe")
		}
		if got := mustTool(t, "", with("pop -n 3 CH-"+protocol, options)...); got != "a\nb\nc\n" {
			t.Errorf("%s: got %q, want all records", protocol, got)
		}
	}
}

// brokenPipe runs dmq with a pipe as standard output whose reader has gone.
func brokenPipe(t *testing.T, args ...string) outcome {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	var stderr strings.Builder
	cmd := exec.Command(toolBinary(t), args...)
	cmd.Stdout, cmd.Stderr = w, &stderr
	cmd.Run()
	return outcome{cmd.ProcessState.ExitCode(), "", stderr.String()}
}

// fullAfter has room for so many writes.
type fullAfter struct{ writes int }

func (f *fullAfter) Write(b []byte) (int, error) {
	if f.writes--; f.writes < 0 {
		return 0, errors.New("full")
	}
	return len(b), nil
}

// Where the protocol does not allow better, it is said how much is lost.
func TestLostRecordIsTold(t *testing.T) {
	tool := &tool{settings: settings{timeout: time.Minute}, stdout: &fullAfter{2}, stderr: io.Discard}
	err := tool.pop(t.Context(), interruptedQueue{interrupt: func() {}}.pop, 0, tool.newPrinter(recordFormat{}))
	if want := "standard output: full; records popped: 3, the last of which is lost"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}
