package logging

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/config"
)

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// three opens the three usual files, with version.log.
func three(t *testing.T) (*Logs, *File) {
	t.Helper()
	instance(t)
	l := startHere(t, new(screen), config.Version{DefaultVersionLog: true}, logger("", config.LevelInfo, "root.log", false))
	stats, err := l.OpenFile("log/stats.log", config.LayoutMessageOnly)
	if err != nil {
		t.Fatal(err)
	}
	return l, stats
}

func TestReopenAfterRename(t *testing.T) {
	l, stats := three(t)
	say := func(text string) {
		l.Logger("x").Info(text)
		stats.WriteLine(at, text)
	}
	l.Version("v")
	say("before")
	for _, file := range []string{"root", "stats", "version"} {
		rename(t, "log/"+file+".log", "log/"+file+".log.1")
	}
	say("between")
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	say("after")
	const version = "2026-11-23 02:01:00,009 Info [ocean.util.app.ext.VersionArgsExt] - v\n"
	expect(t, "old root.log", content(t, "log/root.log.1"), "v\nbefore\nbetween\n")
	expect(t, "new root.log", content(t, "log/root.log"), "after\n")
	expect(t, "old stats.log", content(t, "log/stats.log.1"), "before\nbetween\n")
	expect(t, "new stats.log", content(t, "log/stats.log"), "after\n")
	expect(t, "old version.log", content(t, "log/version.log.1"), version)
	expect(t, "new version.log", content(t, "log/version.log"), "")
}

func TestReopenDoesNotLeakDescriptors(t *testing.T) {
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	l, _ := three(t)
	before := open()
	for range 10 {
		if err := l.Reopen(); err != nil {
			t.Fatal(err)
		}
	}
	if after := open(); after != before {
		t.Errorf("got %d descriptors, want %d", after, before)
	}
}

func TestFailedReopenKeepsWritingToTheOldFile(t *testing.T) {
	l, stats := three(t)
	rename(t, "log", "gone")
	err := l.Reopen()
	for _, path := range []string{"log/root.log", "log/version.log", "log/stats.log"} {
		if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
			t.Errorf("Reopen: got %v, want it to name %s and the reason", err, path)
		}
	}
	l.Logger("x").Info("kept")
	stats.WriteLine(at, "kept")
	expect(t, "root.log", content(t, "gone/root.log"), "kept\n")
	expect(t, "stats.log", content(t, "gone/stats.log"), "kept\n")

	var failure *ReopenError
	if err := l.ReopenFiles([]string{"log/stats.log"}); !errors.As(err, &failure) ||
		failure.Path != "log/stats.log" || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReopenFiles: got %v, want log/stats.log and %v", err, fs.ErrNotExist)
	}
}

func TestFailedReopenOfOneFileDoesNotKeepOthers(t *testing.T) {
	l, stats := three(t)
	rename(t, "log/root.log", "log/root.log.1")
	rename(t, "log/stats.log", "log/stats.log.1")
	if err := os.Mkdir("log/root.log", 0o777); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("got %v, want %v", err, syscall.EISDIR)
	}
	l.Logger("x").Info("old")
	stats.WriteLine(at, "new")
	expect(t, "root.log.1", content(t, "log/root.log.1"), "old\n")
	expect(t, "stats.log", content(t, "log/stats.log"), "new\n")
}

func unknown(path string) *ReopenError { return &ReopenError{path, ErrUnknownFile} }

// The paths of reopen_files, operations spec §6.2. Every file is renamed first; those
// reopened exist again.
func TestReopenFiles(t *testing.T) {
	const cwd = "CWD/"
	tests := []struct {
		rule     string
		paths    []string
		reopened string
		failure  *ReopenError
	}{
		{"as configured", []string{"log/root.log"}, "root", nil},
		{"several, any order", []string{"log/stats.log", "log/root.log", "log/version.log"}, "root stats version", nil},
		{"below the working directory", []string{cwd + "log/root.log", cwd + "log/stats.log"}, "root stats", nil},
		{"another spelling is unknown", []string{"./log/root.log"}, "", unknown("./log/root.log")},
		{"another directory is unknown", []string{"/elsewhere/log/root.log"}, "", unknown("/elsewhere/log/root.log")},
		{"files before an unknown path only", []string{"log/stats.log", "log/x", "log/root.log"}, "stats", unknown("log/x")},
		{"the empty path is unknown", []string{""}, "", unknown("")},
		{"none", nil, "", nil},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			l, _ := three(t)
			directory, err := syscall.Getwd()
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range []string{"root", "stats", "version"} {
				rename(t, "log/"+file+".log", "log/"+file+".log.1")
			}
			var paths []string
			for _, path := range test.paths {
				paths = append(paths, strings.Replace(path, cwd, directory+"/", 1))
			}
			var failure *ReopenError
			errors.As(l.ReopenFiles(paths), &failure)
			if !reflect.DeepEqual(failure, test.failure) {
				t.Errorf("got error %v, want %v", failure, test.failure)
			}
			var reopened []string
			for _, file := range []string{"root", "stats", "version"} {
				if _, err := os.Stat("log/" + file + ".log"); err == nil {
					reopened = append(reopened, file)
				}
			}
			expect(t, "reopened", strings.Join(reopened, " "), test.reopened)
		})
	}
}

// A SOCK_SEQPACKET socket keeps the borders of writes: what is read at once was written
// at once.
func TestEachLineIsOneWrite(t *testing.T) {
	l, stats := three(t)
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0)
	if err != nil {
		t.Fatal(err)
	}
	reader, writer := os.NewFile(uintptr(ends[0]), "reader"), os.NewFile(uintptr(ends[1]), "writer")
	defer reader.Close()
	defer writer.Close()
	for _, f := range l.files {
		real := f.file
		f.file = writer
		t.Cleanup(func() { f.file = real }) // for the Close at the end
	}
	long := strings.Repeat("x", 100_000)
	packet := make([]byte, 200_000)
	tests := []struct {
		log  func()
		want string
	}{
		{func() { l.Logger("x").Info("m", zap.String("k", "two words"), zap.Int("n", 1)) }, "m k=\"two words\" n=1\n"},
		{func() { l.Logger("x").Info("a\nb") }, "a\\nb\n"},
		{func() { l.Logger("x").Info(long) }, long + "\n"},
		{func() { stats.WriteLine(at, long) }, long + "\n"},
	}
	for _, test := range tests {
		test.log()
		n, err := reader.Read(packet)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "one write", string(packet[:n]), test.want)
	}
}

// cutting writes the first half of every line while full.
type cutting struct {
	strings.Builder
	full bool
}

func (c *cutting) Write(p []byte) (int, error) {
	if !c.full {
		return c.Builder.Write(p)
	}
	n, _ := c.Builder.Write(p[:len(p)/2])
	return n, syscall.ENOSPC
}

func (c *cutting) Close() error { return nil }

func TestLineAfterACutOneStartsAnew(t *testing.T) {
	disk := &cutting{full: true}
	f := &appendFile{file: disk}
	if err := f.writeLine(0, []byte("halfcut!\n")); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got error %v, want %v", err, syscall.ENOSPC)
	}
	disk.full = false
	for _, line := range []string{"one\n", "two\n"} {
		if err := f.writeLine(0, []byte(line)); err != nil {
			t.Error(err)
		}
	}
	expect(t, "file", disk.String(), "half\none\ntwo\n")
}

// Lines of concurrent writers are whole, none is lost or doubled, while files are
// reopened and levels counted.
func TestConcurrentWritersAndReopens(t *testing.T) {
	const writers, lines = 4, 500
	l, stats := three(t)
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			log := l.Logger(fmt.Sprintf("writer.%d", w)).With(zap.Int("writer", w))
			for i := range lines {
				log.Info("line", zap.Int("i", i))
				stats.WriteLine(at, fmt.Sprintf("line writer=%d i=%d", w, i))
				l.counted()
			}
		})
	}
	for i := range 20 {
		for _, file := range []string{"root", "stats"} {
			rename(t, "log/"+file+".log", fmt.Sprintf("log/%s.%d", file, i))
		}
		if err := l.Reopen(); err != nil {
			t.Error(err)
		}
	}
	group.Wait()
	for _, file := range []string{"root", "stats"} {
		all := content(t, "log/"+file+".log")
		for i := range 20 {
			all += content(t, fmt.Sprintf("log/%s.%d", file, i))
		}
		seen := map[string]int{}
		for line := range strings.Lines(all) {
			seen[line]++
		}
		for w := range writers {
			for i := range lines {
				line := fmt.Sprintf("line writer=%d i=%d\n", w, i)
				if seen[line] != 1 {
					t.Fatalf("%s: got %q %d times, want once", file, line, seen[line])
				}
			}
		}
		if len(seen) != writers*lines {
			t.Errorf("%s: got %d different lines, want %d", file, len(seen), writers*lines)
		}
	}
	if got, want := l.counted(), (Counts{Info: 2 * writers * lines}); got != want {
		t.Errorf("counts: got %+v, want %+v", got, want)
	}
}
