package disk

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// OpenDir returns the directory at path, which is created with its parents if it does
// not exist.
func OpenDir(path string) (Dir, error) {
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, err
	}
	return directory{path}, nil
}

type directory struct{ path string }

func (d directory) Path(name string) string { return filepath.Join(d.path, name) }

func (d directory) open(name string, flag int) (File, error) {
	f, err := os.OpenFile(d.Path(name), flag, 0o666)
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

func (d directory) Open(name string) (File, error) { return d.open(name, os.O_RDWR) }

// OpenToRead is what the function of that name asks for.
func (d directory) OpenToRead(name string) (File, error) {
	f, err := d.open(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	return readOnlyFile{f.(file)}, nil
}

func (d directory) Create(name string) (File, error) {
	return d.open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (d directory) OpenOrCreate(name string) (File, error) {
	return d.open(name, os.O_RDWR|os.O_CREATE)
}

func (d directory) Rename(oldName, newName string) error {
	return os.Rename(d.Path(oldName), d.Path(newName))
}

func (d directory) Remove(name string) error { return os.Remove(d.Path(name)) }

func (d directory) List() ([]fs.DirEntry, error) {
	f, err := os.Open(d.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}

func (d directory) Stat(name string) (fs.FileInfo, error) { return os.Stat(d.Path(name)) }

func (d directory) SetModTime(name string, t time.Time) error {
	return os.Chtimes(d.Path(name), time.Time{}, t) // the access time stays
}

func (d directory) Sync() error {
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

type file struct{ *os.File }

func (f file) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f file) CollapseHead(n int64) error {
	return f.fallocate("collapse", unix.FALLOC_FL_COLLAPSE_RANGE, 0, n)
}

func (f file) Zero(offset, n int64) error {
	return f.fallocate("zero", unix.FALLOC_FL_ZERO_RANGE, offset, n)
}

func (f file) fallocate(what string, mode uint32, offset, n int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), mode, offset, n)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s %d bytes of %s: %w", what, n, f.Name(), err)
		}
		return nil
	}
}

func (f file) Map(size int64) (Mapping, error) {
	b, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes of %s: %w", size, f.Name(), err)
	}
	return mapping{b, f.Name()}, nil
}

type mapping struct {
	bytes []byte
	name  string
}

func (m mapping) Bytes() []byte { return m.bytes }

func (m mapping) Sync() error {
	if err := unix.Msync(m.bytes, unix.MS_SYNC); err != nil {
		return fmt.Errorf("sync %s: %w", m.name, err)
	}
	return nil
}

func (m mapping) Close() error { return unix.Munmap(m.bytes) }
