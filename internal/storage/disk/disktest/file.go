package disktest

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// mostBytes is the address space of a file: what is mapped must not move.
const mostBytes = 80 << 20

var pageSize = int64(os.Getpagesize())

// inode is a file, whatever its name.
type inode struct {
	number   uint64
	modified time.Time
	memory   []byte // mostBytes of address space, or nothing if the file was never written to
	size     int64
	filled   []bool // by page: it has disk space

	kept   bool   // what is on the disk for certain is kept, too
	stable []byte // that, from the start on; what is missing is zeros

	unwritten  map[int64][]byte // by page: what could not be written, and counts as written until it changes
	writtenOut []written        // that is on the disk for certain after the next sync of the file
}

// written is bytes as they were when they were written out.
type written struct {
	at    int64
	bytes []byte
}

func (f *inode) bytes() []byte { return f.memory[:f.size] }

// extend makes the file at least that long. What is new has no disk space.
func (f *inode) extend(size int64) {
	if size <= f.size {
		return
	}
	if size > mostBytes {
		panic(fmt.Sprintf("disktest: a file of %d bytes", size))
	}
	if f.memory == nil {
		var err error
		f.memory, err = unix.Mmap(-1, 0, mostBytes, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
		if err != nil {
			panic(err)
		}
	}
	f.size = size
	f.filled = append(f.filled, make([]bool, pages(size)-len(f.filled))...)
	f.protect()
}

// write stores what is written to the file, which takes disk space.
func (f *inode) write(b []byte, offset int64) {
	end := offset + int64(len(b))
	f.extend(end)
	if len(b) == 0 {
		return
	}
	changed := false
	for page := int(offset / pageSize); page < pages(end); page++ {
		changed = changed || !f.filled[page]
		f.filled[page] = true
	}
	if changed {
		f.protect()
	}
	copy(f.memory[offset:], b)
	f.touch(offset, end)
}

// punch takes the disk space of whole pages away and makes all of the range zeros.
func (f *inode) punch(offset, n int64) {
	end := min(offset+n, f.size)
	for at := offset; at < end; {
		next := min(end, (at/pageSize+1)*pageSize)
		if page := at / pageSize; f.filled[page] {
			clear(f.memory[at:next])
			f.filled[page] = next-at < min(pageSize, f.size-page*pageSize)
		}
		at = next
	}
	f.protect()
}

// cut makes the file shorter.
func (f *inode) cut(size int64) {
	if f.memory != nil {
		for page := pages(size); page < len(f.filled); page++ {
			if f.filled[page] {
				clear(f.memory[int64(page)*pageSize:][:pageSize])
			}
		}
		f.filled = f.filled[:pages(size)]
		if last := pages(size) - 1; last >= 0 && f.filled[last] {
			clear(f.memory[size:pages64(size)])
		}
		f.size = size
		f.protect()
	}
	f.size = size
}

func pages(size int64) int     { return int((size + pageSize - 1) / pageSize) }
func pages64(size int64) int64 { return int64(pages(size)) * pageSize }

// protect makes the pages of the file readable, those with disk space writable as well, and
// no others accessible.
func (f *inode) protect() {
	if f.memory == nil {
		return
	}
	for from := 0; from < len(f.filled); {
		to := from + 1
		for to < len(f.filled) && f.filled[to] == f.filled[from] {
			to++
		}
		access := unix.PROT_READ
		if f.filled[from] {
			access |= unix.PROT_WRITE
		}
		must(unix.Mprotect(f.memory[int64(from)*pageSize:int64(to)*pageSize], access))
		from = to
	}
	if end := pages64(f.size); end < mostBytes {
		must(unix.Mprotect(f.memory[end:], unix.PROT_NONE))
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func (f *inode) clone() *inode {
	c := &inode{number: f.number, modified: f.modified, kept: f.kept, stable: slices.Clone(f.stable), unwritten: maps.Clone(f.unwritten)}
	c.extend(f.size)
	for page := range f.filled {
		if f.filled[page] {
			at := int64(page) * pageSize
			c.filled[page] = true
			must(unix.Mprotect(c.memory[at:at+pageSize], unix.PROT_READ|unix.PROT_WRITE))
			copy(c.memory[at:at+pageSize], f.memory[at:])
		}
	}
	return c
}

func (f *inode) release() {
	if f.memory != nil {
		must(unix.Munmap(f.memory))
		f.memory = nil
	}
}

// file is an open file.
type file struct {
	*inode
	dir      *Dir
	name     string // under which it was opened
	readOnly bool
}

// refuse fails for a change of a file that was opened to be read.
func (f *file) refuse(op string) error {
	if !f.readOnly {
		return nil
	}
	return &fs.PathError{Op: op, Path: f.dir.Path(f.name), Err: unix.EBADF}
}

// do makes a change.
func (f *file) do(op string, change func() error) error {
	if err := f.refuse(op); err != nil {
		return err
	}
	call, err := f.dir.begin(op, f.name, true)
	if err != nil {
		return err
	}
	f.dir.mu.Lock()
	if err = change(); err == nil {
		f.modified = f.dir.tick()
	}
	f.dir.mu.Unlock()
	if err != nil {
		return &fs.PathError{Op: op, Path: f.dir.Path(f.name), Err: err}
	}
	f.dir.end(call)
	return nil
}

func (f *file) ReadAt(b []byte, offset int64) (int, error) {
	_, failed := f.dir.begin("read", f.name, false)
	if failed != nil {
		b = b[:len(b)/2]
	}
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	n := 0
	if offset < f.size {
		n = copy(b, f.bytes()[offset:])
	}
	switch {
	case failed != nil:
		return n, failed
	case n < len(b):
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(b []byte, offset int64) (int, error) {
	if err := f.refuse("write"); err != nil {
		return 0, err
	}
	call, failed := f.dir.begin("write", f.name, true)
	if failed != nil {
		b = b[:len(b)/2]
	}
	f.dir.mu.Lock()
	if len(b) > 0 {
		f.write(b, offset)
		f.modified = f.dir.tick()
	}
	f.dir.mu.Unlock()
	f.dir.end(call)
	return len(b), failed
}

func (f *file) Fill(offset, n int64) error {
	_, err := f.WriteAt(make([]byte, n), offset)
	return err
}

func (f *file) Size() (int64, error) {
	_, err := f.dir.begin("size", f.name, false)
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	return f.size, err
}

func (f *file) Truncate(size int64) error {
	return f.do("truncate", func() error {
		if size < f.size {
			f.cut(size)
		} else {
			f.extend(size)
		}
		return nil
	})
}

func (f *file) Punch(offset, n int64) error {
	return f.do("punch", func() error {
		f.punch(offset, n)
		return nil
	})
}

func (f *file) Ahead() {}

func (f *file) Map(size int64) (disk.Mapping, error) {
	_, err := f.dir.begin("map", f.name, false)
	if err != nil {
		return nil, err
	}
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	if f.memory == nil {
		f.extend(1) // has address space from now on
		f.cut(0)
	}
	return &mapping{file: f, bytes: f.memory[:size:size]}, nil
}

func (f *file) Sync() error {
	call, err := f.dir.begin("sync", f.name, false)
	if err == nil {
		f.sync(0, mostBytes)
		f.dir.end(call)
	}
	return err
}

func (f *file) WriteOut(ranges ...disk.Range) error {
	call, err := f.dir.begin("write out", f.name, false)
	if err == nil {
		f.dir.mu.Lock()
		for _, r := range ranges {
			f.eachDirty(r.From, r.To, func(from, to int64) {
				f.writtenOut = append(f.writtenOut, written{from, slices.Clone(f.memory[from:to])})
			})
		}
		f.dir.mu.Unlock()
		f.dir.end(call)
	} else {
		f.notSynced(ranges...)
	}
	return err
}

func (f *file) Close() error {
	_, err := f.dir.begin("close", f.name, false)
	return err
}

// sync makes some bytes durable, and the length of the file so that they can be read.
func (f *file) sync(from, to int64) {
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	f.synced(from, to)
}

type mapping struct {
	file  *file
	bytes []byte
}

func (m *mapping) Bytes() []byte {
	if m.file.dir.Store != nil {
		m.file.dir.Store(m.file.name)
	}
	return m.bytes
}

func (m *mapping) Sync(from, to int) error {
	call, err := m.file.dir.begin("sync map", m.file.name, false)
	if err == nil {
		m.file.sync(int64(from), int64(to))
		m.file.dir.end(call)
	} else {
		m.file.notSynced(disk.Range{From: int64(from), To: int64(to)})
	}
	return err
}

func (m *mapping) Release(from, to int) error { return nil }

func (m *mapping) Touch(from, to int) {
	m.file.dir.mu.Lock()
	defer m.file.dir.mu.Unlock()
	m.file.touch(int64(from), int64(to))
}

func (m *mapping) Close() error {
	m.bytes = nil
	_, err := m.file.dir.begin("unmap", m.file.name, false)
	return err
}
