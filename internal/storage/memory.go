package storage

import "golang.org/x/sys/unix"

// inMemory reports whether a directory is in memory, so that what was there may be gone since the
// machine was started.
func inMemory(path string) bool {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return false
	}
	kind := uint32(fs.Type)
	return kind == unix.TMPFS_MAGIC || kind == unix.RAMFS_MAGIC
}
