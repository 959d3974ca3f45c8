package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func mustOpenDir(t *testing.T) (Dir, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a", "b")
	d, err := OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	return d, path
}

func mustCreate(t *testing.T, d Dir, name, content string) File {
	t.Helper()
	f, err := d.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if _, err := f.WriteAt([]byte(content), 0); err != nil {
		t.Fatal(err)
	}
	return f
}

func content(t *testing.T, d Dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(d.Path(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestDirectory(t *testing.T) {
	d, path := mustOpenDir(t)
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		t.Fatalf("the directory was not made: %v", err)
	}
	if _, err := OpenDir(path); err != nil {
		t.Errorf("a directory that exists: %v", err)
	}
	if got, want := d.Path("f"), filepath.Join(path, "f"); got != want {
		t.Errorf("Path: got %s, want %s", got, want)
	}
	mustCreate(t, d, "f", "old")
	if _, err := d.Create("f"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create of a file that exists: got error %v", err)
	}
	if _, err := d.Open("none"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), d.Path("none")) {
		t.Errorf("Open of a file that does not exist: got error %v, want one that names it", err)
	}
	mustCreate(t, d, "new", "another")
	if err := d.Rename("f", "new"); err != nil || content(t, d, "new") != "old" {
		t.Errorf("Rename over another file: %v", err)
	}
	if info, err := d.Stat("new"); err != nil || info.Size() != 3 {
		t.Errorf("Stat: got %v, %v", info, err)
	}
	if entries, err := d.List(); err != nil || len(entries) != 1 || entries[0].Name() != "new" {
		t.Errorf("List: got %v, %v", entries, err)
	}
	if err := errors.Join(d.Sync(), d.SyncAll()); err != nil {
		t.Errorf("Sync: %v", err)
	}
	if free, err := d.Free(); err != nil || free == 0 {
		t.Errorf("Free: got %d, %v", free, err)
	}
	if info, err := os.Stat(d.Path("new")); err != nil || info.Mode() != 0o600 {
		t.Errorf("others may read a file: mode %v, %v", info.Mode(), err)
	}
	if err := d.Remove("new"); err != nil {
		t.Errorf("Remove: %v", err)
	}
	if err := d.Remove("new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Remove of a file that does not exist: got error %v", err)
	}
}

// A file of which the process may not write, though it may read it, can be opened to be read.
func TestOpenToReadAsksForNoMore(t *testing.T) {
	d, _ := mustOpenDir(t)
	mustCreate(t, d, "f", "content")
	f, err := OpenToRead(d, "f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if flags, err := unix.FcntlInt(uintptr(f.(readOnlyFile).fd), unix.F_GETFL, 0); err != nil || flags&unix.O_ACCMODE != unix.O_RDONLY {
		t.Errorf("flags: got %#o, %v, want O_RDONLY", flags, err)
	}
	b := make([]byte, 7)
	if _, err := f.ReadAt(b, 0); err != nil || string(b) != "content" {
		t.Errorf("ReadAt: got %q, %v", b, err)
	}
	if m, err := f.Map(7); err != nil || string(m.Bytes()) != "content" {
		t.Errorf("Map: got %v", err)
	}
	if _, err := f.WriteAt(b, 0); err == nil {
		t.Error("WriteAt succeeded")
	}
	if _, err := OpenToRead(d, "none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenToRead of a file that does not exist: got error %v", err)
	}
}

// More than the file has may be mapped: it is there as soon as it is written to.
func TestMappedAheadOfTheFile(t *testing.T) {
	d, _ := mustOpenDir(t)
	f := mustCreate(t, d, "f", "x")
	m, err := f.Map(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if _, err := f.WriteAt(make([]byte, 8192), 1<<19); err != nil {
		t.Fatal(err)
	}
	copy(m.Bytes()[1<<19:], "stored")
	b := make([]byte, 6)
	if _, err := f.ReadAt(b, 1<<19); err != nil || string(b) != "stored" {
		t.Errorf("got %q, %v", b, err)
	}
	if _, err := f.Map(1 << 62); err == nil || !strings.Contains(err.Error(), d.Path("f")) {
		t.Errorf("Map of too much: got error %v, want one that names the file", err)
	}
}

// What is given back reads as zeros and takes no disk space; the length stays.
func TestPunch(t *testing.T) {
	d, _ := mustOpenDir(t)
	const size = 1 << 20
	f := mustCreate(t, d, "f", strings.Repeat("x", size))
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	blocks := func() int64 {
		info, err := d.Stat("f")
		if err != nil {
			t.Fatal(err)
		}
		return info.Sys().(*syscall.Stat_t).Blocks * 512
	}
	before := blocks()
	if err := f.Punch(4096, size-8192); errors.Is(err, errors.ErrUnsupported) {
		t.Skip("the file system can't give back disk space")
	} else if err != nil {
		t.Fatal(err)
	}
	want := strings.Repeat("x", 4096) + strings.Repeat("\x00", size-8192) + strings.Repeat("x", 4096)
	if got := content(t, d, "f"); got != want {
		t.Errorf("%d bytes are left", len(got)-strings.Count(got, "\x00"))
	}
	if after := blocks(); before >= size && after > before/2 {
		t.Errorf("%d bytes of disk space, %d before", after, before)
	}
	if err := f.Punch(0, 0); err == nil || !strings.Contains(err.Error(), d.Path("f")) {
		t.Errorf("Punch of nothing: got error %v, want one that names the file", err)
	}
}

func TestMappedBytesAreThoseOfTheFile(t *testing.T) {
	d, _ := mustOpenDir(t)
	f := mustCreate(t, d, "f", strings.Repeat("x", 5000))
	m, err := f.Map(5000)
	if err != nil {
		t.Fatal(err)
	}
	f.Close() // the mapping stays
	copy(m.Bytes()[4997:], "yyy")
	if got := content(t, d, "f")[4990:]; got != "xxxxxxxyyy" || len(m.Bytes()) != 5000 {
		t.Errorf("the file ends with %q, %d bytes are mapped", got, len(m.Bytes()))
	}
	if err := m.Sync(0, 4096); err != nil {
		t.Errorf("Sync: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestFile(t *testing.T) {
	d, _ := mustOpenDir(t)
	f := mustCreate(t, d, "f", strings.Repeat("a", 4096)+"c")
	if size, err := f.Size(); err != nil || size != 4097 {
		t.Errorf("Size: got %d, %v", size, err)
	}
	if err := f.Truncate(2); err != nil {
		t.Errorf("Truncate: %v", err)
	}
	var b [3]byte
	if n, err := f.ReadAt(b[:], 0); n != 2 || err != io.EOF {
		t.Errorf("ReadAt behind the end: got %d, %v", n, err)
	}
	f.Ahead()
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Errorf("Sync, Close: %v", err)
	}
	_, readErr := f.ReadAt(b[:], 0)
	_, writeErr := f.WriteAt(b[:], 0)
	_, sizeErr := f.Size()
	for what, err := range map[string]error{
		"ReadAt": readErr, "WriteAt": writeErr, "Size": sizeErr, "Truncate": f.Truncate(1), "Sync": f.Sync(), "Close": f.Close(),
	} {
		if !errors.Is(err, unix.EBADF) || !strings.Contains(err.Error(), d.Path("f")) {
			t.Errorf("%s of a closed file: got error %v, want one that names the file", what, err)
		}
	}
}
