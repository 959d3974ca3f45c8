package overflow

import (
	"maps"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A start that has appended copies to the overflow and then fails leaves no trace of them.
func TestUndoLeavesTheDataFileAsItWas(t *testing.T) {
	push := func(t *testing.T, f *File, _ map[string]*Queue) {
		q, err := f.Create("new")
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := q.PushRun(makeRun("copy", "copy"), 2); err != nil {
				t.Fatal(err)
			}
		}
		q.Published()
	}
	for _, c := range []struct {
		name string
		make func() *memDir
		do   func(t *testing.T, f *File, queues map[string]*Queue)
	}{
		{"pushed", func() *memDir {
			b := newBuilder()
			x := b.push(1, "x")
			return b.dir(line("a", 1, 1, x, x))
		}, push},
		{"nothing was done", func() *memDir {
			b := newBuilder()
			x := b.push(1, "x")
			return b.dir(line("a", 1, 1, x, x))
		}, func(*testing.T, *File, map[string]*Queue) {}},
		{"consumed records at the end", func() *memDir {
			b := newBuilder()
			x := b.push(1, "x")
			b.push(2, "consumed")
			return b.dir(line("a", 1, 1, x, x))
		}, push},
		{"a dangling link", func() *memDir {
			b := newBuilder()
			x := b.push(1, "x")
			b.link(x, len(b.data))
			return b.dir(line("a", 1, 1, x, x))
		}, push},
		{"pushed to a storage that has records", func() *memDir {
			b := newBuilder()
			x := b.push(1, "x")
			return b.dir(line("a", 1, 1, x, x))
		}, func(t *testing.T, _ *File, queues map[string]*Queue) {
			for range 3 {
				if err := queues["a"].Push([]byte("copy")); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"marked", func() *memDir {
			b := newBuilder()
			x := b.push(1, "x")
			return b.dir(line("a", 1, 1, x, x))
		}, func(t *testing.T, _ *File, queues map[string]*Queue) {
			if _, _, err := queues["a"].Take(1, 1); err != nil {
				t.Fatal(err)
			}
			if err := queues["a"].Mark(queues["a"].Handed(1), 1); err != nil {
				t.Fatal(err)
			}
		}},
		{"all records were moved elsewhere", func() *memDir {
			b := newBuilder()
			x := b.push(1, "x")
			return b.dir(line("a", 1, 1, x, x))
		}, func(t *testing.T, _ *File, queues map[string]*Queue) {
			mustDrain(t, queues["a"])
			queues["a"].Published()
		}},
		{"only a magic", func() *memDir { return newBuilder().dir("") }, push},
		{"empty files", func() *memDir {
			d := newMemDir()
			d.put(dataName, nil, time.Now())
			d.put(indexName, nil, time.Now())
			return d
		}, push},
		{"a push that had no room", func() *memDir {
			b := newBuilder()
			x := b.push(1, "x")
			d := b.dir(line("a", 1, 1, x, x))
			d.space = 2 * pageSize
			return d
		}, func(t *testing.T, _ *File, queues map[string]*Queue) {
			if err := queues["a"].Push(make([]byte, 3*pageSize)); err == nil {
				t.Error("there was room")
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := c.make()
			then := time.Unix(1_700_000_000, 0)
			for _, f := range dir.files {
				f.modified = then
			}
			before := dir.clone()
			f, queues := held(t, dir)
			c.do(t, f, queues)
			if err := f.Undo(); err != nil {
				t.Fatal(err)
			}
			for name, want := range before.files {
				got := dir.files[name]
				if string(got.data) != string(want.data) || !got.modified.Equal(then) {
					t.Errorf("%s of %v:\n got %q\nwant %q of %v", name, got.modified, got.data, want.data, then)
				}
			}
		})
	}
}

// held opens a directory without States and holds it.
func held(t *testing.T, dir *memDir) (*File, map[string]*Queue) {
	t.Helper()
	entries := mustRecover(t, dir)
	f, err := open(dir, fileNames{dataName, indexName}, silent, Global{}, func(Global) {})
	if err != nil {
		t.Fatal(err)
	}
	f.window.step = pageSize
	if err := f.Hold(); err != nil {
		t.Fatal(err)
	}
	queues := make(map[string]*Queue)
	for _, e := range entries {
		if queues[e.Name], err = f.Attach(e.Name, e.State); err != nil {
			t.Fatal(err)
		}
	}
	return f, queues
}

// After Release everything is as if the file had never been held.
func TestReleaseEndsHold(t *testing.T) {
	b := newBuilder()
	x := b.push(1, "x")
	b.push(2, "consumed")
	for name, want := range map[string][]string{"kept": {"x", "y"}, "moved": {"y"}, "moved and copied": {"copy", "y"}} {
		dir := b.dir(line("a", 1, 1, x, x))
		f, queues := held(t, dir)
		a := queues["a"]
		if name != "kept" {
			mustDrain(t, a)
			a.Published()
		}
		if name == "moved and copied" {
			if err := a.Push([]byte("copy")); err != nil {
				t.Fatal(err)
			}
			a.Published()
		}
		f.Release()
		if empty := len(dir.files[dataName].data) == 0; empty != (name == "moved") {
			t.Errorf("%s: the file is empty: %t", name, empty)
		}
		if err := a.Push([]byte("y")); err != nil {
			t.Fatal(err)
		}
		at := a.State().Last
		if want := int64(x + headerSize + 1); name == "kept" && at != want {
			t.Errorf("%s: the next record lies at %d, want %d: what was consumed takes space", name, at, want)
		}
		a.Published()
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		checkRecovered(t, dir, mustRecover(t, dir), map[string][]string{"a": want})
	}
}

// A failure to undo is told, and leaves a file with all records.
func TestUndoThatFailsLosesNothing(t *testing.T) {
	for _, operation := range []string{"truncate", "set time", "close", "size"} {
		b := newBuilder()
		x := b.push(1, "x")
		b.link(x, len(b.data))
		dir := b.dir(line("a", 1, 1, x, x))
		f, _ := held(t, dir)
		q, err := f.Create("new")
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Push([]byte("copy")); err != nil {
			t.Fatal(err)
		}
		dir.fault = func(op, name string) error {
			if op == operation {
				return pathError(op, name, unix.EIO)
			}
			return nil
		}
		if err := f.Undo(); err == nil {
			t.Errorf("%s fails: no error", operation)
		}
		dir.fault = nil
		entries, err := Recover(dir, silent)
		if err != nil {
			t.Fatal(err)
		}
		_, queues := publishedEntries(entries).mustOpen(t, dir)
		if got := drainAll(t, queues); !slices.Equal(slices.Collect(maps.Keys(got)), []string{"a"}) || got["a"][0] != "x" {
			t.Errorf("%s fails: got %q", operation, got)
		}
	}
}
