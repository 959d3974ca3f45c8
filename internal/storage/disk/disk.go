// Package disk is the file operations that storage needs, behind interfaces so that tests
// can make each of them fail, or end the world after it.
//
// All names are file names in one directory, the data directory; there are no paths.
// Errors are those of package os or unix and name the file.
//
// The package imports nothing else of the node.
package disk

import (
	"io"
	"io/fs"
	"time"
)

// Dir is a directory.
type Dir interface {
	// Open opens a file for reading and writing.
	Open(name string) (File, error)
	// Create creates a file for reading and writing; it must not exist.
	Create(name string) (File, error)
	// OpenOrCreate opens a file for reading and writing and creates it if necessary.
	OpenOrCreate(name string) (File, error)
	// Rename renames a file, replacing newName.
	Rename(oldName, newName string) error
	// Remove deletes a file.
	Remove(name string) error
	// List returns the entries in directory order.
	List() ([]fs.DirEntry, error)
	// Stat describes a file, following symbolic links.
	Stat(name string) (fs.FileInfo, error)
	// SetModTime sets the modification time of a file.
	SetModTime(name string, t time.Time) error
	// Sync makes renames, creations and removals durable.
	Sync() error
	// Path returns the path of a file, for messages.
	Path(name string) string
}

// OpenToRead opens a file for reading, if the directory can tell that from Open: it may be all
// that the process is allowed.
func OpenToRead(dir Dir, name string) (File, error) {
	if d, ok := dir.(interface{ OpenToRead(string) (File, error) }); ok {
		return d.OpenToRead(name)
	}
	return dir.Open(name)
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Size is the length of the file in bytes.
	Size() (int64, error)
	// Truncate sets the length.
	Truncate(size int64) error
	// Allocate reserves disk space for the first size bytes and makes the file at least
	// that long, so that writing there cannot fail for lack of space.
	Allocate(size int64) error
	// CollapseHead removes the first n bytes; what follows moves to the front. Few file
	// systems can do that, and only for multiples of their block size.
	CollapseHead(n int64) error
	// Zero makes n bytes from offset on read as zero, cheaply if the file system can.
	Zero(offset, n int64) error
	// Map maps the first size bytes, shared: what is stored there is in the file, whatever
	// becomes of the process.
	Map(size int64) (Mapping, error)
	// Sync makes the contents durable.
	Sync() error
}

// Mapping is the mapped bytes of a file.
type Mapping interface {
	// Bytes is the mapped memory. It must not be used after Close.
	Bytes() []byte
	// Sync makes what is stored there durable.
	Sync() error
	Close() error
}
