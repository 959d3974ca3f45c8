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
	"time"

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
		note(f.Allocate(10_000))
		note(f.Size())
		m, err := f.Map(10_000)
		note(err)
		copy(m.Bytes()[9998:], "xx")
		n, err = f.ReadAt(b, 9997)
		note(n, string(b[:n]), err, m.Sync(), m.Close(), f.Sync(), f.Close())
		f, err = disk.OpenToRead(d, "f")
		note("open to read", err)
		n, err = f.ReadAt(b, 9997)
		note(n, string(b[:n]), err)
		n, err = f.WriteAt(b, 0)
		note(n, err, f.Truncate(0), f.Allocate(20_000), f.Zero(0, 1), f.Close())
		note(d.Rename("f", "g"), d.Rename("f", "h"))
		info, err := d.Stat("g")
		note(info.Size(), info.Name(), info.IsDir(), info.Mode().IsRegular(), err)
		note(d.SetModTime("g", time.Unix(1_500_000_000, 5000)), d.SetModTime("f", time.Unix(1, 0)))
		info, err = d.Stat("g")
		note(info.ModTime().UnixNano(), err)
		entries, err := d.List()
		note(len(entries), entries[0].Name(), err)
		g, err := d.OpenOrCreate("g")
		note(err)
		note(d.Remove("g"), d.Remove("g"), d.Sync())
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
	f.Allocate(5000)
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
	if err := f.Allocate(100); !errors.Is(err, unix.EIO) {
		t.Errorf("Allocate: %v", err)
	}
	if got, _ := d.Content("f"); len(got) != 50 || after != 2 {
		t.Errorf("after half an allocation: %d bytes, %d changes", len(got), after)
	}
	if err := d.Rename("f", "g"); !errors.Is(err, unix.EIO) || d.Names()[0] != "f" {
		t.Errorf("Rename: %v", err)
	}
}

func TestMemoryThatCouldFaultDoes(t *testing.T) {
	d := NewDir()
	f, _ := d.Create("f")
	f.Truncate(100_000)
	if _, err := f.Map(100_000); err == nil {
		t.Error("bytes without disk space were mapped")
	}
	f.Allocate(100_000)
	m, err := f.Map(100_000)
	if err != nil {
		t.Fatal(err)
	}
	f.Truncate(100)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() == nil {
			t.Error("a byte behind the end of the file was stored")
		}
	}()
	m.Bytes()[2*os.Getpagesize()] = 1
}
