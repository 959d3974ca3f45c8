package dformat

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"syscall"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// Source is a file whose records are loaded. Inode, time and size tell this version of it from
// all others.
type Source struct {
	Name    string
	Inode   uint64
	ModTime uint64 // nanoseconds since 1970, UTC
	Size    uint64 // bytes
	// Aside is the name that the file gets instead of being deleted, if it may hold records
	// that were not loaded.
	Aside string
}

func newSource(name string, info fs.FileInfo) Source {
	s := Source{Name: name, ModTime: uint64(info.ModTime().UnixNano()), Size: uint64(info.Size())}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		s.Inode = stat.Ino
	}
	return s
}

// Finish deletes the sources, or sets them aside. Those that are not the same files any more
// stay. It does as much as it can, and can be called again after it has failed or was killed. The
// caller syncs the directory.
func Finish(dir disk.Dir, sources []Source) error {
	var failed []error
	for _, s := range sources {
		if err := s.finish(dir); err != nil {
			failed = append(failed, fmt.Errorf("%s has been loaded, and must not stay where it is: %w", dir.Path(s.Name), err))
		}
	}
	return errors.Join(failed...)
}

func (s Source) finish(dir disk.Dir) error {
	there, err := s.isThere(dir)
	if !there || err != nil {
		return err
	}
	if s.Aside == "" {
		return dir.Remove(s.Name)
	}
	entries, err := dir.List() // each time: another file may have got the name
	if err != nil {
		return err
	}
	taken := make(map[string]bool, len(entries))
	for _, e := range entries {
		taken[e.Name()] = true
	}
	return dir.Rename(s.Name, freeName(s.Name, s.Aside, taken))
}

// isThere reports whether the file is there and still the same.
func (s Source) isThere(dir disk.Dir) (bool, error) {
	info, err := dir.Stat(s.Name)
	if err != nil {
		if disk.IsNotExist(err) {
			err = nil
		}
		return false, err
	}
	now := newSource(s.Name, info)
	now.Aside = s.Aside
	return now == s, nil
}

const (
	// asideSuffix ends the names of dumps that were set aside, but for a number. Neither node
	// loads such a file, and both mention it in the log at every start.
	asideSuffix = dumpSuffix + "-aside"
	asideNumber = "-aside-" // in the names of overflow files
	maxName     = 255       // bytes of the longest name that a file can have
)

// freeName is the name a file is set aside under: wanted, unless it is "" or taken.
func freeName(name, wanted string, taken map[string]bool) string {
	for i := 1; wanted == "" || taken[wanted]; i++ {
		wanted = asideName(name, i)
	}
	return wanted
}

// asideName is <storage>.rq-aside, or the same with a number, its front part cut as far as
// necessary; or overflow-aside-<number>.dat.
func asideName(name string, number int) string {
	stem, suffix := split(name)
	if suffix == ".dat" || suffix == ".csv" {
		return stem + asideNumber + strconv.Itoa(number) + suffix
	}
	end := asideSuffix
	if number > 1 {
		end += "-" + strconv.Itoa(number)
	}
	front := strings.TrimSuffix(name, dumpSuffix)
	return front[:min(len(front), maxName-len(end))] + end
}
