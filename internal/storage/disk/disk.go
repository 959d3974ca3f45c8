// Package disk is the file operations that storage needs, behind interfaces so that tests
// can make each of them fail, or end the world after it.
//
// All names are file names in one directory; there are no paths. Errors are those of
// package os or unix and name the file.
//
// [WithFloor] makes a full disk a state of a directory that is asked for once a period,
// instead of an error that every write finds again.
//
// The package imports nothing else of the node.
package disk

import (
	"io"
	"io/fs"
)

// Dir is a directory.
type Dir interface {
	// Open opens a file for reading and writing.
	Open(name string) (File, error)
	// Create creates a file for reading and writing; it must not exist.
	Create(name string) (File, error)
	// Rename renames a file, replacing newName.
	Rename(oldName, newName string) error
	// Remove deletes a file.
	Remove(name string) error
	// List returns the entries in directory order.
	List() ([]fs.DirEntry, error)
	// Stat describes a file, following symbolic links.
	Stat(name string) (fs.FileInfo, error)
	// Sync makes renames, creations and removals durable.
	Sync() error
	// SyncAll makes everything durable that has been written to the file system of the
	// directory: for many files at once that is much faster than one by one.
	SyncAll() error
	// Free is the number of bytes that can be written until the file system is full. Not every
	// file system knows that: errors.ErrUnsupported.
	Free() (uint64, error)
	// Path returns the path of a file, for messages.
	Path(name string) string
	// Boot tells the times apart that the machine of the directory has been started: what was
	// stored in a mapping, and not synced, is still there if it is the same. It is 0 if that is not
	// known.
	Boot() uint64
}

// OpenToRead opens a file for reading, if the directory can tell that from Open: it may be all
// that the process is allowed.
func OpenToRead(dir Dir, name string) (File, error) {
	if d, ok := dir.(interface{ OpenToRead(string) (File, error) }); ok {
		return d.OpenToRead(name)
	}
	return dir.Open(name)
}

// RemoveIfThere deletes a file that need not be there.
func RemoveIfThere(dir Dir, name string) error {
	if err := dir.Remove(name); err != nil && !IsNotExist(err) {
		return err
	}
	return nil
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
	// Punch gives back the disk space of n bytes from offset on, which read as zero then. Not
	// every file system can do that: errors.ErrUnsupported.
	Punch(offset, n int64) error
	// Ahead asks the system to have the file in memory soon.
	Ahead()
	// Map maps the first size bytes, shared: what is stored there is in the file, whatever
	// becomes of the process. The file may be shorter; storing behind its end, or where it has
	// no disk space and there is none, ends the process.
	Map(size int64) (Mapping, error)
	// Fill writes n zeros from offset on.
	Fill(offset, n int64) error
	// WriteOut gives the disk what the file has in some ranges, and waits until it is there. It is
	// durable when any bytes of the file have been synced after that; so several ranges cost what one
	// does. Where the file system can't do that, they are durable at once.
	WriteOut(ranges ...Range) error
	// Sync makes the contents durable.
	Sync() error
}

// Range is bytes of a file, from one offset to another.
type Range struct{ From, To int64 }

// Mapping is the mapped bytes of a file.
type Mapping interface {
	// Bytes is the mapped memory. It must not be used after Close.
	Bytes() []byte
	// Sync makes what is stored from one offset to another durable, and what the file needs so that
	// it is found there.
	Sync(from, to int) error
	// Release says that whole pages from one offset to another are not needed by the process for the
	// moment. They stay what they are, and in the cache of the system, which writes them for less
	// then: a page that is in use it has to take from each processor first, one by one.
	Release(from, to int) error
	// Touch says that what is stored from one offset to another is to be written again by the next sync.
	// After a sync that has failed, the system takes for written what it could not write.
	Touch(from, to int)
	Close() error
}
