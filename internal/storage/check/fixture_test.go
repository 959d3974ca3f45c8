package check

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

const ringSize = 1000

// options are those of a node with small rings in files.
func options(dir string) storage.Options {
	return storage.Options{
		Dir: dir, RingInFile: true, Checksums: true,
		RingSize: func(string) uint64 { return ringSize },
		Logs:     func(string) *zap.Logger { return zap.NewNop() },
	}
}

// load starts a node, without clients.
func load(t testing.TB, o storage.Options) *storage.Channels {
	t.Helper()
	cs, err := storage.Load(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := cs.Serve(); err != nil {
		t.Fatal(err)
	}
	return cs
}

func closeIt(t testing.TB, cs io.Closer) {
	t.Helper()
	if err := cs.Close(); err != nil {
		t.Fatal(err)
	}
}

func push(t testing.TB, cs *storage.Channels, channel string, payloads ...string) {
	t.Helper()
	c, err := cs.Open([]byte(channel))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Commit()
	for _, p := range payloads {
		if err := c.Push([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
}

func subscribe(t testing.TB, cs *storage.Channels, channel, subscriber string) {
	t.Helper()
	c, err := cs.Open([]byte(channel))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Commit()
	if _, err := c.Subscribe(subscriber); err != nil {
		t.Fatal(err)
	}
}

func pop(t testing.TB, cs *storage.Channels, channel string) *storage.Run {
	t.Helper()
	c, err := cs.Open([]byte(channel))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Commit()
	run, err := c.Pop(false)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// killed returns what a node leaves that is killed now.
func killed(t testing.TB, dir string) (left string) {
	t.Helper()
	left = t.TempDir()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(left, e.Name()), b, 0o600)
		}
		if err != nil && !os.IsNotExist(err) { // a spare file may have become another one
			t.Fatal(err)
		}
	}
	return left
}

// node is a node without clients, and its directory.
type node struct {
	*storage.Channels
	dir string
}

// busy starts a node that has records in rings and spill files, and one delivered out of turn.
func busy(t testing.TB, o storage.Options) node {
	t.Helper()
	cs := load(t, o)
	push(t, cs, "jobs", "one", "two", "three")
	pop(t, cs, "jobs") // is held
	pop(t, cs, "jobs").Deliver()
	push(t, cs, "logs", strings.Repeat("x", 600), strings.Repeat("y", 600), "z")
	push(t, cs, "events", "e1", "")
	subscribe(t, cs, "events", "")
	subscribe(t, cs, "events", "late")
	return node{cs, o.Dir}
}

// ringOf returns the name of the ring file of a storage.
func ringOf(t testing.TB, dir, storage string) string {
	t.Helper()
	d, err := disk.OpenDirReadOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := d.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if h, err := ring.ReadHead(d, e.Name()); err == nil && h.Kind == ring.Main && h.Name == storage {
			return e.Name()
		}
	}
	t.Fatalf("%s has no ring file", storage)
	return ""
}

func directory(t testing.TB, dir string) *Report {
	t.Helper()
	r, err := Directory(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func text(t testing.TB, r *Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
