package disktest

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// The same calls have the same results here and in a directory of the operating system.
func TestADirectoryLikeThatOfTheSystem(t *testing.T) {
	real, err := disk.OpenDir(filepath.Join(t.TempDir(), "data"))
	if err != nil {
		t.Fatal(err)
	}
	memory := NewDir()
	defer memory.Release()
	var results [2][]any
	for i, d := range []disk.Dir{real, memory} {
		note := func(values ...any) {
			for j, v := range values {
				if err, ok := v.(error); ok {
					values[j] = []bool{errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrExist), err == io.EOF}
				}
			}
			results[i] = append(results[i], values)
		}
		_, err := d.Open("none")
		note("open", err)
		_, err = disk.OpenToRead(d, "none")
		note("open to read", err)
		f, err := d.Create("f")
		note("create", err)
		_, err = d.Create("f")
		note("create again", err)
		note(f.WriteAt([]byte("0123456789"), 5000))
		note(f.Size())
		b := make([]byte, 8)
		n, err := f.ReadAt(b, 4998)
		note(n, string(b), err)
		n, err = f.ReadAt(b, 5006)
		note(n, string(b[:n]), err)
		n, err = f.ReadAt(b, 6000)
		note(n, err)
		note(f.Truncate(5003), f.Truncate(5006))
		n, err = f.ReadAt(b, 5000)
		note(n, string(b[:n]), err)
		note(f.WriteAt(make([]byte, 4994), 5006))
		note(f.Size())
		m, err := f.Map(20_000)
		note(err)
		copy(m.Bytes()[9998:], "xx")
		n, err = f.ReadAt(b, 9997)
		note(n, string(b[:n]), err, m.Sync(0, 4096))
		note(f.WriteAt([]byte("behind what was mapped"), 15_000))
		note(string(m.Bytes()[15_000:15_030]))
		note(f.Punch(4096, 4096), f.Punch(14_000, 1010))
		note(string(m.Bytes()[4990:5010]), string(m.Bytes()[15_000:15_030]))
		note(f.Size())
		f.Ahead()
		note(m.Close(), f.Sync(), f.Close())
		f, err = disk.OpenToRead(d, "f")
		note("open to read", err)
		n, err = f.ReadAt(b, 9997)
		note(n, string(b[:n]), err)
		n, err = f.WriteAt(b, 0)
		note(n, err, f.Truncate(0), f.Punch(0, 1), f.Close())
		note(d.Rename("f", "g"), d.Rename("f", "h"))
		info, err := d.Stat("g")
		note(info.Size(), info.Name(), info.IsDir(), info.Mode().IsRegular(), err)
		_, err = d.Stat("f")
		note(err)
		entries, err := d.List()
		note(len(entries), entries[0].Name(), err)
		g, err := d.Open("g")
		note(err)
		free, err := d.Free()
		note(free > 0, err)
		note(d.Remove("g"), d.Remove("g"), d.Sync(), d.SyncAll())
		note(g.Size()) // a file without a name lives on
	}
	for i := range results[0] {
		if !reflect.DeepEqual(results[0][i], results[1][i]) {
			t.Errorf("result %d: the system has %v, this %v", i, results[0][i], results[1][i])
		}
	}
}

func TestCloneIsWhatAKillLeaves(t *testing.T) {
	d := NewDir()
	f, _ := d.Create("f")
	f.WriteAt(make([]byte, 5000), 0)
	m, _ := f.Map(5000)
	copy(m.Bytes(), "stored")
	c := d.Clone()
	copy(m.Bytes(), "later")
	d.Remove("f")
	if got, ok := c.Content("f"); !ok || string(got[:6]) != "stored" {
		t.Errorf("got %q", got[:6])
	}
}

func TestFailingCallsDoHalf(t *testing.T) {
	d := NewDir()
	f, _ := d.Create("f")
	f.WriteAt([]byte("01234567"), 0)
	d.Before = func(c Call) error { return unix.EIO }
	after := 0
	d.After = func(Call) { after++ }
	if n, err := f.WriteAt([]byte("abcdefgh"), 0); n != 4 || !errors.Is(err, unix.EIO) {
		t.Errorf("WriteAt: got %d, %v", n, err)
	}
	if got, _ := d.Content("f"); string(got) != "abcd4567" {
		t.Errorf("after half a write: %q", got)
	}
	b := make([]byte, 8)
	if n, err := f.ReadAt(b, 0); n != 4 || !errors.Is(err, unix.EIO) {
		t.Errorf("ReadAt: got %d, %v", n, err)
	}
	if err := f.Truncate(3); !errors.Is(err, unix.EIO) {
		t.Errorf("Truncate: %v", err)
	}
	if got, _ := d.Content("f"); len(got) != 8 || after != 1 {
		t.Errorf("after a failure: %d bytes, %d changes", len(got), after)
	}
	if err := d.Rename("f", "g"); !errors.Is(err, unix.EIO) || d.Names()[0] != "f" {
		t.Errorf("Rename: %v", err)
	}
}

// stores reports whether a byte can be stored.
func stores(b []byte, at int) (ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { ok = recover() == nil }()
	b[at] = 'x'
	return true
}

// Where nothing has been written there is no disk space, and a full disk would end the process.
func TestStoringWithoutDiskSpaceFaults(t *testing.T) {
	d := NewDir()
	defer d.Release()
	page := os.Getpagesize()
	f, _ := d.Create("f")
	m, err := f.Map(int64(8 * page))
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, want string) {
		t.Helper()
		got := ""
		for i := range 8 {
			got += map[bool]string{true: "x", false: "-"}[stores(m.Bytes(), i*page)]
		}
		if got != want {
			t.Errorf("%s: pages that can be stored in: got %s, want %s", what, got, want)
		}
	}
	check("an empty file", "--------")
	f.WriteAt([]byte("x"), 0)
	f.WriteAt(make([]byte, 2*page), int64(3*page-1))
	check("written to", "x-xxx---")
	f.Truncate(int64(7 * page))
	check("made longer", "x-xxx---")
	f.Punch(int64(page), int64(2*page+page/2))
	check("punched", "x--xx---")
	c := d.Clone()
	defer c.Release()
	g, _ := c.Open("f")
	original := m
	m, _ = g.Map(int64(8 * page))
	check("in a clone", "x--xx---")
	m = original
	f.WriteAt(make([]byte, 8*page), 0)
	check("all written", "xxxxxxxx")
	f.Truncate(int64(2*page - 5))
	check("cut", "xx------")
	f.Truncate(int64(8 * page))
	if b := m.Bytes()[3*page : 3*page+4]; string(b) != "\x00\x00\x00\x00" {
		t.Errorf("what was cut off is back: %q", b)
	}
	if got, _ := d.Content("f"); got[0] != 'x' || len(got) != 8*page {
		t.Errorf("the file has %d bytes", len(got))
	}
}

// A hole within the file reads as zeros, behind its end nothing can be read.
func TestReadingAHole(t *testing.T) {
	d := NewDir()
	defer d.Release()
	f, _ := d.Create("f")
	page := os.Getpagesize()
	f.Truncate(int64(2 * page))
	m, _ := f.Map(int64(4 * page))
	if m.Bytes()[page] != 0 {
		t.Error("a hole is not zero")
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() == nil {
			t.Error("a byte behind the end of the file was read")
		}
	}()
	t.Log(m.Bytes()[3*page])
}
