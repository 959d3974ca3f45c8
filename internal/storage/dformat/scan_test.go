package dformat

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
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
		ignored                      string // why; "" = it is a dump, or of no interest
	}
	nothing := want{}
	plain := func(channel string) want { return want{storage: channel, channel: channel} }
	ignored := func(reason string) want { return want{ignored: reason} }
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

		{".rq", file, nothing},
		{".c.rq", file, nothing},
		{"..rq", file, nothing},
		{"@.rq", file, ignored(badStem)},
		{"c@.rq", file, ignored(badStem)},
		{"@a@b.rq", file, ignored(badStem)},
		{"a@b@c.rq", file, ignored(badStem)},
		{"a.b.rq", file, ignored(badStem)},
		{"a..b.rq", file, ignored(badStem)},
		{"a:b.rq", file, ignored(badStem)},
		{"a b.rq", file, ignored(badStem)},
		{"ä.rq", file, ignored(badStem)},
		{"a\n.rq", file, ignored(badStem)},

		{"overflow.dat", emptyFile, nothing},
		{"ofchannels.csv", emptyFile, nothing},
		{"world.rq.dat", file, nothing},
		{"falloctest_a1b2c3", file, ignored(badSuffix)},
		{"world.txt", file, ignored(badSuffix)},
		{"world.RQ", file, ignored(badSuffix)},
		{"world.rq~", file, ignored(badSuffix)},
		{"world.", file, ignored(badSuffix)},
		{"z..rq", file, ignored(badSuffix)},
		{"z...rq", file, ignored(badSuffix)},
		{"z..dat", file, ignored(badSuffix)},
		{"world.rq-aside", file, ignored("a dump that was set aside; the log of that start tells why, and how many of its records were loaded")},
		{"world.rq-aside-2", file, ignored("a dump that was set aside; the log of that start tells why, and how many of its records were loaded")},
		{`a\b.rq`, file, ignored(`a name with a \; the D node does not start while such a file is there`)},
		{`.a\b`, file, ignored(`a name with a \; the D node does not start while such a file is there`)},
		{`a\b.dat`, subdirectory, ignored(`a name with a \; the D node does not start while such a file is there`)},

		{"x.rq", subdirectory, ignored("a subdirectory")},
		{"x.dat", subdirectory, ignored("a subdirectory")},
		{"lost+found", subdirectory, ignored("a subdirectory")},
		{".x", subdirectory, nothing},
		{"x.rq", pipe, nothing},
		{"x", pipe, nothing},

		{"s@c.rq", linkTo(file), want{storage: "s@c", subscriber: "s", channel: "c", subscribed: true}},
		{"c@.rq", linkTo(file), ignored(badStem)},
		{"world", linkTo(file), ignored(badSuffix)},
		{"x.rq", linkTo(subdirectory), ignored("a subdirectory")},
		{"x.rq", linkTo(pipe), nothing},
		{"x.rq", linkTo(noFile), ignored(noTarget)},
		{"x@.rq", linkTo(noFile), ignored(badStem)},
		{"x", linkTo(noFile), ignored(badSuffix)},
		{"x.dat", linkTo(noFile), nothing},
		{"x", linkToItself, ignored(badSuffix)},
		{"x.rq", linkToItself, ignored(circle)},
		{"x.dat", linkToItself, nothing},
	} {
		dir, path := tempDir(t)
		if err := c.make(filepath.Join(path, c.name)); err != nil {
			t.Fatal(err)
		}
		d, err := Read(dir, Left{})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var findings []Finding
		switch remedy := remedies[c.want.ignored]; {
		case remedy != "":
			findings = []Finding{{Severity: Error, File: c.name, Problem: c.want.ignored, Remedy: remedy,
				Meaning: "no node loads it; records that it may hold stay in it"}}
		case c.want.ignored != "":
			findings = []Finding{{Severity: Warning, File: c.name, Problem: Ignored, Meaning: c.want.ignored}}
		}
		if !slices.Equal(d.Findings, findings) {
			t.Errorf("%s: got %v, want %v", c.name, d.Findings, findings)
		}
		if c.want.storage == "" {
			if len(d.Queues) > 0 {
				t.Errorf("%s is loaded: %v", c.name, d.Queues[0])
			}
			continue
		}
		if len(d.Queues) != 1 {
			t.Errorf("%s is ignored: %v", c.name, d.Findings)
			continue
		}
		q := d.Queues[0]
		if got := (want{q.Storage, q.Subscriber, q.Channel, q.Subscribed, ""}); got != c.want {
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
func emptyFile(path string) error    { return os.WriteFile(path, nil, 0o666) }
func subdirectory(path string) error { return os.Mkdir(path, 0o777) }
func pipe(path string) error         { return syscall.Mkfifo(path, 0o666) }
func noFile(string) error            { return nil }
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
		_, err := Read(dir, Left{})
		if !errors.Is(err, errTest) || !strings.Contains(err.Error(), "No file has been changed") || !strings.Contains(err.Error(), "Let the node read") {
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
			if _, err := Read(dir, Left{}); err == nil || !strings.Contains(err.Error(), name+" is not a regular file") {
				t.Errorf("a %s named %s: got %v", kind, name, err)
			}
		}
	}
}
