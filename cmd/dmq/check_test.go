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
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/storagetest"
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

// A directory that is no data directory is not said to be without faults: the likely one is
// named.
func TestCheckOfAnotherDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, content := range map[string]string{
		"srv/one/etc/config.ini": "[Server]\naddress = 127.0.0.1\nport = 1\nneoport = 2\nchannel_size_limit = 3\n" +
			"unix_socket_path = s\ndata_dir = the records\n[Storage]\nring_dir = /rings\n[LOG.Root]\nconsole = true\n",
		"srv/one/log/root.log":   "",
		"srv/one/data/notes":     "",
		"srv/two/etc/config.ini": "damaged",
		"elsewhere/notes":        "",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	const one, two = "dmq check 'srv/one/the records' --ring-dir /rings", "dmq check srv/two/data"
	for dir, hint := range map[string]string{
		"srv/one":      one,
		"srv/one/log":  one,
		"srv/one/data": one,
		"srv/one/etc":  one,
		"srv/two":      two,
		"srv":          one + "; " + two,
		"elsewhere":    "[Server] data_dir",
	} {
		got := dmq(t.Context(), nil, "check", dir)
		check(t, got, 2, "", hint)
		check(t, got, 2, "", dir+": this is not the data directory of a node")
	}
	if err := os.Mkdir("empty", 0o777); err != nil {
		t.Fatal(err)
	}
	got := dmq(t.Context(), nil, "check", "empty")
	check(t, outcome{got.status, "", got.stderr}, 0, "", "")
}

// Ring files are looked for where the configuration of the instance has them.
func TestCheckFindsTheRingFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("etc/config.ini", "[Server]\naddress = 127.0.0.1\nport = 1\nneoport = 2\nchannel_size_limit = 3\n"+
		"unix_socket_path = s\ndata_dir = records\n[Storage]\nring_dir = rings\n[LOG.Root]\nconsole = true\n")
	write("records/none.rq", "")
	write("other/none.rq", "")
	for name, want := range map[string]string{
		"records": filepath.Join(dir, "rings"), // which is not there
		"other":   "",
	} {
		got := dmq(t.Context(), nil, "check", filepath.Join(dir, name))
		if strings.Contains(got.stderr, "ring files are those in "+want+", as") != (want != "") || (got.status == 2) != (want != "") {
			t.Errorf("check of %s: got %+v, want ring files in %q", name, got, want)
		}
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

// A killed node's directory becomes one that the original loads, and says with which limit.
func TestExport(t *testing.T) {
	options := storagetest.Options(t, 100)
	options.RingInFile = true
	channels := storagetest.Start(t, options)
	check(t, dmq(t.Context(), nil, "export", options.Dir), 1, "", "is in use by")
	c, err := channels.Open([]byte("jobs"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second one spills
		if err := c.Push(make([]byte, 60)); err != nil {
			t.Fatal(err)
		}
	}
	c.Commit()
	left := t.TempDir()
	files, err := filepath.Glob(filepath.Join(options.Dir, "*.dat"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files { // as they are when the node is killed
		b, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(left, filepath.Base(name)), b, 0o600)
		}
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}
	got := dmq(t.Context(), nil, "export", left)
	check(t, got, 0, "", "exported 2 records of 120 bytes; an original node needs a channel_size_limit of at least 68")
	got = dmq(t.Context(), nil, "check", left)
	if !strings.Contains(got.stdout, ": stopped cleanly.\n") || !strings.Contains(got.stdout, "jobs      plain        1     60          1     60        2    120") {
		t.Errorf("dmq check says\n%s", got.stdout)
	}
	check(t, dmq(t.Context(), nil, "export", left), 0, "", "nothing is to be exported")
	check(t, dmq(t.Context(), nil, "export"), 2, "", "needs exactly a DIR")
	check(t, dmq(t.Context(), nil, "export", fixture("none")), 2, "", "no such file or directory")
}
