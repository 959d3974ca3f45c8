package check

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/state"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares a report with those in testdata, as text and as JSON.
func golden(t *testing.T, name string, r *Report) {
	t.Helper()
	r.Directory = "data"
	asJSON, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	for suffix, got := range map[string]string{".txt": text(r), ".json": string(asJSON) + "\n"} {
		file := filepath.Join("testdata", strings.ReplaceAll(name, "/", "-")+suffix)
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s:\n got:\n%s\nwant:\n%s", file, got, want)
		}
	}
}

func TestFixtures(t *testing.T) {
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			path := fixture(t, name)
			report := watched(t, path, "")
			golden(t, name, report)
			want, err := recovered(path)
			if got := report.counted(); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("records found: %v, a node has %v, %v", got, want, err)
			}
		})
	}
}

func write(t *testing.T, path, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(path, name), []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(path, name)); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, path, from, to string) {
	t.Helper()
	if err := os.Rename(filepath.Join(path, from), filepath.Join(path, to)); err != nil {
		t.Fatal(err)
	}
}

// patch overwrites bytes of a file.
func patch(t *testing.T, path, name string, offset int64, with string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(path, name), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(with), offset); err != nil {
		t.Fatal(err)
	}
}

// halfStopped returns the directory of a node that could not write a file of that name when
// it stopped.
func halfStopped(t *testing.T, name string) (path string) {
	path = filepath.Join(t.TempDir(), "data")
	_, stop := busyNode(t, options(path, 64))
	obstacle := filepath.Join(path, name)
	if err := os.MkdirAll(filepath.Join(obstacle, "in the way"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err == nil {
		t.Fatal("a stop that could not write a dump did not fail")
	}
	if err := os.RemoveAll(obstacle); err != nil {
		t.Fatal(err)
	}
	return path
}

// identify gives the first slot of a state file another identity, and returns its position.
func identify(t *testing.T, path string, id state.Identity) (slot int) {
	t.Helper()
	dir, err := disk.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := state.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	first := f.Used()[0]
	first.SetIdentity(id)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return first.Index()
}

// unnamed returns the directory of a node that was killed when it had written the dump of
// @events, before that got its name.
func unnamed(t *testing.T) (path, temporary string) {
	stopped := filepath.Join(t.TempDir(), "data")
	_, stop := busyNode(t, options(stopped, 64))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	path = halfStopped(t, "@events.rq")
	slot := identify(t, path, state.Identity{Storage: "@events", Dumped: true})
	temporary = fmt.Sprintf("dump-%06d.dat", slot)
	b, err := os.ReadFile(filepath.Join(stopped, "@events.rq"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, temporary, string(b))
	return path, temporary
}

// Everything else that a directory can be, each with a golden report. A node that starts
// there must have what the report says, or refuse to start.
func TestSituations(t *testing.T) {
	for _, tc := range []struct {
		name    string
		prepare func(t *testing.T) (path string)
		refused bool // no node starts there
	}{
		{"empty", func(t *testing.T) string { return t.TempDir() }, false},
		{"killed", func(t *testing.T) string { return killed(t) }, false},
		{"killed", func(t *testing.T) string { // what is not acknowledged does not count
			running := filepath.Join(t.TempDir(), "running")
			channels, _ := busyNode(t, options(running, 64))
			for _, name := range []string{"jobs", "events"} {
				c, err := channels.Open([]byte(name))
				if err != nil {
					t.Fatal(err)
				}
				defer c.Unlock()
				for range 3 {
					if err := c.Push([]byte("not acknowledged")); err != nil {
						t.Fatal(err)
					}
				}
			}
			path := filepath.Join(t.TempDir(), "data")
			copyDir(t, path, running)
			return path
		}, false},
		{"killed-out-of-turn", func(t *testing.T) string { // records delivered behind others that are not
			running := filepath.Join(t.TempDir(), "running")
			channels, _ := busyNode(t, options(running, 64))
			push(t, channels, "jobs", "five", "six")
			var popped []*storage.Run
			for range 6 {
				popped = append(popped, pop(t, channels, "jobs"))
			}
			popped[1].Deliver()
			popped[3].Deliver()
			popped[5].Deliver()
			path := filepath.Join(t.TempDir(), "data")
			copyDir(t, path, running)
			return path
		}, false},
		{"killed-ring-damaged", func(t *testing.T) string {
			path := killed(t)
			patch(t, path, "ring-000001.dat", 4096+8+3, "\x20")
			return path
		}, false},
		{"ring-set-aside", func(t *testing.T) string {
			path := killed(t)
			patch(t, path, "ring-000001.dat", 4096+8+3, "\x20")
			if _, err := recovered(path); err != nil {
				t.Fatal(err)
			}
			return path
		}, false},
		{"killed-ring-missing", func(t *testing.T) string {
			path := killed(t)
			remove(t, path, "ring-000002.dat")
			return path
		}, true},
		{"killed-ring-header-damaged", func(t *testing.T) string {
			path := killed(t)
			patch(t, path, "ring-000001.dat", 8, "\x00\x00")
			return path
		}, false},
		{"killed-slots-lost", func(t *testing.T) string {
			path := killed(t)
			patch(t, path, "storages.dat", 4096, strings.Repeat("\x00", 60<<10))
			return path
		}, true},
		{"killed-state-missing", func(t *testing.T) string {
			path := killed(t)
			remove(t, path, "storages.dat")
			return path
		}, false},
		{"killed-state-damaged", func(t *testing.T) string {
			path := killed(t)
			patch(t, path, "storages.dat", 4096, "\x02")
			return path
		}, true},
		{"killed-overflow-damaged", func(t *testing.T) string {
			path := killed(t)
			patch(t, path, "overflow.dat", 8+24, "\x3d")
			return path
		}, false},
		{"killed-overflow-first-damaged", func(t *testing.T) string {
			path := killedWith(t, 200)
			patch(t, path, "overflow.dat", 8+24, "\x3d") // a length; one bit is flipped
			return path
		}, false},
		{"killed-overflow-last-damaged", func(t *testing.T) string {
			path := killedWith(t, 200)
			patch(t, path, "overflow.dat", lastOf(t, path, "jobs")+24, "\x0f") // a length; one bit is flipped
			return path
		}, false},
		{"killed-overflow-cut", func(t *testing.T) string {
			path := killedWith(t, 200)
			if err := os.Truncate(filepath.Join(path, "overflow.dat"), 4000); err != nil {
				t.Fatal(err)
			}
			return path
		}, false},
		{"killed-overflow-missing", func(t *testing.T) string {
			path := killed(t)
			remove(t, path, "overflow.dat")
			return path
		}, false},
		{"dump-without-its-name", func(t *testing.T) string {
			path, _ := unnamed(t)
			return path
		}, false},
		{"dump-not-written", func(t *testing.T) string { return halfStopped(t, "dump-000059.dat") }, false},
		{"dump-lost-in-stop", func(t *testing.T) string {
			path, temporary := unnamed(t)
			remove(t, path, temporary)
			return path
		}, false},
		{"dump-damaged", func(t *testing.T) string {
			path := fixture(t, "interleaved")
			patch(t, path, "logs.rq", 12+8+5+8, "\xff")
			return path
		}, false},
		{"dumps-mixed", func(t *testing.T) string {
			path := fixture(t, "loadfiles")
			rename(t, path, "ch2.rq", "ch1.rq")
			return path
		}, false},
		{"index-mixed", func(t *testing.T) string {
			path := fixture(t, "loadfiles")
			b, err := os.ReadFile(filepath.Join(path, indexFile))
			if err != nil {
				t.Fatal(err)
			}
			write(t, path, indexFile, strings.Replace(string(b), "ch4 ", "ch1 ", 1))
			return path
		}, true},
		{"set-aside", func(t *testing.T) string {
			path := fixture(t, "crash/lost-index")
			write(t, path, "jobs.rq", "\x02\x00\x00\x00\x20\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00one\x03")
			if _, err := recovered(path); err != nil {
				t.Fatal(err)
			}
			return path
		}, false},
		{"setting-aside-interrupted", func(t *testing.T) string {
			path := fixture(t, "interleaved")
			rename(t, path, "overflow.dat", "overflow-rebuilt.dat")
			rename(t, path, "ofchannels.csv", "ofchannels-rebuilt.csv")
			return path
		}, false},
		{"index-rebuilt", func(t *testing.T) string {
			path := fixture(t, "interleaved")
			rename(t, path, "ofchannels.csv", "ofchannels-rebuilt.csv")
			return path
		}, false},
		{"data-missing", func(t *testing.T) string {
			path := fixture(t, "interleaved")
			remove(t, path, "overflow.dat")
			return path
		}, false},
		{"garbage", func(t *testing.T) string {
			path := fixture(t, "interleaved")
			patch(t, path, "overflow.dat", 118+16, "\x55")
			return path
		}, false},
		{"other-files", func(t *testing.T) string {
			path := fixture(t, "loadfiles")
			write(t, path, "a.b.rq", "")
			write(t, path, ".hidden", "")
			write(t, path, "falloctest_abcdef", "")
			write(t, path, "README", "")
			write(t, path, `back\slash`, "")
			if err := os.Mkdir(filepath.Join(path, "sub"), 0o777); err != nil {
				t.Fatal(err)
			}
			return path
		}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := tc.prepare(t)
			report := watched(t, path, "")
			golden(t, tc.name, report)
			want, err := recovered(path)
			if (err != nil) != tc.refused {
				t.Fatalf("a start there: %v", err)
			}
			if got := report.counted(); err == nil && !reflect.DeepEqual(got, want) {
				t.Errorf("records found: %v, a node has %v", got, want)
			}
		})
	}
}
