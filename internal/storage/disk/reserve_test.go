package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Where nothing can be reserved, zeros are written, and only behind what there is.
func TestZerosTakeTheSpaceThatCannotBeReserved(t *testing.T) {
	d, _ := mustOpenDir(t)
	f := mustCreate(t, d, "f", "content").(file)
	const size = 3<<20 + 5
	for _, step := range []int64{size - 1, size, 100} {
		if err := f.appendZeros(step); err != nil {
			t.Fatalf("appendZeros(%d): %v", step, err)
		}
	}
	if got := content(t, d, "f"); len(got) != size || strings.TrimRight(got, "\x00") != "content" {
		t.Errorf("got %d bytes %.20q, want %d that begin with the old ones", len(got), got, size)
	}
	info, err := d.Stat("f")
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Sys().(*syscall.Stat_t).Blocks * 512; got < size {
		t.Errorf("%d bytes of the disk are taken, want %d", got, size)
	}
}

func TestAllocateWhereNothingCanBeReserved(t *testing.T) {
	d := ramfs(t)
	f := mustCreate(t, d, "f", "content").(file)
	if err := f.fallocate("allocate", 0, 0, 100); !errors.Is(err, errors.ErrUnsupported) {
		t.Fatalf("the file system of this test can reserve space: %v", err)
	}
	if err := f.Allocate(1 << 20); err != nil {
		t.Fatal(err)
	}
	if got := content(t, d, "f"); len(got) != 1<<20 || got[:8] != "content\x00" {
		t.Errorf("got %d bytes %.10q", len(got), got)
	}
	if err := f.CollapseHead(4096); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("CollapseHead: got error %v, want that it is not supported", err)
	}
}

// ramfs makes a file system that knows no fallocate. It is attached nowhere, but reached
// through the descriptor of this process, and so is gone with it.
func ramfs(t *testing.T) Dir {
	t.Helper()
	fs, err := unix.Fsopen("ramfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		t.Skipf("a file system of its own cannot be made: %v", err)
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		t.Skipf("a file system of its own cannot be made: %v", err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		t.Skipf("a file system of its own cannot be made: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	d, err := OpenDir(filepath.Join(fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), fd), "data"))
	if err != nil {
		t.Fatal(err)
	}
	return d
}
