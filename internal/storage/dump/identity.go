package dump

import (
	"io/fs"
	"syscall"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// ID tells one version of a file from all others. A file whose records have been taken over
// is known by it if it could not be deleted. No file has the zero ID.
type ID struct {
	Inode   uint64
	ModTime uint64 // nanoseconds since 1970, UTC
	Size    uint64 // bytes
}

// Identify returns the ID of a file. Renaming it does not change that.
func Identify(dir disk.Dir, fileName string) (ID, error) {
	info, err := dir.Stat(fileName)
	if err != nil {
		return ID{}, err
	}
	return identity(info), nil
}

func identity(info fs.FileInfo) ID {
	id := ID{ModTime: uint64(info.ModTime().UnixNano()), Size: uint64(info.Size())}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok {
		id.Inode = stat.Ino
	}
	return id
}
