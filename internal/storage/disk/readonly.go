package disk

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// ErrReadOnly is the error of operations that would change a directory that is only looked
// at.
var ErrReadOnly = errors.New("the directory is only looked at")

// OpenDirReadOnly returns the directory at path, which must exist, to be looked at: Open
// opens regular files for reading, what they map must not be written to, and everything
// that would change something fails. Access times stay as they are too, unless the files
// belong to another user, which the system then does not allow to ask for.
func OpenDirReadOnly(path string) (Dir, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, &fs.PathError{Op: "open", Path: path, Err: unix.ENOTDIR}
	}
	return readOnlyDirectory{directory{path, boot(), false}}, nil
}

type readOnlyDirectory struct{ directory }

func (d readOnlyDirectory) Open(name string) (File, error) {
	f, err := openUnnoticed(d.Path(name))
	if err != nil {
		return nil, err
	}
	var stat unix.Stat_t
	if err = retry(func() error { return unix.Fstat(f.fd, &stat) }); err == nil && stat.Mode&unix.S_IFMT != unix.S_IFREG {
		err = &fs.PathError{Op: "open", Path: f.path, Err: errors.New("not a regular file")}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return readOnlyFile{f}, nil
}

// OpenToRead takes the place of that of directory, which changes access times.
func (d readOnlyDirectory) OpenToRead(name string) (File, error) { return d.Open(name) }

func (d readOnlyDirectory) List() ([]fs.DirEntry, error) {
	f, err := openUnnoticed(d.path)
	if err != nil {
		return nil, err
	}
	dir := os.NewFile(uintptr(f.fd), f.path)
	defer dir.Close()
	return dir.ReadDir(-1)
}

func (d readOnlyDirectory) Create(name string) (File, error) { return nil, d.refuse("create", name) }
func (d readOnlyDirectory) Rename(oldName, _ string) error   { return d.refuse("rename", oldName) }
func (d readOnlyDirectory) Remove(name string) error         { return d.refuse("remove", name) }
func (d readOnlyDirectory) Sync() error                      { return d.refuse("sync", "") }
func (d readOnlyDirectory) SyncAll() error                   { return d.refuse("sync", "") }

func (d readOnlyDirectory) refuse(what, name string) error {
	return &fs.PathError{Op: what, Path: d.Path(name), Err: ErrReadOnly}
}

// openUnnoticed opens a file or directory for reading without changing its access time. It
// does not wait for the other end of a pipe.
func openUnnoticed(path string) (*file, error) {
	f, err := openFile(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOATIME)
	if errors.Is(err, unix.EPERM) {
		return openFile(path, unix.O_RDONLY|unix.O_NONBLOCK)
	}
	return f, err
}

// readOnlyFile is open for reading only, so the system refuses whatever would change it.
type readOnlyFile struct{ *file }

func (f readOnlyFile) Map(size int64) (Mapping, error) { return f.mapped(size, unix.PROT_READ) }
