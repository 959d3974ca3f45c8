package disk_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk/disktest"
)

const least = 10 << 20

// system is a disk with a floor.
type system struct {
	*disk.Floor
	dir   *disktest.Dir
	space uint64 // that is free
	fails error  // of writing and creating
}

func newSystem(t *testing.T) *system {
	s := &system{dir: disktest.NewDir(), space: 1 << 30}
	t.Cleanup(s.dir.Release)
	s.dir.Space = func() uint64 { return s.space }
	s.dir.Before = func(c disktest.Call) error {
		if c.Op == "write" || c.Op == "create" {
			return s.fails
		}
		return nil
	}
	s.Floor = disk.WithFloor(s.dir, least)
	return s
}

func (s *system) write(t *testing.T, bytes int) error {
	t.Helper()
	f, err := s.Open("f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = f.WriteAt(make([]byte, bytes), 0)
	return err
}

func (s *system) create(t *testing.T, name string) error {
	t.Helper()
	f, err := s.Create(name)
	if err == nil {
		f.Close()
	}
	return err
}

// refuses reports whether what takes space fails, and makes sure that the system isn't asked.
func (s *system) refuses(t *testing.T) bool {
	t.Helper()
	f, err := s.Open("f")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before, refused := s.dir.Calls(), s.Refused()
	_, err = f.WriteAt([]byte("x"), 0)
	if err == nil {
		if s.Full() != nil {
			t.Errorf("full, and written to: %v", s.Full())
		}
		return false
	}
	createErr := s.create(t, "g")
	if s.dir.Calls() != before {
		t.Errorf("%d system calls were made", s.dir.Calls()-before)
	}
	for _, err := range []error{err, createErr} {
		if full := (*disk.FullError)(nil); !errors.As(err, &full) || full != s.Full() || !errors.Is(err, unix.ENOSPC) {
			t.Errorf("got error %v, want %v", err, s.Full())
		}
	}
	if got := s.Refused() - refused; got != 2 {
		t.Errorf("%d operations were refused, want 2", got)
	}
	return true
}

func TestFullDiskIsRemembered(t *testing.T) {
	for _, cause := range []error{unix.ENOSPC, unix.EDQUOT} {
		for _, what := range []string{"write", "create"} {
			s := newSystem(t)
			if err := s.create(t, "f"); err != nil {
				t.Fatal(err)
			}
			s.fails = cause
			var err error
			if what == "write" {
				err = s.write(t, 100)
			} else {
				err = s.create(t, "h")
			}
			if full := (*disk.FullError)(nil); !errors.As(err, &full) || !errors.Is(err, cause) || !errors.Is(err, unix.ENOSPC) ||
				!strings.Contains(err.Error(), "data/ is full") || s.Refused() != 1 {
				t.Errorf("%s: got %v, %d refused", what, err, s.Refused())
			}
			s.fails = nil
			if !s.refuses(t) {
				t.Errorf("%s: a full disk was written to before it was looked at again", what)
			}
			s.space = least - 1
			s.Probe()
			if !s.refuses(t) {
				t.Error("after a look at a disk that is still full, it was written to")
			}
			s.space = least
			s.Probe()
			if s.refuses(t) {
				t.Error("with room again, writing was refused")
			}
		}
	}
}

func TestFloor(t *testing.T) {
	s := newSystem(t)
	s.create(t, "f")
	s.space = least - 1
	for range 4 {
		if err := s.write(t, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	if !s.refuses(t) || !strings.Contains(s.Full().Error(), "min_free = 10485760") {
		t.Errorf("after some MB the disk was not looked at: %v", s.Full())
	}
	s.space = 1 << 30
	s.Probe()
	s.space = 0
	s.Probe()
	if s.refuses(t) {
		t.Error("the disk was looked at though nothing had been written")
	}
	s.Probe()
	if !s.refuses(t) {
		t.Error("the disk was not looked at after something had been written")
	}
	if err := s.Remove("f"); err != nil { // what gives space is not refused
		t.Errorf("Remove: %v", err)
	}
}

func TestOtherErrorsPass(t *testing.T) {
	s := newSystem(t)
	s.create(t, "f")
	s.fails = unix.EIO
	if err := s.write(t, 100); !errors.Is(err, unix.EIO) || s.Full() != nil {
		t.Errorf("got %v, full: %v", err, s.Full())
	}
	if err := s.create(t, "g"); !errors.Is(err, unix.EIO) || s.Full() != nil {
		t.Errorf("got %v, full: %v", err, s.Full())
	}
	if _, err := s.Open("none"); !disk.IsNotExist(err) {
		t.Errorf("got %v", err)
	}
	if err := disk.RemoveIfThere(s, "none"); err != nil {
		t.Errorf("RemoveIfThere: %v", err)
	}
	f, err := disk.OpenToRead(s, "f")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("a file opened to be read was written to")
	}
}

func TestFloorBesideOthers(t *testing.T) {
	s := newSystem(t)
	s.create(t, "f")
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			f, err := s.Open("f")
			if err != nil {
				t.Error(err)
				return
			}
			for range 50 {
				if _, err := f.WriteAt(make([]byte, 1<<20), 0); err != nil && !errors.Is(err, unix.ENOSPC) {
					t.Error(err)
				}
				s.Probe()
			}
		})
	}
	writers.Wait()
	if s.Full() != nil || s.Refused() != 0 {
		t.Errorf("with room: %v, %d refused", s.Full(), s.Refused())
	}
}
