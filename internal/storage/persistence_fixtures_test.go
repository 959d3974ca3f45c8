package storage

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// fixtures are the records that the data directories of storage spec §8 hold, oldest first.
// Those of killed nodes have a stale index; what is expected is what the data file proves.
var fixtures = map[string]map[string][]string{
	"loadfiles": {
		"@ch1": {"Hello ch1!", "Hello ch1!"}, "sub1@ch1": {"Hello ch1!", "Hello ch1!"}, "sub2@ch1": {"Hello ch1!", "Hello ch1!"},
		"ch2":  {"Hello ch2!", "Hello ch2!"},
		"@ch3": {"Hello ch3!"}, "sub1@ch3": {"Hello ch3!"},
		"ch4": {"Hello ch4!"}, "@ch5": {"Hello ch5!"},
	},
	"interleaved": {
		"logs": {"log-1", "", "log-3", "log-5", "log-6-abc",
			"log-4-" + strings.Repeat("x", 24), "", "log-8", "log-9-after-truncation"},
		"@events":     {"e0", "e2", "e1-" + strings.Repeat("y", 57), "e3-" + strings.Repeat("y", 57)},
		"sub1@events": {"e2", "e1-" + strings.Repeat("y", 57), "e3-" + strings.Repeat("y", 57)},
		"new-chan":    {strings.Repeat("N", 70)},
	},
	"crash/lost-index":    {},
	"crash/stale-pushed":  {"ch1": {"first", "second", "third", "fourth"}},
	"crash/stale-popped":  {"ch1": {"first", "second", "third"}},
	"crash/stale-drained": {"ch1": {"new"}, "hold": {"keep"}},
}

// realStore is how tests use a directory of the operating system.
func realStore(path string) StoreOptions {
	return StoreOptions{
		Dir:        path,
		RingInFile: true,
		RingSize:   func(string) uint64 { return 1000 },
		Logs:       func(string) *zap.Logger { return zap.NewNop() },
	}
}

func mustLoad(t testing.TB, options StoreOptions) *Channels {
	t.Helper()
	cs, err := Load(options)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return cs
}

// logged makes the options log to what is returned.
func logged(options *StoreOptions) *observer.ObservedLogs {
	core, logs := observer.New(zapcore.InfoLevel)
	options.Logs = func(name string) *zap.Logger { return zap.New(core).Named(name) }
	return logs
}

// files returns the contents of a directory of the operating system.
func files(t testing.TB, path string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	contents := make(map[string]string)
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(path, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		contents[e.Name()] = string(b)
	}
	return contents
}

func copyFixture(t testing.TB, name string) (path string) {
	t.Helper()
	path = t.TempDir()
	if err := os.CopyFS(path, os.DirFS(filepath.Join("testdata", name))); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFixturesHoldTheRecordsOfTheSpec(t *testing.T) {
	for name, want := range fixtures {
		t.Run(name, func(t *testing.T) {
			path := copyFixture(t, name)
			before := files(t, path)
			cs := mustLoad(t, realStore(path))
			defer cs.Close()
			cs.Commit()
			if got := contents(newTrial(t), cs); !reflect.DeepEqual(got, want) {
				t.Errorf("records:\n got %q\nwant %q", got, want)
			}
			after := files(t, path)
			if name == "crash/lost-index" && after["overflow-aside-1.dat"] != before["overflow.dat"] {
				t.Errorf("the records that nothing names are not kept aside: there are %q", slices.Sorted(keys(after)))
			}
			for file := range after {
				if strings.HasSuffix(file, ".rq") {
					t.Errorf("while the node serves clients there is still %s", file)
				}
			}
		})
	}
}

func keys(m map[string]string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// Byte for byte, but for the order of lines of the index (storage spec §8.1).
func TestStartAndStopLeaveWhatTheOriginalLeft(t *testing.T) {
	for _, name := range []string{"loadfiles", "interleaved"} {
		path := copyFixture(t, name)
		before := files(t, path)
		options := realStore(path)
		options.RingSize = func(string) uint64 { return 64 }
		cs := mustLoad(t, options)
		cs.Commit()
		if err := cs.Close(); err != nil {
			t.Fatalf("%s: Close: %v", name, err)
		}
		after := files(t, path)
		for _, contents := range []map[string]string{before, after} {
			lines := strings.SplitAfter(contents["ofchannels.csv"], "\n")
			slices.Sort(lines)
			contents["ofchannels.csv"] = strings.Join(lines, "")
		}
		if !reflect.DeepEqual(after, before) {
			t.Errorf("%s after start and stop:\n got %q\nwant %q", name, after, before)
		}
	}
}

// Nothing of a directory is changed by a start that does not get as far as Commit, except
// that files are added, as long as the node is not killed but fails.
func TestDumpsStayUntilClientsAreServed(t *testing.T) {
	path := copyFixture(t, "loadfiles")
	before := files(t, path)
	mustLoad(t, realStore(path)).shared.store.lock.Close() // and then it is killed
	after := files(t, path)
	for file, want := range before {
		if strings.HasSuffix(file, ".rq") && after[file] != want {
			t.Errorf("%s: got %q, want %q", file, after[file], want)
		}
	}
	cs := mustLoad(t, realStore(path))
	defer cs.Close()
	if got := contents(newTrial(t), cs); !reflect.DeepEqual(got, fixtures["loadfiles"]) {
		t.Errorf("after the second start:\n got %q\nwant %q", got, fixtures["loadfiles"])
	}
}
