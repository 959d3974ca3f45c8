package disk

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// OpenDir returns the directory at path, which is created with its parents if it does
// not exist.
func OpenDir(path string) (Dir, error) {
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, err
	}
	return directory{path, boot(), ordered(path)}, nil
}

// IsNotExist reports whether an error says that there is no such file.
func IsNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// IsUnreadable reports whether an error of reading says that a disk, or its file system, is damaged
// there.
func IsUnreadable(err error) bool {
	if failed := (*fs.PathError)(nil); !errors.As(err, &failed) || failed.Op != "read" {
		return false
	}
	for _, damage := range []error{unix.EIO, unix.EUCLEAN, unix.EBADMSG, unix.ENODATA, unix.EILSEQ} {
		if errors.Is(err, damage) {
			return true
		}
	}
	return false
}

type directory struct {
	path    string
	boot    uint64
	ordered bool // a sync of a part of a file makes durable whatever of it was written out before
}

func (d directory) Path(name string) string { return filepath.Join(d.path, name) }

// fileMode keeps records from other users of the machine.
const fileMode = 0o600

func (d directory) open(name string, flag int) (File, error) {
	f, err := openFile(d.Path(name), flag)
	if err != nil {
		return nil, err
	}
	f.ordered = d.ordered
	return f, nil
}

func (d directory) Open(name string) (File, error) { return d.open(name, unix.O_RDWR) }

// OpenToRead is what the function of that name asks for.
func (d directory) OpenToRead(name string) (File, error) {
	f, err := d.open(name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	return readOnlyFile{f.(*file)}, nil
}

func (d directory) Create(name string) (File, error) {
	return d.open(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
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

func (d directory) Sync() error {
	return d.do("sync", func(f *os.File) error { return f.Sync() })
}

func (d directory) SyncAll() error {
	return d.do("syncfs", func(f *os.File) error { return unix.Syncfs(int(f.Fd())) })
}

func (d directory) Free() (free uint64, err error) {
	err = d.do("statfs", func(f *os.File) error {
		var s unix.Statfs_t
		if err := unix.Fstatfs(int(f.Fd()), &s); err != nil {
			return err
		}
		if s.Blocks == 0 {
			return errors.ErrUnsupported // a file system that does not know its size
		}
		free = uint64(s.Bavail) * uint64(s.Bsize)
		return nil
	})
	return free, err
}

// bootFile tells another random number each time that the kernel is started.
const bootFile = "/proc/sys/kernel/random/boot_id"

func (d directory) Boot() uint64 { return d.boot }

func boot() uint64 {
	id, err := os.ReadFile(bootFile)
	if err != nil || len(id) == 0 {
		return 0
	}
	h := fnv.New64a()
	h.Write(id)
	return h.Sum64() | 1
}

func (d directory) do(what string, work func(*os.File) error) error {
	f, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := work(f); err != nil {
		return &fs.PathError{Op: what, Path: d.path, Err: err}
	}
	return nil
}

// file is a descriptor, without what os.File does beyond that: a node opens thousands of files
// for a moment.
type file struct {
	fd      int
	path    string
	ordered bool // see directory
}

func openFile(path string, flag int) (*file, error) {
	var fd int
	err := retry(func() (err error) {
		fd, err = unix.Open(path, flag|unix.O_CLOEXEC, fileMode)
		return err
	})
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return &file{fd: fd, path: path}, nil
}

// retry repeats a system call that a signal has interrupted.
func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func (f *file) failed(op string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: f.path, Err: err}
}

func (f *file) ReadAt(b []byte, offset int64) (n int, err error) {
	for n < len(b) {
		var got int
		err := retry(func() (err error) {
			got, err = unix.Pread(f.fd, b[n:], offset+int64(n))
			return err
		})
		if err != nil {
			return n, f.failed("read", err)
		}
		if got == 0 {
			return n, io.EOF
		}
		n += got
	}
	return n, nil
}

func (f *file) WriteAt(b []byte, offset int64) (n int, err error) {
	for n < len(b) {
		var put int
		err := retry(func() (err error) {
			put, err = unix.Pwrite(f.fd, b[n:], offset+int64(n))
			return err
		})
		if err != nil {
			return n, f.failed("write", err)
		}
		n += put
	}
	return n, nil
}

const (
	// mostFine is how many zeros are written page by page. The system keeps in one piece what is written
	// at once, and later writes all of it to the disk if a byte changes: that suits who fills much, and
	// not a queue of some records.
	mostFine = 128 << 10
	// mostCoarse is how many are written at once.
	mostCoarse = 1 << 20
)

var zeros [mostCoarse]byte

func (f *file) Fill(offset, n int64) error {
	piece := int64(mostCoarse)
	if n <= mostFine {
		piece = int64(os.Getpagesize())
	}
	for end := offset + n; offset < end; offset += piece {
		if _, err := f.WriteAt(zeros[:min(piece, end-offset)], offset); err != nil {
			return err
		}
	}
	return nil
}

func (f *file) Close() error { return f.failed("close", unix.Close(f.fd)) }

func (f *file) Sync() error {
	return f.failed("sync", retry(func() error { return unix.Fsync(f.fd) }))
}

func (f *file) WriteOut(ranges ...Range) error {
	if !f.ordered {
		return f.Sync()
	}
	const begin, end = unix.SYNC_FILE_RANGE_WRITE, unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
	for _, flags := range []int{begin, end} { // the disk does all of them meanwhile
		for _, r := range ranges {
			if err := retry(func() error { return unix.SyncFileRange(f.fd, r.From, r.To-r.From, flags) }); err != nil {
				return f.failed("write out", err)
			}
		}
	}
	return nil
}

// ordered reports whether the file system is one whose fsync, also of a part of a file, ends with the
// log of all changes of the file, and a flush of the disk.
func ordered(path string) bool {
	var s unix.Statfs_t
	if unix.Statfs(path, &s) != nil {
		return false
	}
	return s.Type == unix.EXT4_SUPER_MAGIC || s.Type == unix.XFS_SUPER_MAGIC
}

func (f *file) Truncate(size int64) error {
	return f.failed("truncate", retry(func() error { return unix.Ftruncate(f.fd, size) }))
}

func (f *file) Size() (int64, error) {
	var stat unix.Stat_t
	if err := retry(func() error { return unix.Fstat(f.fd, &stat) }); err != nil {
		return 0, f.failed("stat", err)
	}
	return stat.Size, nil
}

func (f *file) Punch(offset, n int64) error {
	err := retry(func() error {
		return unix.Fallocate(f.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, offset, n)
	})
	return f.failed("punch", err)
}

func (f *file) Ahead() { unix.Fadvise(f.fd, 0, 0, unix.FADV_WILLNEED) }

func (f *file) Map(size int64) (Mapping, error) {
	return f.mapped(size, unix.PROT_READ|unix.PROT_WRITE)
}

func (f *file) mapped(size int64, protection int) (Mapping, error) {
	if int64(int(size)) != size {
		return nil, fmt.Errorf("map %d bytes of %s: larger than the address space", size, f.path)
	}
	b, err := unix.Mmap(f.fd, 0, int(size), protection, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %d bytes of %s: %w", size, f.path, err)
	}
	return mapping{b, f.path}, nil
}

type mapping struct {
	bytes []byte
	name  string
}

func (m mapping) Bytes() []byte { return m.bytes }

func (m mapping) Sync(from, to int) error {
	from -= from % os.Getpagesize()
	if err := retry(func() error { return unix.Msync(m.bytes[from:to], unix.MS_SYNC) }); err != nil {
		return fmt.Errorf("sync %s: %w", m.name, err)
	}
	return nil
}

func (m mapping) Release(from, to int) error {
	page := os.Getpagesize()
	from, to = (from+page-1)/page*page, to/page*page
	if from >= to {
		return nil
	}
	if err := retry(func() error { return unix.Madvise(m.bytes[from:to], unix.MADV_DONTNEED) }); err != nil {
		return fmt.Errorf("release pages of %s: %w", m.name, err)
	}
	return nil
}

func (m mapping) Touch(from, to int) {
	page := os.Getpagesize()
	for at := from / page * page; at < to; at += page {
		atomic.AddUint64((*uint64)(unsafe.Pointer(&m.bytes[at])), 0) // others may store there meanwhile
	}
}

func (m mapping) Close() error { return unix.Munmap(m.bytes) }
