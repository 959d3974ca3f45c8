package dump

import (
	"errors"
	"io/fs"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// faultyDir is a directory one of whose calls fails, or one and all later ones.
type faultyDir struct {
	disk.Dir
	fault     error
	failAt    int  // that call, counted from 1
	forever   bool // and all later ones
	transfers bool // a failing read or write transfers half of its bytes
	calls     int
	hit       []string // the calls that failed
	open      int      // files
	writes    [][]byte // what was passed to WriteAt
}

func (d *faultyDir) fails(call string) bool {
	d.calls++
	if d.calls < d.failAt || d.calls > d.failAt && !d.forever || d.failAt == 0 {
		return false
	}
	d.hit = append(d.hit, call)
	return true
}

func (d *faultyDir) opened(call string, open func() (disk.File, error)) (disk.File, error) {
	if d.fails(call) {
		return nil, d.fault
	}
	f, err := open()
	if err != nil {
		return nil, err
	}
	d.open++
	return &faultyFile{f, d}, nil
}

func (d *faultyDir) Open(name string) (disk.File, error) {
	return d.opened("open", func() (disk.File, error) { return d.Dir.Open(name) })
}

func (d *faultyDir) OpenToRead(name string) (disk.File, error) {
	return d.opened("open", func() (disk.File, error) { return disk.OpenToRead(d.Dir, name) })
}

func (d *faultyDir) Create(name string) (disk.File, error) {
	return d.opened("create", func() (disk.File, error) { return d.Dir.Create(name) })
}

func (d *faultyDir) Rename(oldName, newName string) error {
	if d.fails("rename") {
		return d.fault
	}
	return d.Dir.Rename(oldName, newName)
}

func (d *faultyDir) Remove(name string) error {
	if d.fails("remove") {
		return d.fault
	}
	return d.Dir.Remove(name)
}

func (d *faultyDir) List() ([]fs.DirEntry, error) {
	if d.fails("list") {
		return nil, d.fault
	}
	return d.Dir.List()
}

type faultyFile struct {
	disk.File
	dir *faultyDir
}

func (f *faultyFile) ReadAt(p []byte, at int64) (int, error) {
	return f.transfer("read", f.File.ReadAt, p, at)
}

func (f *faultyFile) WriteAt(p []byte, at int64) (int, error) {
	f.dir.writes = append(f.dir.writes, p)
	return f.transfer("write", f.File.WriteAt, p, at)
}

func (f *faultyFile) transfer(call string, transfer func([]byte, int64) (int, error), p []byte, at int64) (int, error) {
	if !f.dir.fails(call) {
		return transfer(p, at)
	}
	if !f.dir.transfers {
		return 0, f.dir.fault
	}
	n, err := transfer(p[:len(p)/2], at)
	return n, errors.Join(err, f.dir.fault)
}

func (f *faultyFile) Size() (int64, error) {
	if f.dir.fails("size") {
		return 0, f.dir.fault
	}
	return f.File.Size()
}

func (f *faultyFile) Sync() error {
	if f.dir.fails("sync") {
		return f.dir.fault
	}
	return f.File.Sync()
}

func (f *faultyFile) Close() error {
	f.dir.open--
	err := f.File.Close()
	if f.dir.fails("close") {
		return f.dir.fault
	}
	return err
}
