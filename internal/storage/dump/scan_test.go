package dump

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

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
		dumps, others, err := Scan(dir)
		if err != nil || len(dumps)+len(others) != 1 {
			t.Errorf("%s: got %v and %v, %v, want one entry", c.name, dumps, others, err)
			continue
		}
		if c.want.reason != "" {
			want := Ignored{c.name, c.want.severity, c.want.reason, remedies[c.want.reason]}
			if len(others) != 1 || others[0] != want {
				t.Errorf("%s: got %v and %v, want it ignored: %v", c.name, dumps, others, want)
			}
			continue
		}
		id, err := Identify(dir, c.name)
		if err != nil {
			t.Fatal(err)
		}
		want := Found{c.name, c.want.storage, c.want.subscriber, c.want.channel, c.want.subscribed, id}
		if len(dumps) != 1 || dumps[0] != want {
			t.Errorf("%s: got %v and %v, want the dump %v", c.name, dumps, others, want)
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

func TestScanIsSortedAndFindsTheFixtures(t *testing.T) {
	for directory, want := range map[string]string{
		"loadfiles":   "@ch1.rq @ch3.rq ch2.rq sub1@ch1.rq sub2@ch1.rq, not ofchannels.csv overflow.dat",
		"interleaved": "@events.rq logs.rq sub1@events.rq, not ofchannels.csv overflow.dat",
	} {
		dumps, others, err := Scan(fixtures(t, directory))
		var found, ignored []string
		for _, d := range dumps {
			found = append(found, d.File)
		}
		for _, o := range others {
			ignored = append(ignored, o.Name)
		}
		got := strings.Join(found, " ") + ", not " + strings.Join(ignored, " ")
		if got != want || err != nil {
			t.Errorf("%s: got %s, %v, want %s", directory, got, err, want)
		}
	}
}

func TestScanSortsWhatTheDirectoryHasInAnyOrder(t *testing.T) {
	dir, path := tempDir(t)
	for i := range 50 {
		for _, format := range []string{"c%02d.rq", "c%02d.txt"} {
			if err := file(filepath.Join(path, fmt.Sprintf(format, i*29%50))); err != nil {
				t.Fatal(err)
			}
		}
	}
	dumps, others, err := Scan(dir)
	if err != nil || len(dumps) != 50 || len(others) != 50 {
		t.Fatalf("got %d dumps and %d others, %v, want 50 of each", len(dumps), len(others), err)
	}
	for i := range 50 {
		if want := fmt.Sprintf("c%02d", i); dumps[i].Storage != want || others[i].Name != want+".txt" {
			t.Errorf("entry %d: got %s and %s, want %s.rq and .txt", i, dumps[i].File, others[i].Name, want)
		}
	}
}

// A dump that exists but cannot be looked at must not be passed over: the next stop would
// replace it. The others are found.
func TestADumpThatCannotBeLookedAtIsAnErrorOfTheScan(t *testing.T) {
	dir, path := tempDir(t)
	err := errors.Join(file(filepath.Join(path, "a.rq")), file(filepath.Join(path, "b.rq")), file(filepath.Join(path, "c.rq")), file(filepath.Join(path, "x")))
	if err != nil {
		t.Fatal(err)
	}
	dumps, others, err := Scan(hidden{dir, "b.rq"})
	if !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), dir.Path("b.rq")) {
		t.Errorf("got error %v, want the file and %v", err, syscall.EIO)
	}
	if len(dumps) != 2 || dumps[0].File != "a.rq" || dumps[1].File != "c.rq" || len(others) != 1 {
		t.Errorf("got %v and %v, want a.rq and c.rq, and x", dumps, others)
	}
}

// hidden is a directory with a file that cannot be looked at.
type hidden struct {
	disk.Dir
	file string
}

func (d hidden) Stat(name string) (os.FileInfo, error) {
	if name == d.file {
		return nil, &os.PathError{Op: "stat", Path: d.Path(name), Err: syscall.EIO}
	}
	return d.Dir.Stat(name)
}

func TestScanOfADirectoryThatCannotBeRead(t *testing.T) {
	dir, path := tempDir(t)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Scan(dir); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want the directory and %v", err, os.ErrNotExist)
	}
}

func FuzzFileNames(f *testing.F) {
	for _, name := range []string{"world.rq", "s@c.rq", "@c.rq", "z..rq", ".rq", "a.b.rq", "", "..", `\`} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		stem, suffix := split(name)
		if stem+suffix != name {
			t.Errorf("split(%q): got %q and %q", name, stem, suffix)
		}
		// An independent reading of the rule.
		want := strings.HasSuffix(name, ".rq") && !strings.HasSuffix(name, "..rq") && name != ".rq"
		if got := suffix == Suffix && stem != ""; got != want {
			t.Errorf("split(%q): got %q and %q, want %s: %v", name, stem, suffix, Suffix, want)
		}
		for number := 1; number <= 1000; number *= 10 {
			aside := asideName(name, number)
			if _, suffix := split(aside); len(aside) > maxName || suffix == Suffix {
				t.Errorf("asideName(%q, %d): got %q", name, number, aside)
			}
		}
	})
}
