package overflow

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// memDir is a directory in memory. Tests use it to make single operations fail, to look
// at the files after each of them, and to be independent of the file system.
type memDir struct {
	mu    sync.Mutex
	files map[string]*memFile

	// capacity bounds each file: mapped memory must not move.
	capacity int64
	// space bounds Allocate and growing writes, like a full disk; 0 = only capacity does.
	space int64
	// fault is asked before each operation, if set, and can make it fail. A read or write
	// that fails transfers a part.
	fault func(operation, name string) error
	// after is called, if set, after each operation that has changed something.
	after func()

	reads, bytesRead int
}

type memFile struct {
	dir      *memDir
	name     string
	data     []byte
	modified time.Time
}

func newMemDir() *memDir {
	return &memDir{files: make(map[string]*memFile), capacity: 1 << 20}
}

// clone returns a copy with the same contents and no faults.
func (d *memDir) clone() *memDir {
	c := newMemDir()
	c.capacity = d.capacity
	for name, f := range d.files {
		c.put(name, f.data, f.modified)
	}
	return c
}

func (d *memDir) put(name string, content []byte, modified time.Time) {
	f := &memFile{dir: d, name: name, data: make([]byte, 0, d.capacity), modified: modified}
	f.data = append(f.data, content...)
	d.files[name] = f
}

func (d *memDir) names() []string { return slices.Sorted(maps.Keys(d.files)) }

// do makes an operation fail if it should.
func (d *memDir) do(operation, name string) error {
	if d.fault == nil {
		return nil
	}
	return d.fault(operation, name)
}

func (d *memDir) changed() {
	if d.after != nil {
		d.after()
	}
}

func pathError(operation, name string, err error) error {
	return &fs.PathError{Op: operation, Path: name, Err: err}
}

func (d *memDir) open(name string, create, exclusive bool) (disk.File, error) {
	if err := d.do("open", name); err != nil {
		return nil, err
	}
	f := d.files[name]
	switch {
	case f != nil && exclusive:
		return nil, pathError("open", name, fs.ErrExist)
	case f != nil:
		return f, nil
	case !create:
		return nil, pathError("open", name, fs.ErrNotExist)
	}
	d.put(name, nil, time.Now())
	d.changed()
	return d.files[name], nil
}

func (d *memDir) Open(name string) (disk.File, error)         { return d.open(name, false, false) }
func (d *memDir) Create(name string) (disk.File, error)       { return d.open(name, true, true) }
func (d *memDir) OpenOrCreate(name string) (disk.File, error) { return d.open(name, true, false) }
func (d *memDir) Path(name string) string                     { return "data/" + name }

func (d *memDir) Rename(oldName, newName string) error {
	if err := d.do("rename", oldName); err != nil {
		return err
	}
	f := d.files[oldName]
	if f == nil {
		return pathError("rename", oldName, fs.ErrNotExist)
	}
	delete(d.files, oldName)
	d.files[newName] = f
	f.name = newName
	d.changed()
	return nil
}

func (d *memDir) Remove(name string) error {
	if err := d.do("remove", name); err != nil {
		return err
	}
	if d.files[name] == nil {
		return pathError("remove", name, fs.ErrNotExist)
	}
	delete(d.files, name)
	d.changed()
	return nil
}

// stat lends its FileInfo from a file system for tests.
func (d *memDir) stat() fstest.MapFS {
	m := make(fstest.MapFS)
	for name, f := range d.files {
		m[name] = &fstest.MapFile{Data: f.data, ModTime: f.modified}
	}
	return m
}

func (d *memDir) List() ([]fs.DirEntry, error) {
	if err := d.do("list", ""); err != nil {
		return nil, err
	}
	return d.stat().ReadDir(".")
}

func (d *memDir) Stat(name string) (fs.FileInfo, error) {
	if err := d.do("stat", name); err != nil {
		return nil, err
	}
	return d.stat().Stat(name)
}

func (d *memDir) SetModTime(name string, t time.Time) error {
	if err := d.do("set time", name); err != nil {
		return err
	}
	if d.files[name] == nil {
		return pathError("set time", name, fs.ErrNotExist)
	}
	d.files[name].modified = t
	d.changed()
	return nil
}

func (d *memDir) Sync() error { return d.do("sync", "") }

func (f *memFile) ReadAt(b []byte, offset int64) (int, error) {
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	if err := f.dir.do("read", f.name); err != nil {
		n := 0
		if offset < int64(len(f.data)) {
			n = copy(b[:len(b)/2], f.data[offset:])
		}
		return n, err
	}
	if offset >= int64(len(f.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.data[offset:])
	f.dir.reads++
	f.dir.bytesRead += n
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(b []byte, offset int64) (int, error) {
	err := f.dir.do("write", f.name)
	if err != nil {
		b = b[:len(b)/2]
	}
	if growErr := f.grow(offset + int64(len(b))); growErr != nil {
		return 0, growErr
	}
	n := copy(f.data[offset:], b)
	f.modified = time.Now()
	f.dir.changed()
	return n, err
}

// grow makes the file at least size bytes long.
func (f *memFile) grow(size int64) error {
	if size <= int64(len(f.data)) {
		return nil
	}
	if f.dir.space > 0 && size > f.dir.space {
		return pathError("grow", f.name, unix.ENOSPC)
	}
	if size > f.dir.capacity {
		return pathError("grow", f.name, errors.New("the test needs a larger memDir.capacity"))
	}
	old := len(f.data)
	f.data = f.data[:size]
	clear(f.data[old:])
	return nil
}

func (f *memFile) Close() error { return f.dir.do("close", f.name) }

func (f *memFile) Size() (int64, error) {
	if err := f.dir.do("size", f.name); err != nil {
		return 0, err
	}
	return int64(len(f.data)), nil
}

func (f *memFile) Truncate(size int64) error {
	if err := f.dir.do("truncate", f.name); err != nil {
		return err
	}
	if err := f.grow(size); err != nil {
		return err
	}
	f.data = f.data[:size]
	f.modified = time.Now()
	f.dir.changed()
	return nil
}

// Allocate takes some space before it fails, as file systems do.
func (f *memFile) Allocate(size int64) error {
	err := f.dir.do("allocate", f.name)
	if err == nil {
		err = f.grow(size)
	}
	if err != nil {
		f.grow(min((int64(len(f.data))+size)/2, f.dir.space))
		f.dir.changed()
		return err
	}
	f.modified = time.Now()
	f.dir.changed()
	return nil
}

func (f *memFile) CollapseHead(n int64) error {
	if err := f.dir.do("collapse", f.name); err != nil {
		return err
	}
	if n%pageSize != 0 || n >= int64(len(f.data)) {
		return pathError("collapse", f.name, unix.EINVAL)
	}
	f.data = f.data[:copy(f.data, f.data[n:])]
	f.modified = time.Now()
	f.dir.changed()
	return nil
}

func (f *memFile) Zero(offset, n int64) error {
	if err := f.dir.do("zero", f.name); err != nil {
		return err
	}
	if n <= 0 || offset+n > int64(len(f.data)) {
		return pathError("zero", f.name, unix.EINVAL)
	}
	clear(f.data[offset : offset+n])
	f.dir.changed()
	return nil
}

func (f *memFile) Map(size int64) (disk.Mapping, error) {
	if err := f.dir.do("map", f.name); err != nil {
		return nil, err
	}
	if size > int64(len(f.data)) {
		return nil, fmt.Errorf("map %d bytes of %s, which has %d", size, f.name, len(f.data))
	}
	return &memMapping{f, f.data[:size:size]}, nil
}

func (f *memFile) Sync() error { return f.dir.do("sync", f.name) }

type memMapping struct {
	file  *memFile
	bytes []byte
}

func (m *memMapping) Bytes() []byte { return m.bytes }
func (m *memMapping) Sync() error   { return nil }

func (m *memMapping) Close() error {
	m.bytes = nil
	return m.file.dir.do("unmap", m.file.name)
}
