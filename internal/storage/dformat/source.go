package dformat

import (
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// Source is a file whose records are loaded. Inode, time and size tell this version of it from
// all others.
type Source struct {
	Name    string
	Inode   uint64
	ModTime uint64 // nanoseconds since 1970, UTC
	Size    uint64 // bytes
	// Aside is the name that the file gets instead of being deleted, if it may hold records
	// that were not loaded.
	Aside string
}

// Finish deletes the sources, or sets them aside. Those that are not the same files any more
// stay. It can be called again after it has failed or was killed. The caller syncs the
// directory.
func Finish(dir disk.Dir, sources []Source) error {
	return errNotYet
}
