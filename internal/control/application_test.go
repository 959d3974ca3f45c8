package control

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/logging"
)

func TestShowVersion(t *testing.T) {
	path, _ := serve(t, ApplicationCommands("dmqnode v2 (built today)", nil))
	const input, want = "show_version\nshow_version x y\n", "dmqnode v2 (built today)\ndmqnode v2 (built today)\n"
	if got := exchange(t, path, input); got != want {
		t.Errorf("%q: got %q, want %q", input, got, want)
	}
	const others = "list-credentials\nupdate-credentials\n"
	if got, want := exchange(t, path, others), "Command not found\nCommand not found\n"; got != want {
		t.Errorf("%q: got %q, want %q", others, got, want)
	}
}

func TestReopenFilesReplies(t *testing.T) {
	for _, test := range []struct {
		rule    string
		input   string
		failure error
		want    string
		paths   []string
	}{
		{rule: "one path", input: "reopen_files log/root.log\n", want: "ACK\n", paths: []string{"log/root.log"}},
		{rule: "split at blanks, empty ones dropped", input: "reopen_files   a  b\tc   d \n", want: "ACK\n", paths: []string{"a", "b\tc", "d"}},
		{rule: "no path", input: "reopen_files\n", want: "ERROR: missing name of the file to rotate.\n"},
		{rule: "blanks are no path", input: "reopen_files    \n", want: "ERROR: missing name of the file to rotate.\n"},
		{rule: "unknown path", input: "reopen_files a b\n", failure: &logging.ReopenError{Path: "b", Err: logging.ErrUnknownFile},
			want: "ERROR: Could not rotate the file 'b'\n", paths: []string{"a", "b"}},
		{rule: "file that can't be opened", input: "reopen_files a\n", failure: fmt.Errorf("wrapped: %w", &logging.ReopenError{Path: "a", Err: syscall.ENOSPC}),
			want: "ERROR: Could not rotate the file 'a': no space left on device\n", paths: []string{"a"}},
		{rule: "other failure", input: "reopen_files a\n", failure: errors.New("the log is closed"), want: "ERROR: the log is closed\n", paths: []string{"a"}},
	} {
		t.Run(test.rule, func(t *testing.T) {
			var paths []string
			path, s := serve(t, ApplicationCommands("", func(p []string) error { paths = append(paths, p...); return test.failure }))
			if got := exchange(t, path, test.input); got != test.want {
				t.Errorf("%q: got %q, want %q", test.input, got, test.want)
			}
			s.Close() // the commands have ended
			if !slices.Equal(paths, test.paths) {
				t.Errorf("%q: got paths %q, want %q", test.input, paths, test.paths)
			}
		})
	}
}

// TestReopenFiles renames the log files before each command and looks which of them are there
// again after it.
func TestReopenFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("log", 0o777); err != nil {
		t.Fatal(err)
	}
	directory, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	root := config.Logger{Level: config.LevelInfo, File: "log/root.log", HasOutputs: true}
	logs, err := logging.New(config.Log{Loggers: []config.Logger{root}}, config.Version{DefaultVersionLog: true}, logging.Console{})
	if err != nil {
		t.Fatal(err)
	}
	defer logs.Close()
	if _, err := logs.OpenFile("log/stats.log", config.LayoutStats); err != nil {
		t.Fatal(err)
	}
	path, _ := serve(t, ApplicationCommands("", logs.ReopenFiles))

	const unknown = "ERROR: Could not rotate the file '%s'\n"
	files := []string{"log/root.log", "log/stats.log", "log/version.log"}
	for _, test := range []struct {
		arguments string
		want      string
		reopened  []string
	}{
		{"log/root.log", "ACK\n", files[:1]},
		{"log/version.log log/root.log log/stats.log", "ACK\n", files},
		{directory + "/log/stats.log", "ACK\n", files[1:2]},
		{"./log/root.log", fmt.Sprintf(unknown, "./log/root.log"), nil},
		{"log/root.log log/none.log log/stats.log", fmt.Sprintf(unknown, "log/none.log"), files[:1]},
	} {
		for _, file := range files {
			os.Rename(file, file+".1")
		}
		if got := exchange(t, path, "reopen_files "+test.arguments+"\n"); got != test.want {
			t.Errorf("reopen_files %s: got %q, want %q", test.arguments, got, test.want)
		}
		var reopened []string
		for _, file := range files {
			if _, err := os.Stat(file); err == nil {
				reopened = append(reopened, file)
			}
		}
		if !slices.Equal(reopened, test.reopened) {
			t.Errorf("reopen_files %s: got %q reopened, want %q", test.arguments, reopened, test.reopened)
		}
	}
}
