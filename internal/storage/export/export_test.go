package export

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/check"
)

func nodeOptions(dir string) storage.Options {
	return storage.Options{
		Dir: dir, RingInFile: true, Checksums: true, Keep: true,
		RingSize: func(string) uint64 { return 100 },
		Logs:     func(string) *zap.Logger { return zap.NewNop() },
	}
}

// left is a directory with records in rings and spill files.
func left(t *testing.T, o storage.Options, stop bool) string {
	t.Helper()
	cs, err := storage.Load(o)
	if err == nil {
		err = cs.Serve()
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := cs.Open([]byte("jobs"))
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{30, 40, 50} { // the last one spills
		if err := c.Push([]byte(strings.Repeat("x", size))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Subscribe("late"); err != nil {
		t.Fatal(err)
	}
	c.Commit()
	if stop {
		if err := cs.Close(); err != nil {
			t.Fatal(err)
		}
	} else {
		t.Cleanup(func() { cs.Close() })
	}
	return o.Dir
}

func options(dir string) Options {
	return Options{Dir: dir, Logs: func(string) *zap.Logger { return zap.NewNop() }}
}

// What was kept becomes dumps no larger than the limit, and an overflow.
func TestExport(t *testing.T) {
	for _, test := range []struct {
		name             string
		limit            uint64
		memory, overflow check.Count
		needed           uint64
		files            string
	}{
		{"as large as the rings", 0, check.Count{Records: 2, Bytes: 70}, check.Count{Records: 1, Bytes: 50}, 86, "late@jobs.rq ofchannels.csv overflow.dat"},
		{"with a smaller limit", 50, check.Count{}, check.Count{Records: 3, Bytes: 120}, 0, "ofchannels.csv overflow.dat"},
	} {
		t.Run(test.name, func(t *testing.T) {
			rings := t.TempDir()
			node := nodeOptions(t.TempDir())
			node.RingDir = rings
			dir := left(t, node, true)
			o := options(dir)
			o.RingDir, o.Limit = rings, test.limit
			got, err := Directory(o)
			if want := (Result{3, 120, test.needed}); err != nil || got != want {
				t.Fatalf("got %+v, %v, want %+v", got, err, want)
			}
			r, err := check.Directory(dir, rings)
			if err != nil {
				t.Fatal(err)
			}
			if r.Situation != check.Stopped || len(r.Faults) > 0 || r.Totals.Memory != test.memory || r.Totals.Overflow != test.overflow {
				t.Errorf("got %+v, want stopped with %v in dumps and %v in the overflow", r, test.memory, test.overflow)
			}
			if files := strings.Join(append(list(t, dir), list(t, rings)...), " "); files != test.files {
				t.Errorf("there is %q, want %q", files, test.files)
			}
			if _, err := Directory(o); !errors.Is(err, ErrNothing) {
				t.Errorf("once more: got %v, want %v", err, ErrNothing)
			}
		})
	}
}

func list(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// A directory in use stays as it is.
func TestNotWhileANodeRuns(t *testing.T) {
	dir := left(t, nodeOptions(t.TempDir()), false)
	if _, err := Directory(options(dir)); err == nil || !strings.Contains(err.Error(), "is in use by") {
		t.Errorf("got error %v, want that the directory is in use", err)
	}
	r, err := check.Directory(dir, "")
	if want := (check.Count{Records: 3, Bytes: 120}); err != nil || r.Situation != check.Running || r.Totals.Total != want {
		t.Errorf("got %+v, %v, want running with %v", r, err, want)
	}
}

// A directory that can't be started from is not changed.
func TestMissingFile(t *testing.T) {
	dir := left(t, nodeOptions(t.TempDir()), true)
	for _, name := range list(t, dir) {
		if strings.HasPrefix(name, "spill-") {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	before := list(t, dir)
	_, err := Directory(options(dir))
	if err == nil || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("got error %v, want that a file is missing", err)
	}
	if after := list(t, dir); strings.Join(after, " ") != strings.Join(before, " ") {
		t.Errorf("there is %v, want %v", after, before)
	}
}
