package check

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
)

func TestRunningNode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	_, stop := busyNode(t, options(path, 64))
	write(t, path, "new.rq", strings.Repeat("\x00", 12))
	sameAge(t, path)
	golden(t, "running", watched(t, path, ""))
	remove(t, path, "new.rq")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	golden(t, "stopped", watched(t, path, ""))
}

func TestRingsInMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	o := options(path, 64)
	o.RingInFile = false
	busyNode(t, o)
	golden(t, "rings-in-memory", watched(t, path, ""))
}

func TestRingDir(t *testing.T) {
	running, rings := filepath.Join(t.TempDir(), "running"), t.TempDir()
	o := options(running, 64)
	o.RingDir = rings
	busyNode(t, o)
	path := filepath.Join(t.TempDir(), "data")
	copyDir(t, path, running)
	golden(t, "killed", watched(t, path, rings))
	if r := watched(t, path, ""); len(r.Faults) != 2 {
		t.Errorf("without the directory of the rings:\n%s\nwant a fault for each of the 2 rings with records", text(r))
	}
	write(t, rings, "ring-000009.dat", "")
	if r := watched(t, path, rings); len(r.Notes) != 1 || r.Notes[0].File != "ring-000009.dat" || len(r.Faults) != 0 {
		t.Errorf("with a stray ring file:\n%s\nwant a note", text(r))
	}
}

// A dump that has been loaded counts once, and is known by its identity alone.
func TestLoadedDumpThatIsStillThere(t *testing.T) {
	running := fixture(t, "interleaved")
	channels, err := storage.Load(options(running, 64))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { channels.Close() })
	path := filepath.Join(t.TempDir(), "data")
	copyDir(t, path, running)
	remove(t, path, "logs.rq")
	if err := os.Link(filepath.Join(running, "logs.rq"), filepath.Join(path, "logs.rq")); err != nil {
		t.Fatal(err)
	}
	report, err := Directory(path, "")
	if err != nil {
		t.Fatal(err)
	}
	want, err := recovered(path)
	if got := report.counted(); err != nil || !reflect.DeepEqual(got, want) || got["logs"] != 9 {
		t.Errorf("records found: %v, a node has %v, %v; want 9 of storage logs", got, want, err)
	}
}

func TestUnreadableFiles(t *testing.T) {
	path := fixture(t, "loadfiles")
	remove(t, path, dataFile)
	if err := os.Mkdir(filepath.Join(path, dataFile), 0o777); err != nil {
		t.Fatal(err)
	}
	r := watched(t, path, "")
	if len(r.Incomplete) != 1 || !strings.Contains(r.Incomplete[0], "overflow.dat is not a regular file") {
		t.Errorf("incomplete because of %q, want it to be overflow.dat", r.Incomplete)
	}
	if r.Totals.Memory != (Count{5, 50}) {
		t.Errorf("in dumps: %v, want 5 records of 50 bytes", r.Totals.Memory)
	}
}

// A link that leads nowhere is a fault, and does not keep the others from being counted.
func TestLinksThatLeadNowhere(t *testing.T) {
	for target, problem := range map[string]string{"aaa.rq": "back to itself", "nothing": "does not exist"} {
		path := fixture(t, "loadfiles")
		if err := os.Symlink(target, filepath.Join(path, "aaa.rq")); err != nil {
			t.Fatal(err)
		}
		r, err := Directory(path, "")
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Faults) != 1 || r.Faults[0].File != "aaa.rq" || !strings.Contains(r.Faults[0].Problem, problem) ||
			!strings.Contains(r.Faults[0].Remedy, "remove") || len(r.Incomplete) > 0 {
			t.Errorf("a link to %s:\n%s\nwant one fault, that it %q", target, text(r), problem)
		}
		if r.Totals.Memory != (Count{5, 50}) {
			t.Errorf("a link to %s: in dumps: %v, want 5 records of 50 bytes", target, r.Totals.Memory)
		}
	}
}

// Nor does a dump that cannot be looked at, for example because of what its link leads through.
func TestADumpThatCannotBeLookedAt(t *testing.T) {
	path := fixture(t, "loadfiles")
	if err := os.Symlink("ch2.rq/file", filepath.Join(path, "aaa.rq")); err != nil {
		t.Fatal(err)
	}
	r, err := Directory(path, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Incomplete) != 1 || !strings.Contains(r.Incomplete[0], "aaa.rq") || r.Totals.Memory != (Count{5, 50}) {
		t.Errorf("got\n%s\nwant it incomplete because of aaa.rq, with 5 records of 50 bytes in dumps", text(r))
	}
}
