package disktest

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// mostBytes is the address space of a file: what is mapped must not move.
const mostBytes = 64 << 20

var pageSize = int64(os.Getpagesize())

// inode is a file, whatever its name.
type inode struct {
	number   uint64
	modified time.Time
	memory   []byte // mostBytes of address space, or nothing if the file was never written to
	size     int64
	reserved int64 // disk space is reserved for that many of the first bytes
}

func (f *inode) bytes() []byte { return f.memory[:f.size] }

// extend makes the file at least that long.
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
	f.protect(size)
	f.size = size
}

// cut makes the file shorter.
func (f *inode) cut(size int64) {
	if f.memory != nil {
		end := (size + pageSize - 1) / pageSize * pageSize
		clear(f.memory[size:min(end, f.size)])
		if end < f.size {
			must(unix.Madvise(f.memory[end:], unix.MADV_DONTNEED)) // which makes it zeros
		}
		f.protect(size)
	}
	f.size, f.reserved = size, min(size, f.reserved)
}

// protect makes the pages of a file of that size accessible, and no others.
func (f *inode) protect(size int64) {
	end := (size + pageSize - 1) / pageSize * pageSize
	if end > 0 {
		must(unix.Mprotect(f.memory[:end], unix.PROT_READ|unix.PROT_WRITE))
	}
	if end < mostBytes {
		must(unix.Mprotect(f.memory[end:], unix.PROT_NONE))
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

var zeros = make([]byte, 64<<10)

func (f *inode) clone() *inode {
	c := &inode{number: f.number, modified: f.modified}
	c.extend(f.size)
	c.reserved = f.reserved
	for at := int64(0); at < f.size; at += int64(len(zeros)) {
		piece := f.memory[at:min(at+int64(len(zeros)), f.size)]
		if !bytes.Equal(piece, zeros[:len(piece)]) {
			copy(c.memory[at:], piece)
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
		f.extend(offset + int64(len(b)))
		copy(f.memory[offset:], b)
		if offset <= f.reserved {
			f.reserved = max(f.reserved, offset+int64(len(b)))
		}
		f.modified = f.dir.tick()
	}
	f.dir.mu.Unlock()
	f.dir.end(call)
	return len(b), failed
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

func (f *file) Allocate(size int64) error {
	if err := f.refuse("allocate"); err != nil {
		return err
	}
	call, failed := f.dir.begin("allocate", f.name, true)
	if failed != nil {
		size /= 2
	}
	f.dir.mu.Lock()
	f.extend(size)
	f.reserved = max(f.reserved, size)
	f.modified = f.dir.tick()
	f.dir.mu.Unlock()
	f.dir.end(call)
	return failed
}

func (f *file) CollapseHead(n int64) error {
	return f.do("collapse", func() error {
		if n <= 0 || n%pageSize != 0 || n >= f.size {
			return unix.EINVAL
		}
		reserved := max(0, f.reserved-n)
		copy(f.memory, f.memory[n:f.size])
		f.cut(f.size - n)
		f.reserved = reserved
		return nil
	})
}

func (f *file) Zero(offset, n int64) error {
	return f.do("zero", func() error {
		if offset < 0 || n <= 0 || offset+n > f.size {
			return unix.EINVAL
		}
		clear(f.memory[offset : offset+n])
		return nil
	})
}

func (f *file) Map(size int64) (disk.Mapping, error) {
	_, err := f.dir.begin("map", f.name, false)
	if err != nil {
		return nil, err
	}
	f.dir.mu.Lock()
	defer f.dir.mu.Unlock()
	if size > f.reserved {
		return nil, fmt.Errorf("disktest: %d bytes of %s are mapped, but disk space is reserved for %d", size, f.name, f.reserved)
	}
	return &mapping{file: f, bytes: f.memory[:size:size]}, nil
}

func (f *file) Sync() error {
	call, err := f.dir.begin("sync", f.name, false)
	if err == nil {
		f.dir.end(call)
	}
	return err
}

func (f *file) Close() error {
	_, err := f.dir.begin("close", f.name, false)
	return err
}

type mapping struct {
	file  *file
	bytes []byte
}

func (m *mapping) Bytes() []byte { return m.bytes }

func (m *mapping) Sync() error {
	call, err := m.file.dir.begin("sync map", m.file.name, false)
	if err == nil {
		m.file.dir.end(call)
	}
	return err
}

func (m *mapping) Close() error {
	m.bytes = nil
	_, err := m.file.dir.begin("unmap", m.file.name, false)
	return err
}
