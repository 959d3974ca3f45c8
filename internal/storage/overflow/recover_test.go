package overflow

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap/zapcore"
)

// The records that the fixtures hold by storage spec §8, except that stale indexes are
// corrected as far as the data file proves it.
var fixtures = []struct {
	dir      string
	contents map[string][]string
	aside    bool // the files are set aside
}{
	{dir: "loadfiles", contents: map[string][]string{
		"@ch1": {"Hello ch1!"}, "sub1@ch1": {"Hello ch1!"}, "sub2@ch1": {"Hello ch1!"}, "ch2": {"Hello ch2!"},
		"sub1@ch3": {"Hello ch3!"}, "ch4": {"Hello ch4!"}, "@ch5": {"Hello ch5!"},
	}},
	{dir: "interleaved", contents: map[string][]string{
		"logs":        {"log-4-" + strings.Repeat("x", 24), "", "log-8", "log-9-after-truncation"},
		"@events":     {"e1-" + strings.Repeat("y", 57), "e3-" + strings.Repeat("y", 57)},
		"sub1@events": {"e1-" + strings.Repeat("y", 57), "e3-" + strings.Repeat("y", 57)},
		"new-chan":    {strings.Repeat("N", 70)},
	}},
	{dir: "crash/lost-index", contents: map[string][]string{}, aside: true},
	{dir: "crash/stale-pushed", contents: map[string][]string{"ch1": {"first", "second", "third", "fourth"}}},
	{dir: "crash/stale-popped", contents: map[string][]string{"ch1": {"first", "second", "third"}}},
	{dir: "crash/stale-drained", contents: map[string][]string{"ch1": {"new"}, "hold": {"keep"}}},
}

func TestFixturesHoldTheRecordsOfTheSpec(t *testing.T) {
	for _, fixture := range fixtures {
		t.Run(fixture.dir, func(t *testing.T) {
			dir, path := realDir(t, fixture.dir)
			before := readDir(t, path)
			logs, seen := observed()
			entries, err := Recover(dir, logs)
			if err != nil {
				t.Fatalf("Recover: %v", err)
			}
			_, queues := publishedEntries(entries).mustOpen(t, dir)
			if got := drainAll(t, queues); !reflect.DeepEqual(got, fixture.contents) {
				t.Errorf("contents:\n got %q\nwant %q", got, fixture.contents)
			}
			aside := readDir(t, path)["overflow-aside-1.dat"]
			if want := before[dataName]; fixture.aside && aside != want {
				t.Errorf("set aside %q, want %q", aside, want)
			}
			if errors := messages(seen, zapcore.ErrorLevel); (len(errors) > 0) != fixture.aside || (aside != "") != fixture.aside {
				t.Errorf("set aside %t, errors %q; want it set aside: %t", aside != "", errors, fixture.aside)
			}
		})
	}
}

func TestStartAndStopLeavesTheFilesAsTheyWere(t *testing.T) {
	for _, fixture := range []string{"loadfiles", "interleaved"} {
		dir, path := realDir(t, fixture)
		before := readDir(t, path)
		entries, err := Recover(dir, silent)
		if err != nil {
			t.Fatal(err)
		}
		f, _ := publishedEntries(entries).mustOpen(t, dir)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		after := readDir(t, path)
		for _, files := range []map[string]string{before, after} {
			lines := strings.Split(files[indexName], "\n")
			slices.Sort(lines)
			files[indexName] = strings.Join(lines, "\n")
		}
		if !reflect.DeepEqual(after, before) {
			t.Errorf("%s after start and stop:\n got %q\nwant %q", fixture, after, before)
		}
	}
}

// readDir returns the contents of the files by name.
func readDir(t testing.TB, path string) map[string]string {
	t.Helper()
	contents := make(map[string]string)
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(path, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		contents[e.Name()] = string(b)
	}
	return contents
}
