package dump

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

func TestSetAside(t *testing.T) {
	long := "@" + strings.Repeat("x", 251)
	for _, c := range []struct {
		rule, file string
		taken      []string
		want       string
	}{
		{"a free name", "orders.rq", nil, "orders.rq-aside"},
		{"the name is taken", "orders.rq", []string{"orders.rq-aside"}, "orders.rq-aside-2"},
		{"several are taken", "orders.rq", []string{"orders.rq-aside-2", "orders.rq-aside", "orders.rq-aside-4"}, "orders.rq-aside-3"},
		{"the longest storage name", long + ".rq", nil, long[:246] + ".rq-aside"},
		{"the longest storage name, again", long + ".rq", []string{long[:246] + ".rq-aside"}, long[:244] + ".rq-aside-2"},
		{"another one that begins alike", long[:251] + "y.rq", []string{long[:246] + ".rq-aside"}, long[:244] + ".rq-aside-2"},
		{"not a dump", "storage-7.dat", nil, "storage-7.dat.rq-aside"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			dir, path := tempDir(t)
			for _, name := range append(c.taken, c.file) {
				if err := os.WriteFile(filepath.Join(path, name), []byte("this is "+name), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			got, err := SetAside(dir, c.file)
			if got != c.want || err != nil {
				t.Fatalf("got %q, %v, want %q", got, err, c.want)
			}
			if len(got) > 255 {
				t.Errorf("a name of %d bytes", len(got))
			}
			content, _ := os.ReadFile(filepath.Join(path, got))
			if string(content) != "this is "+c.file {
				t.Errorf("content: got %q, want that of %s", content, c.file)
			}
			for _, name := range c.taken {
				if content, _ := os.ReadFile(filepath.Join(path, name)); string(content) != "this is "+name {
					t.Errorf("content of %s: got %q, want it unchanged", name, content)
				}
			}
			dumps, others, err := Scan(dir)
			if len(dumps) != 0 || len(others) != 1+len(c.taken) || others[0].Severity != Warning || err != nil {
				t.Errorf("scan: got %v and %v, %v, want a warning", dumps, others, err)
			}
		})
	}
}

// A link that leads nowhere has a name, too, and is not to be lost.
func TestSetAsideDoesNotReplaceALink(t *testing.T) {
	dir, path := tempDir(t)
	for name, target := range map[string]string{"orders.rq-aside": "nowhere", "orders.rq": "elsewhere"} {
		if err := os.Symlink(target, filepath.Join(path, name)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := SetAside(dir, "orders.rq")
	if got != "orders.rq-aside-2" || err != nil {
		t.Errorf("got %q, %v, want orders.rq-aside-2", got, err)
	}
	for name, want := range map[string]string{"orders.rq-aside": "nowhere", "orders.rq-aside-2": "elsewhere"} {
		if target, err := os.Readlink(filepath.Join(path, name)); target != want {
			t.Errorf("%s: got a link to %q, %v, want %q", name, target, err, want)
		}
	}
}

func TestSetAsideThatFailsChangesNothing(t *testing.T) {
	real, path := tempDir(t)
	if err := file(filepath.Join(path, "orders.rq")); err != nil {
		t.Fatal(err)
	}
	for failAt, call := range []string{1: "list", 2: "rename"} {
		if failAt == 0 {
			continue
		}
		dir := &faultyDir{Dir: real, fault: syscall.EIO, failAt: failAt}
		got, err := SetAside(dir, "orders.rq")
		if got != "" || !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), real.Path("orders.rq")) {
			t.Errorf("%v of %s: got %q, %v, want the file and the reason", syscall.EIO, call, got, err)
		}
		if len(dir.hit) != 1 || dir.hit[0] != call {
			t.Errorf("failed: got %v, want %s", dir.hit, call)
		}
		if got := list(t, path); got != "orders.rq" {
			t.Errorf("%v of %s: directory: got %q, want it unchanged", syscall.EIO, call, got)
		}
	}
	if _, err := SetAside(real, "nothing.rq"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such file: got %v, want %v", err, fs.ErrNotExist)
	}
}

func TestIdentity(t *testing.T) {
	dir, path := tempDir(t)
	write := func(name, content string) ID {
		t.Helper()
		if err := os.WriteFile(filepath.Join(path, name), []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		return identify(t, dir, name)
	}
	id := write("orders.rq", "123")
	if id == (ID{}) || id.Size != 3 {
		t.Errorf("got %v, want 3 bytes and not the zero ID", id)
	}
	if err := dir.Rename("orders.rq", "billing@orders.rq"); err != nil {
		t.Fatal(err)
	}
	if got := identify(t, dir, "billing@orders.rq"); got != id {
		t.Errorf("renamed: got %v, want %v", got, id)
	}
	if changed := write("billing@orders.rq", "1234"); changed == id {
		t.Errorf("the file with another size has the same ID %v", id)
	}
	at := time.Unix(1700000000, 123456789)
	id = write("orders.rq", "123")
	write("other.rq", "123")
	if err := os.Chtimes(filepath.Join(path, "orders.rq"), at, at); err != nil {
		t.Fatal(err)
	}
	if got, want := identify(t, dir, "orders.rq"), (ID{id.Inode, 1700000000123456789, 3}); got != want {
		t.Errorf("the file with another time: got %v, want %v", got, want)
	}
	if err := os.Chtimes(filepath.Join(path, "other.rq"), at, at); err != nil {
		t.Fatal(err)
	}
	if other := identify(t, dir, "other.rq"); other == identify(t, dir, "orders.rq") {
		t.Errorf("another file of the same size and time has the same ID %v", other)
	}
	if err := os.Symlink("orders.rq", filepath.Join(path, "link.rq")); err != nil {
		t.Fatal(err)
	}
	if got, want := identify(t, dir, "link.rq"), identify(t, dir, "orders.rq"); got != want {
		t.Errorf("a link: got %v, want that of the file, %v", got, want)
	}
	if _, err := Identify(dir, "nothing.rq"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such file: got %v, want %v", err, fs.ErrNotExist)
	}
}

func identify(t *testing.T, dir disk.Dir, name string) ID {
	t.Helper()
	id, err := Identify(dir, name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
