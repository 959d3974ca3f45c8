package storage

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestADirectoryBelongsToOneProcess(t *testing.T) {
	path := t.TempDir()
	options := realOptions(path)
	options.inline = true
	cs := serve(t, options)
	push(t, cs, "c", "1")
	before := files(t, path)
	if _, err := Load(realOptions(path)); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("second Load: got error %v, want that the directory is in use", err)
	}
	if after := files(t, path); !reflect.DeepEqual(after, before) {
		t.Error("a Load that failed changed the directory")
	}
}

// In a directory of rings that several nodes have, each leaves the rings of the others.
func TestNodesMayShareADirectoryOfRings(t *testing.T) {
	rings := t.TempDir()
	var options []Options
	for _, record := range []string{"one", "two"} {
		o := realOptions(t.TempDir())
		o.RingDir = rings
		cs := mustLoad(t, o)
		if err := cs.Serve(); err != nil {
			t.Fatal(err)
		}
		push(t, cs, "c", record, strings.Repeat(record, 1000))
		kill(cs)
		options = append(options, o)
	}
	for i, record := range []string{"one", "two"} {
		cs := mustLoad(t, options[i])
		if err := cs.Serve(); err != nil {
			t.Fatal(err)
		}
		if got := contents(newTrial(t), cs)["c"]; len(got) != 2 || got[0] != record {
			t.Errorf("got %.10q, want %q and what spilled", got, record)
		}
		if err := cs.Close(); err != nil {
			t.Error(err)
		}
	}
	for name := range files(t, rings) {
		if strings.HasPrefix(name, "ring-") {
			continue // a spare of a killed node: nobody knows whether that will be started again
		}
		t.Errorf("after clean stops there is %s", name)
	}
}

// A copy of a data directory says that the same ring files are its own. Not while the node runs
// that has them; after that they are there for either.
func TestACopyOfADataDirectoryDoesNotTakeTheRingsOfTheOther(t *testing.T) {
	rings, path := t.TempDir(), filepath.Join(t.TempDir(), "data")
	one, two := realOptions(t.TempDir()), realOptions(path)
	one.RingDir, two.RingDir, one.Keep = rings, rings, true
	one.inline = true // no files come in the background
	first := mustLoad(t, one)
	if err := first.Serve(); err != nil {
		t.Fatal(err)
	}
	push(t, first, "c", "1", "2")
	if err := os.CopyFS(path, os.DirFS(one.Dir)); err != nil {
		t.Fatal(err)
	}
	before, beforeRings := files(t, path), files(t, rings)
	_, err := Load(two)
	for _, want := range []string{rings, one.Dir, path, "another ring_dir"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one with %s", err, want)
		}
	}
	if !reflect.DeepEqual(files(t, path), before) || !reflect.DeepEqual(files(t, rings), beforeRings) {
		t.Error("a start that failed has changed a file")
	}
	push(t, first, "c", "3")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	cs := serve(t, one)
	if got := contents(newTrial(t), cs)["c"]; !reflect.DeepEqual(got, []string{"1", "2", "3"}) {
		t.Errorf("got %q, want 1, 2, 3", got)
	}
}

// The lock file of a killed node stays, and is no obstacle. A start that fails leaves none.
func TestALockFileWithoutOwner(t *testing.T) {
	options := realOptions(t.TempDir())
	options.RingDir = t.TempDir()
	cs := mustLoad(t, options)
	if err := cs.Serve(); err != nil {
		t.Fatal(err)
	}
	push(t, cs, "c", "1")
	kill(cs)
	cs = mustLoad(t, options)
	if err := cs.Serve(); err != nil {
		t.Fatal(err)
	}
	if got := contents(newTrial(t), cs)["c"]; !reflect.DeepEqual(got, []string{"1"}) {
		t.Errorf("after a kill: got %q, want the record", got)
	}
	if err := cs.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(options.Dir, "overflow.dat"), 0o777); err != nil {
		t.Fatal(err)
	}
	if cs, err := Load(options); err == nil {
		cs.Close()
		t.Error("the node has started where the overflow is a directory")
	}
	if left := slices.Sorted(maps.Keys(files(t, options.RingDir))); len(left) > 0 {
		t.Errorf("a start that failed leaves %q in the directory of rings", left)
	}
}

// Who waits for the lock file while its owner deletes it must not have one that nobody sees.
func TestALockFileThatIsDeletedWhileItIsOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	done := make(chan error)
	for range 4 {
		go func() {
			for range 500 {
				f, err := lockFile(path)
				if errors.Is(err, unix.EWOULDBLOCK) {
					continue
				}
				if err == nil {
					err = os.Remove(path) // fails if another one has, who must have had the lock then
					f.Close()
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
