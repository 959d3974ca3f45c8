package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestReadOnlyDirectoryRefusesChanges(t *testing.T) {
	path := t.TempDir()
	if err := os.WriteFile(filepath.Join(path, "file"), []byte("content"), 0o666); err != nil {
		t.Fatal(err)
	}
	d, err := OpenDirReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := d.Open("file")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, createErr := d.Create("new")
	_, writeErr := f.WriteAt([]byte("x"), 0)
	for what, err := range map[string]error{
		"Create":  createErr,
		"Rename":  d.Rename("file", "other"),
		"Remove":  d.Remove("file"),
		"Sync":    d.Sync(),
		"SyncAll": d.SyncAll(),
	} {
		if !errors.Is(err, ErrReadOnly) {
			t.Errorf("%s: got error %v, want %v", what, err, ErrReadOnly)
		}
	}
	for what, err := range map[string]error{
		"WriteAt":  writeErr,
		"Truncate": f.Truncate(0),
		"Punch":    f.Punch(0, 4096),
	} {
		if err == nil {
			t.Errorf("%s succeeded on a file opened for reading", what)
		}
	}
	if b, err := os.ReadFile(filepath.Join(path, "file")); string(b) != "content" {
		t.Errorf("the file holds %q, %v", b, err)
	}
}

func TestReadOnlyDirectoryReads(t *testing.T) {
	path := t.TempDir()
	file := filepath.Join(path, "file")
	if err := os.WriteFile(file, []byte("content"), 0o666); err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-48 * time.Hour)
	for _, p := range []string{file, path} {
		if err := os.Chtimes(p, then, then); err != nil {
			t.Fatal(err)
		}
	}
	d, err := OpenDirReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	if entries, err := d.List(); err != nil || len(entries) != 1 || entries[0].Name() != "file" {
		t.Errorf("List: got %v, %v; want the file", entries, err)
	}
	f, err := d.Open("file")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 7)
	if _, err := f.ReadAt(b, 0); err != nil || string(b) != "content" {
		t.Errorf("ReadAt: got %q, %v", b, err)
	}
	if f, err := OpenToRead(d, "file"); err != nil {
		t.Error(err)
	} else {
		f.Close()
	}
	m, err := f.Map(7)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(m.Bytes()); got != "content" {
		t.Errorf("mapped: got %q", got)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	for _, p := range []string{file, path} {
		var stat unix.Stat_t
		if err := unix.Stat(p, &stat); err != nil {
			t.Fatal(err)
		}
		if got := time.Unix(stat.Atim.Unix()); !got.Equal(then) {
			t.Errorf("access time of %s: got %v, want %v", p, got, then)
		}
	}
}

func TestReadOnlyDirectoryOpensNothingElse(t *testing.T) {
	path := t.TempDir()
	if err := unix.Mkfifo(filepath.Join(path, "pipe"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenDirReadOnly(filepath.Join(path, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that does not exist: got error %v", err)
	}
	if _, err := OpenDirReadOnly(filepath.Join(path, "pipe")); !errors.Is(err, unix.ENOTDIR) {
		t.Errorf("a pipe as directory: got error %v", err)
	}
	d, err := OpenDirReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Open("pipe"); err == nil {
		t.Error("a pipe was opened")
	}
	if _, err := d.Open("none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that does not exist: got error %v", err)
	}
}
