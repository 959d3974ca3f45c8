//go:build unix

package main

import (
	"io/fs"
	"syscall"
)

// ownerOf returns the user and group that a file belongs to.
func ownerOf(file fs.FileInfo) (uid, gid int) {
	stat := file.Sys().(*syscall.Stat_t)
	return int(stat.Uid), int(stat.Gid)
}
