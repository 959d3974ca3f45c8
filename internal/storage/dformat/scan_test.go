package dformat

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// tempDir is an empty directory.
func tempDir(t *testing.T) (dir disk.Dir, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "data")
	dir, err := disk.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	return dir, path
}

// The rules, and the names in the rows "accepted" and "ignored", are those of storage spec
// §2.4.
func TestWhichEntriesAreDumps(t *testing.T) {
	const (
		badSuffix = "not a dump, whose name ends in .rq"
		badStem   = "not the name of a storage: a channel or subscriber@channel, of letters, digits, _ and -"
		noTarget  = "a symbolic link to a file that does not exist"
		circle    = "a symbolic link that leads back to itself"
	)
	remedies := map[string]string{
		badStem:  "while the node is stopped, rename it to STORAGE.rq, or move it away",
		noTarget: "while the node is stopped, get the file back, or remove the link",
		circle:   "while the node is stopped, let it lead to a file, or remove it",
	}
	type want struct {
		storage, subscriber, channel string
		subscribed                   bool
		severity                     Severity
		reason                       string // "" = a dump
	}
	plain := func(channel string) want { return want{storage: channel, channel: channel} }
	ignored := func(s Severity, reason string) want { return want{severity: s, reason: reason} }
	for _, c := range []struct {
		name string
		make func(path string) error
		want want
	}{
		{"world.rq", file, plain("world")},
		{"A-_9.rq", file, plain("A-_9")},
		{"_c.rq", file, plain("_c")},
		{"-c.rq", file, plain("-c")},
		{"s@c.rq", file, want{storage: "s@c", subscriber: "s", channel: "c", subscribed: true}},
		{"@c.rq", file, want{storage: "@c", channel: "c", subscribed: true}},
		{strings.Repeat("x", 252) + ".rq", file, plain(strings.Repeat("x", 252))},

		{".rq", file, ignored(Silent, "a hidden file")},
		{".c.rq", file, ignored(Silent, "a hidden file")},
		{"..rq", file, ignored(Silent, "a hidden file")},
		{"@.rq", file, ignored(Error, badStem)},
		{"c@.rq", file, ignored(Error, badStem)},
		{"@a@b.rq", file, ignored(Error, badStem)},
		{"a@b@c.rq", file, ignored(Error, badStem)},
		{"a.b.rq", file, ignored(Error, badStem)},
		{"a..b.rq", file, ignored(Error, badStem)},
		{"a:b.rq", file, ignored(Error, badStem)},
		{"a b.rq", file, ignored(Error, badStem)},
		{"ä.rq", file, ignored(Error, badStem)},
		{"a\n.rq", file, ignored(Error, badStem)},

		{"overflow.dat", file, ignored(Silent, "not a dump")},
		{"ofchannels.csv", file, ignored(Silent, "not a dump")},
		{"world.rq.dat", file, ignored(Silent, "not a dump")},
		{"falloctest_a1b2c3", file, ignored(Warning, badSuffix)},
		{"world.txt", file, ignored(Warning, badSuffix)},
		{"world.RQ", file, ignored(Warning, badSuffix)},
		{"world.rq~", file, ignored(Warning, badSuffix)},
		{"world.", file, ignored(Warning, badSuffix)},
		{"z..rq", file, ignored(Warning, badSuffix)},
		{"z...rq", file, ignored(Warning, badSuffix)},
		{"z..dat", file, ignored(Warning, badSuffix)},
		{"world.rq-aside", file, ignored(Warning, "a dump that was set aside; the log of that start tells why, and how many of its records were loaded")},
		{"world.rq-aside-2", file, ignored(Warning, "a dump that was set aside; the log of that start tells why, and how many of its records were loaded")},
		{`a\b.rq`, file, ignored(Warning, `a name with a \; the D node does not start while such a file is there`)},
		{`.a\b`, file, ignored(Warning, `a name with a \; the D node does not start while such a file is there`)},
		{`a\b.dat`, subdirectory, ignored(Warning, `a name with a \; the D node does not start while such a file is there`)},

		{"x.rq", subdirectory, ignored(Warning, "a subdirectory")},
		{"x.dat", subdirectory, ignored(Warning, "a subdirectory")},
		{"lost+found", subdirectory, ignored(Warning, "a subdirectory")},
		{".x", subdirectory, ignored(Silent, "a hidden file")},
		{"x.rq", pipe, ignored(Silent, "not a regular file")},
		{"x", pipe, ignored(Silent, "not a regular file")},

		{"s@c.rq", linkTo(file), want{storage: "s@c", subscriber: "s", channel: "c", subscribed: true}},
		{"c@.rq", linkTo(file), ignored(Error, badStem)},
		{"world", linkTo(file), ignored(Warning, badSuffix)},
		{"x.rq", linkTo(subdirectory), ignored(Warning, "a subdirectory")},
		{"x.rq", linkTo(pipe), ignored(Silent, "not a regular file")},
		{"x.rq", linkTo(nothing), ignored(Error, noTarget)},
		{"x@.rq", linkTo(nothing), ignored(Error, badStem)},
		{"x", linkTo(nothing), ignored(Warning, badSuffix)},
		{"x.dat", linkTo(nothing), ignored(Silent, "not a dump")},
		{"x", linkToItself, ignored(Warning, badSuffix)},
		{"x.rq", linkToItself, ignored(Error, circle)},
		{"x.dat", linkToItself, ignored(Silent, "not a dump")},
	} {
		dir, path := tempDir(t)
		if err := c.make(filepath.Join(path, c.name)); err != nil {
			t.Fatal(err)
		}
		d, err := Read(dir)
		if err != nil || len(d.Queues)+len(d.Ignored) != 1 {
			t.Errorf("%s: got %+v, %v, want one entry", c.name, d, err)
			continue
		}
		if c.want.reason != "" {
			want := Ignored{c.name, c.want.severity, c.want.reason, remedies[c.want.reason]}
			if len(d.Ignored) != 1 || d.Ignored[0] != want {
				t.Errorf("%s: got %v, want it ignored: %v", c.name, d.Ignored, want)
			}
			continue
		}
		if len(d.Queues) != 1 {
			t.Errorf("%s is ignored: %v", c.name, d.Ignored)
			continue
		}
		q := d.Queues[0]
		if got := (want{q.Storage, q.Subscriber, q.Channel, q.Subscribed, Silent, ""}); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
		if err := Finish(dir, d.Sources); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if left, err := os.ReadDir(path); len(left) > 0 || err != nil {
			t.Errorf("%s: finished, but there is still %v %v", c.name, left, err)
		}
	}
}

func file(path string) error         { return os.WriteFile(path, make([]byte, 12), 0o666) }
func subdirectory(path string) error { return os.Mkdir(path, 0o777) }
func pipe(path string) error         { return syscall.Mkfifo(path, 0o666) }
func nothing(string) error           { return nil }
func linkToItself(path string) error { return os.Symlink(path, path) }

// linkTo makes a symbolic link to what another function makes, in another directory.
func linkTo(target func(path string) error) func(path string) error {
	return func(path string) error {
		elsewhere := filepath.Dir(path) + "-target"
		return errors.Join(target(elsewhere), os.Symlink(elsewhere, path))
	}
}

func TestAnEntryThatCannotBeLookedAtEndsTheStart(t *testing.T) {
	for op, file := range map[string]string{"list": "", "stat": "b.rq", "open": "b.rq", "read": "b.rq", "size": "b.rq"} {
		dir := newTestDir()
		dir.Put("a.rq", make([]byte, 12))
		dir.Put("b.rq", make([]byte, 12))
		dir.failing(op, file)
		_, err := Read(dir)
		if !errors.Is(err, errTest) || !strings.Contains(err.Error(), "No file has been changed") || !strings.Contains(err.Error(), "let the node read") {
			t.Errorf("%s %s fails: got %v", op, file, err)
		}
		dir.Release()
	}
}

// Opening a pipe would wait for the other end.
func TestOverflowFilesThatAreNoFilesEndTheStart(t *testing.T) {
	for _, name := range []string{dataName, indexName} {
		for kind, make := range map[string]func(string) error{"pipe": pipe, "directory": subdirectory} {
			dir, path := tempDir(t)
			if err := make(filepath.Join(path, name)); err != nil {
				t.Fatal(err)
			}
			if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), name+" is not a regular file") {
				t.Errorf("a %s named %s: got %v", kind, name, err)
			}
		}
	}
}
