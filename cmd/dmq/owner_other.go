//go:build !unix

package main

import "io/fs"

// ownerOf returns nobody: files belong to whoever makes them.
func ownerOf(fs.FileInfo) (uid, gid int) { return -1, -1 }
