//go:build linux

package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	datadir "github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/check"
)

func fixture(name string) string {
	return filepath.Join("..", "..", "docs", "spec", "fixtures", name)
}

func TestCheck(t *testing.T) {
	unreadable := t.TempDir()
	if err := os.Mkdir(filepath.Join(unreadable, "overflow.dat"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		args   []string
		status int
		stdout string // a part of it
		stderr string // a part of it; "" = nothing
	}{
		{"all is well", []string{fixture("loadfiles")}, 0, "No faults.", ""},
		{"faults", []string{fixture("crash/lost-index")}, 1, "Faults: 4\n", "there are faults: 4"},
		{"a file that cannot be read", []string{unreadable}, 2, "incomplete", "not everything could be checked"},
		{"no directory", []string{fixture("none")}, 2, "", "no such file or directory"},
		{"a file", []string{fixture("loadfiles/ch2.rq")}, 2, "", "not a directory"},
		{"no ring directory", []string{fixture("loadfiles"), "--ring-dir", fixture("none")}, 2, "", "no such file or directory"},
		{"no argument", nil, 2, "", "needs exactly a DIR"},
		{"two arguments", []string{"a", "b"}, 2, "", "needs exactly a DIR"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := dmq(t.Context(), nil, append([]string{"check"}, tc.args...)...)
			if !strings.Contains(got.stdout, tc.stdout) {
				t.Errorf("standard output: got %q, want it to contain %q", got.stdout, tc.stdout)
			}
			got.stdout = ""
			check(t, got, tc.status, "", tc.stderr)
		})
	}
}

func TestCheckAsJSON(t *testing.T) {
	got := dmq(t.Context(), nil, "check", "--json", fixture("crash/stale-pushed"))
	check(t, outcome{status: got.status, stderr: got.stderr}, 1, "", "there are faults: 1")
	var report datadir.Report
	if err := json.Unmarshal([]byte(got.stdout), &report); err != nil {
		t.Fatalf("%v in %q", err, got.stdout)
	}
	want := datadir.Count{Records: 4, Bytes: 22}
	if report.Totals.Total != want || report.Situation != datadir.Outdated || len(report.Faults) != 1 {
		t.Errorf("got %+v, want %v in all, situation outdated and a fault", report, want)
	}
}

func TestExtract(t *testing.T) {
	lostIndex := fixture("crash/lost-index/overflow.dat")
	whole := "\x01\x00\x00\x00\x0b\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00abc"
	damaged := filepath.Join(t.TempDir(), "jobs.rq-aside")
	if err := os.WriteFile(damaged, []byte("\x02"+whole[1:]), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		args   []string
		status int
		stdout string
		stderr string // a part of it
	}{
		{"one id", []string{lostIndex, "2"}, 0,
			"\x01\x00\x00\x00\x0e\x00\x00\x00\x00\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00second", "1 record of 6 bytes"},
		{"no id", []string{lostIndex}, 2, "", "id 2, 1 record of 6 bytes"},
		{"another id", []string{lostIndex, "3"}, 2, "", "id 2, 1 record of 6 bytes"},
		{"no number", []string{lostIndex, "x"}, 2, "", `ID "x": want 1 to 4294967295`},
		{"a damaged dump", []string{damaged}, 1, whole, "1 of 2 records"},
		{"an id of a dump", []string{damaged, "1"}, 2, "", "there are no ids in it"},
		{"no file", []string{fixture("none")}, 1, "", "no such file or directory"},
		{"no argument", nil, 2, "", "needs a FILE"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			check(t, dmq(t.Context(), nil, append([]string{"extract"}, tc.args...)...), tc.status, tc.stdout, tc.stderr)
		})
	}
}

func TestInterruptedCheckDoesNotWait(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	started, end := make(chan struct{}), make(chan struct{})
	defer close(end)
	go func() {
		<-started
		cancel()
	}()
	err := untilInterrupted(ctx, func() error {
		close(started)
		<-end
		return nil
	})
	if got := exitStatus(err); got != exitInterrupted {
		t.Errorf("exit status: got %d, want %d", got, exitInterrupted)
	}
}
