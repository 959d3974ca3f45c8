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
	for _, name := range []string{"f", "new"} {
		f, err := d.OpenOrCreate(name)
		if err != nil {
			t.Fatalf("OpenOrCreate(%s): %v", name, err)
		}
		f.Close()
	}
	if got := content(t, d, "f"); got != "old" {
		t.Errorf("opening changed the file to %q", got)
	}
	if err := d.Rename("f", "new"); err != nil || content(t, d, "new") != "old" {
		t.Errorf("Rename over another file: %v", err)
	}
	if info, err := d.Stat("new"); err != nil || info.Size() != 3 {
		t.Errorf("Stat: got %v, %v", info, err)
	}
	if entries, err := d.List(); err != nil || len(entries) != 1 || entries[0].Name() != "new" {
		t.Errorf("List: got %v, %v", entries, err)
	}
	if err := d.Sync(); err != nil {
		t.Errorf("Sync: %v", err)
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
	if flags, err := unix.FcntlInt(f.(readOnlyFile).Fd(), unix.F_GETFL, 0); err != nil || flags&unix.O_ACCMODE != unix.O_RDONLY {
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

// What is reserved can't fail to be stored for lack of space: there are blocks for it.
func TestAllocateReservesSpace(t *testing.T) {
	d, _ := mustOpenDir(t)
	f := mustCreate(t, d, "f", "content")
	const size = 3 << 20
	if err := f.Truncate(size); err != nil { // all but a page is a hole now
		t.Fatal(err)
	}
	for _, step := range []int64{size, size, 100} {
		if err := f.Allocate(step); err != nil {
			t.Fatalf("Allocate(%d): %v", step, err)
		}
		info, err := d.Stat("f")
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Sys().(*syscall.Stat_t).Blocks * 512; info.Size() != size || got < size {
			t.Errorf("after Allocate(%d): %d bytes, of which %d are reserved; want %d", step, info.Size(), got, size)
		}
	}
	if got := content(t, d, "f"); got[:7] != "content" {
		t.Errorf("the content was changed to %q", got[:7])
	}
	if err := f.Allocate(1 << 62); err == nil || !strings.Contains(err.Error(), d.Path("f")) {
		t.Errorf("Allocate of too much: got error %v, want one that names the file", err)
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
	if err := m.Sync(); err != nil {
		t.Errorf("Sync: %v", err)
	}
	if err := m.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func TestFile(t *testing.T) {
	d, _ := mustOpenDir(t)
	f := mustCreate(t, d, "f", strings.Repeat("a", 4096)+strings.Repeat("b", 4096)+"c")
	if size, err := f.Size(); err != nil || size != 8193 {
		t.Errorf("Size: got %d, %v", size, err)
	}
	if err := f.Zero(4090, 10); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		t.Errorf("Zero: %v", err)
	} else if got := content(t, d, "f")[4088:4102]; err == nil && got != "aa"+strings.Repeat("\x00", 10)+"bb" {
		t.Errorf("after Zero: %q", got)
	}
	switch err := f.CollapseHead(4096); {
	case errors.Is(err, errors.ErrUnsupported):
		t.Log("the file system can't cut off the head of a file")
	case err != nil:
		t.Errorf("CollapseHead: %v", err)
	default:
		if got := content(t, d, "f"); len(got) != 4097 || got[4:] != strings.Repeat("b", 4092)+"c" {
			t.Errorf("after CollapseHead there are %d bytes", len(got))
		}
		if err := f.CollapseHead(1); err == nil {
			t.Error("CollapseHead of 1 byte succeeded")
		}
	}
	if err := f.Truncate(2); err != nil {
		t.Errorf("Truncate: %v", err)
	}
	var b [3]byte
	if n, err := f.ReadAt(b[:], 0); n != 2 || err != io.EOF {
		t.Errorf("ReadAt behind the end: got %d, %v", n, err)
	}
	if err := f.Sync(); err != nil {
		t.Errorf("Sync: %v", err)
	}
}
