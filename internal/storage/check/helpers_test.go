package check

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/overflow"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/state"
)

// fixtures are the directories of storage spec §8.
var fixtures = []string{
	"loadfiles", "interleaved", "crash/lost-index", "crash/stale-pushed", "crash/stale-popped", "crash/stale-drained",
}

// fixture returns a copy of a fixture, whose files have the same age.
func fixture(t testing.TB, name string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "data")
	copyDir(t, path, filepath.Join("..", "overflow", "testdata", name))
	return path
}

// copyDir copies a flat directory.
func copyDir(t testing.TB, to, from string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	sameAge(t, to)
}

// sameAge gives all files the same, old times: old enough for the system to store a new
// access time if they are read without care.
func sameAge(t testing.TB, path string) {
	t.Helper()
	names := list(t, path)
	then := time.Now().Add(-48 * time.Hour).Truncate(time.Second)
	for _, name := range append(names, ".") {
		if err := os.Chtimes(filepath.Join(path, name), then, then); err != nil {
			t.Fatal(err)
		}
	}
}

func list(t testing.TB, path string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// stats returns what the system tells of a directory and its files, access times included.
func stats(t testing.TB, path string, names []string) map[string]unix.Stat_t {
	t.Helper()
	all := make(map[string]unix.Stat_t)
	for _, name := range append(names, ".") {
		var stat unix.Stat_t
		if err := unix.Lstat(filepath.Join(path, name), &stat); err != nil {
			t.Fatal(err)
		}
		all[name] = stat
	}
	return all
}

// watched checks a directory, and that nothing in it changes.
func watched(t testing.TB, path, ringPath string) *Report {
	t.Helper()
	filesBefore := contents(t, path)
	names := slices.Collect(maps.Keys(filesBefore))
	sameAge(t, path)
	statsBefore := stats(t, path, names)
	report, err := Directory(path, ringPath)
	if err != nil {
		t.Fatalf("Directory: %v", err)
	}
	for name, after := range stats(t, path, names) {
		if before := statsBefore[name]; after != before {
			t.Errorf("%s after the check:\n got %+v\nwant %+v", name, after, before)
		}
	}
	if !reflect.DeepEqual(contents(t, path), filesBefore) {
		t.Errorf("the check has changed, made or removed a file")
	}
	return report
}

func contents(t testing.TB, path string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, name := range list(t, path) {
		b, err := os.ReadFile(filepath.Join(path, name))
		if err != nil && !errors.Is(err, unix.EISDIR) {
			t.Fatal(err)
		}
		all[name] = string(b)
	}
	return all
}

// options are those of a node on a directory, with rings of so many bytes.
func options(path string, ringSize uint64) storage.StoreOptions {
	return storage.StoreOptions{
		Dir: path, RingInFile: true,
		RingSize: func(string) uint64 { return ringSize },
		Logs:     func(string) *zap.Logger { return zap.NewNop() },
	}
}

// push pushes records to a channel.
func push(t testing.TB, channels *storage.Channels, channel string, records ...string) {
	t.Helper()
	c, err := channels.Open([]byte(channel))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Unlock()
	for _, r := range records {
		if err := c.Push([]byte(r)); err != nil {
			t.Fatal(err)
		}
	}
}

func subscribe(t testing.TB, channels *storage.Channels, subscriber, channel string) {
	t.Helper()
	c, err := channels.Open([]byte(channel))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Unlock()
	if _, err := c.Subscribe(subscriber); err != nil {
		t.Fatal(err)
	}
}

// start starts a node, which stops with the test or when stop is called.
func start(t testing.TB, o storage.StoreOptions) (channels *storage.Channels, stop func() error) {
	t.Helper()
	channels, err := storage.Load(o)
	if err != nil {
		t.Fatal(err)
	}
	channels.Commit()
	stop = sync.OnceValue(channels.Close)
	t.Cleanup(func() { stop() })
	return channels, stop
}

// busyNode starts a node with rings of 64 bytes, and records in rings and overflow.
func busyNode(t testing.TB, o storage.StoreOptions) (channels *storage.Channels, stop func() error) {
	t.Helper()
	channels, stop = start(t, o)
	push(t, channels, "jobs", "one", "two", strings.Repeat("3", 60), "four")
	subscribe(t, channels, "", "events")
	push(t, channels, "events", "e1", "", "e3")
	subscribe(t, channels, "late", "events")
	return channels, stop
}

// killed returns the directory of a node that was killed: a copy of that of a running one.
func killed(t testing.TB) (path string) {
	t.Helper()
	running := filepath.Join(t.TempDir(), "running")
	busyNode(t, options(running, 64))
	path = filepath.Join(t.TempDir(), "data")
	copyDir(t, path, running)
	return path
}

// killedWith returns the directory of such a node that has got so many more records of jobs.
func killedWith(t testing.TB, records int) (path string) {
	t.Helper()
	running := filepath.Join(t.TempDir(), "running")
	channels, _ := busyNode(t, options(running, 64))
	for i := range records {
		push(t, channels, "jobs", fmt.Sprintf("job %03d.", i))
	}
	path = filepath.Join(t.TempDir(), "data")
	copyDir(t, path, running)
	return path
}

// lastOf returns the offset of the newest record of a storage in the overflow of a node that
// was killed.
func lastOf(t testing.TB, path, name string) int64 {
	t.Helper()
	dir, err := disk.OpenDirReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := state.Inspect(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range snapshot.Slots {
		if slot.Identity().Storage == name {
			return slot.Positions().Last - snapshot.Header.OverflowBase
		}
	}
	t.Fatalf("there is no storage %s", name)
	return 0
}

// popped starts a node on a directory and returns how many records of a channel it delivers.
func popped(t testing.TB, path, channel string) (records uint64) {
	t.Helper()
	channels, _ := start(t, options(path, 64))
	for run := pop(t, channels, channel); run != nil; run = pop(t, channels, channel) {
		records++
		run.Deliver()
	}
	return records
}

// pop hands out the next record of a channel, or nil.
func pop(t testing.TB, channels *storage.Channels, channel string) *storage.Run {
	t.Helper()
	c, err := channels.Open([]byte(channel))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Unlock()
	run, err := c.Pop(false)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

// recovered starts a node on a directory and stops it, and returns how many records it
// has saved, by storage.
func recovered(path string) (map[string]uint64, error) {
	channels, err := storage.Load(options(path, 64))
	if err != nil {
		return nil, err
	}
	channels.Commit()
	if err := channels.Close(); err != nil {
		return nil, err
	}
	records := make(map[string]uint64)
	dumps, err := filepath.Glob(filepath.Join(path, "*.rq"))
	if err != nil {
		return nil, err
	}
	for _, file := range dumps {
		name := strings.TrimSuffix(filepath.Base(file), ".rq")
		if _, _, _, ok := names.ParseStorage(name); !ok {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		records[name] += uint64(binary.LittleEndian.Uint32(b))
	}
	index, err := os.ReadFile(filepath.Join(path, indexFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	entries, err := overflow.ParseIndex(bytes.NewReader(index))
	for _, e := range entries {
		records[e.Name] += uint64(e.Records)
	}
	return records, err
}

// counted returns how many records the report says there are.
func (r *Report) counted() map[string]uint64 {
	records := make(map[string]uint64)
	for _, s := range r.Storages {
		if s.Total.Records > 0 || s.Kind == Subscriber {
			records[s.Name] = s.Total.Records
		}
	}
	return records
}

func text(r *Report) string {
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		return fmt.Sprint(err)
	}
	return b.String()
}
