package storagetest

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// SlowFile makes everybody wait who opens the spill file that is not mapped at the moment, of which
// there has to be one in that directory, until release is called. The system does it: the test has
// a lease on the file, which an open has to break first.
func SlowFile(t testing.TB, dir string) (release func()) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); runtime.Gosched() {
		files, err := filepath.Glob(filepath.Join(dir, "spill-*.dat"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			if f := lease(t, path); f != nil {
				release = func() {
					unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
					f.Close()
				}
				t.Cleanup(release)
				return release
			}
		}
	}
	t.Fatal("all spill files are mapped, or open")
	return nil
}

// lease takes a lease on a file of some length, unless somebody has it open or mapped.
func lease(t testing.TB, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil
	}
	info, err := f.Stat()
	if err != nil || info.Size() < 1<<20 { // a spare
		f.Close()
		return nil
	}
	switch _, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK); err {
	case nil:
		return f
	case unix.EAGAIN:
	default:
		t.Skipf("the file system has no leases: %v", err)
	}
	f.Close()
	return nil
}
