// Package disktest is a data directory in memory for tests of storage: a disk.Dir in which
// every operation can be made to fail, and which can be copied as it would be found if the
// process were killed.
//
//	dir := disktest.NewDir()
//	dir.Before = func(c disktest.Call) error { … }  // fail a call
//	dir.After = func(c disktest.Call) { … dir.Clone() … }  // what a kill now would leave
//	dir.Store = func(name string) { … dir.Clone() … }      // … before positions are stored
//	dir.PowerCut(random)                                   // what a power failure now might leave
//
// It is stricter than an operating system:
//
//   - Storing in mapped bytes faults where nothing has been written to the file: there is no
//     disk space for that page, and if the disk is full the process ends.
//   - Mapped bytes that lie in no page of the file fault.
//
// Permissions, links and subdirectories don't exist. Times are those of a clock that goes
// on by a microsecond with each change; storing in mapped memory doesn't count as one.
//
// A Dir may be used by several goroutines, except that the hooks are called without lock,
// and that Clone copies mapped bytes while others may store there.
package disktest

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// Call is an operation of a Dir or one of its files.
type Call struct {
	Op      string // "open", "create", "rename", "remove", "list", "stat", "sync dir", "sync all", "read", "write", "close", "size", "truncate", "punch", "map", "sync", "unmap" or "sync map"
	Name    string // of the file; of rename, the old one
	Changes bool   // it changes the directory or a file
	Number  int    // of calls before this one
}

func (c Call) String() string { return fmt.Sprintf("call %d: %s %s", c.Number, c.Op, c.Name) }

// Dir is a directory in memory.
type Dir struct {
	// Before is asked before each call, if set, and can make it fail. A read or write that
	// fails transfers half of the bytes.
	Before func(Call) error
	// After is called, if set, after each call that did not fail, and after those that did
	// half of their work.
	After func(Call)
	// Store is called, if set, when somebody asks for the bytes of a mapping, as who keeps
	// positions in a file does before it stores them. The rest of the bytes is stored by then.
	Store func(name string)
	// Space is how many bytes are free, if set.
	Space func() uint64

	mu     sync.Mutex
	files  map[string]*inode
	inodes []*inode // also of files without a name
	number uint64   // the last one given to an inode
	calls  int
	clock  time.Time
	boot   uint64
	stable *stable // what is on the disk for certain; nil if nobody wants to know
}

// NewDir returns an empty directory.
func NewDir() *Dir {
	return &Dir{files: make(map[string]*inode), clock: time.Unix(1_600_000_000, 0), boot: 1}
}

// Clone returns a directory with the same files, as they would be found after the process
// has been killed. It has no hooks.
func (d *Dir) Clone() *Dir {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := &Dir{files: make(map[string]*inode), clock: d.clock, number: d.number, boot: d.boot}
	copies := make(map[*inode]*inode)
	copied := func(f *inode) *inode {
		if copies[f] == nil {
			copies[f] = f.clone()
			c.inodes = append(c.inodes, copies[f])
		}
		return copies[f]
	}
	for name, f := range d.files {
		c.files[name] = copied(f)
	}
	c.stable = d.stable.clone(copied)
	return c
}

// Release gives the memory back. Neither the directory nor mappings may be used any more.
func (d *Dir) Release() {
	for _, f := range d.inodes {
		f.release()
	}
	d.files, d.inodes = nil, nil
}

// Put makes a file with that content, or replaces one.
func (d *Dir) Put(name string, content []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.newInode()
	f.write(content, 0)
	d.files[name] = f
	d.stable.entry("", name, f)
	f.synced(0, f.size)
	d.stable.syncEntries(nil)
}

// Content returns a copy of what is in a file. ok is false if there is none.
func (d *Dir) Content(name string) (content []byte, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.files[name]
	if f == nil {
		return nil, false
	}
	return slices.Clone(f.bytes()), true
}

// Names returns the names of all files, in order.
func (d *Dir) Names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(maps.Keys(d.files))
}

// Calls is the number of calls so far.
func (d *Dir) Calls() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls
}

// begin counts a call and makes it fail if it should.
func (d *Dir) begin(op, name string, changes bool) (Call, error) {
	d.mu.Lock()
	c := Call{op, name, changes, d.calls}
	d.calls++
	d.mu.Unlock()
	if d.Before == nil {
		return c, nil
	}
	if err := d.Before(c); err != nil {
		return c, &fs.PathError{Op: op, Path: d.Path(name), Err: err}
	}
	return c, nil
}

func (d *Dir) end(c Call) {
	if d.After != nil {
		d.After(c)
	}
}

// tick returns the time of a change (with mu held).
func (d *Dir) tick() time.Time {
	d.clock = d.clock.Add(time.Microsecond)
	return d.clock
}

func (d *Dir) newInode() *inode {
	d.number++
	f := &inode{number: d.number, modified: d.tick(), kept: d.stable != nil}
	d.inodes = append(d.inodes, f)
	return f
}

func (d *Dir) open(op, name string, create, exclusive bool) (disk.File, error) {
	call, err := d.begin(op, name, create)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	f := d.files[name]
	switch {
	case f != nil && exclusive:
		err = &fs.PathError{Op: op, Path: d.Path(name), Err: fs.ErrExist}
	case f == nil && !create:
		err = &fs.PathError{Op: op, Path: d.Path(name), Err: fs.ErrNotExist}
	case f == nil:
		f = d.newInode()
		d.files[name] = f
		d.stable.entry("", name, f)
	}
	d.mu.Unlock()
	if err != nil {
		return nil, err
	}
	d.end(call)
	return &file{dir: d, inode: f, name: name}, nil
}

// Open implements disk.Dir.
func (d *Dir) Open(name string) (disk.File, error) { return d.open("open", name, false, false) }

// OpenToRead is what disk.OpenToRead asks for. Writing fails.
func (d *Dir) OpenToRead(name string) (disk.File, error) {
	f, err := d.open("open", name, false, false)
	if err != nil {
		return nil, err
	}
	f.(*file).readOnly = true
	return f, nil
}

// Create implements disk.Dir.
func (d *Dir) Create(name string) (disk.File, error) { return d.open("create", name, true, true) }

// Rename implements disk.Dir.
func (d *Dir) Rename(oldName, newName string) error {
	return d.change("rename", oldName, func(f *inode) {
		delete(d.files, oldName)
		d.files[newName] = f
		d.stable.entry(oldName, newName, f)
	})
}

// Remove implements disk.Dir.
func (d *Dir) Remove(name string) error {
	return d.change("remove", name, func(*inode) {
		delete(d.files, name)
		d.stable.entry(name, "", nil)
	})
}

func (d *Dir) change(op, name string, do func(*inode)) error {
	call, err := d.begin(op, name, true)
	if err != nil {
		return err
	}
	d.mu.Lock()
	f := d.files[name]
	if f != nil {
		do(f)
	}
	d.mu.Unlock()
	if f == nil {
		return &fs.PathError{Op: op, Path: d.Path(name), Err: fs.ErrNotExist}
	}
	d.end(call)
	return nil
}

// List implements disk.Dir. The order is that of names reversed, which nobody may rely on.
func (d *Dir) List() ([]fs.DirEntry, error) {
	if _, err := d.begin("list", "", false); err != nil {
		return nil, err
	}
	var entries []fs.DirEntry
	for _, name := range slices.Backward(d.Names()) {
		d.mu.Lock()
		entries = append(entries, fs.FileInfoToDirEntry(d.files[name].info(name)))
		d.mu.Unlock()
	}
	return entries, nil
}

// Stat implements disk.Dir.
func (d *Dir) Stat(name string) (fs.FileInfo, error) {
	if _, err := d.begin("stat", name, false); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.files[name]
	if f == nil {
		return nil, &fs.PathError{Op: "stat", Path: d.Path(name), Err: fs.ErrNotExist}
	}
	return f.info(name), nil
}

// Sync implements disk.Dir.
func (d *Dir) Sync() error {
	call, err := d.begin("sync dir", "", false)
	if err == nil {
		d.syncEntries()
		d.end(call)
	}
	return err
}

// SyncAll implements disk.Dir.
func (d *Dir) SyncAll() error {
	call, err := d.begin("sync all", "", false)
	if err == nil {
		d.syncEntries()
		d.mu.Lock()
		for _, f := range d.inodes {
			f.synced(0, f.size)
		}
		d.mu.Unlock()
		d.end(call)
	}
	return err
}

// Free implements disk.Dir: it is what Space says, or much.
func (d *Dir) Free() (uint64, error) {
	if d.Space == nil {
		return 1 << 40, nil
	}
	return d.Space(), nil
}

// Boot implements disk.Dir: it is another one after PowerCut.
func (d *Dir) Boot() uint64 { return d.boot }

// Path implements disk.Dir.
func (d *Dir) Path(name string) string { return "data/" + name }

// info describes a file.
type info struct {
	name     string
	size     int64
	modified time.Time
	inode    uint64
}

func (f *inode) info(name string) info { return info{name, f.size, f.modified, f.number} }

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) Mode() fs.FileMode  { return 0o666 }
func (i info) ModTime() time.Time { return i.modified }
func (i info) IsDir() bool        { return false }
func (i info) Sys() any           { return &syscall.Stat_t{Ino: i.inode} }
