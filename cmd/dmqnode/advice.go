package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// advice says what an operator can do about an error, or at least where to look; "" if the
// error says all there is to say.
func advice(err error) string {
	is := func(causes ...error) bool {
		for _, cause := range causes {
			if errors.Is(err, cause) {
				return true
			}
		}
		return false
	}
	switch {
	case is(unix.EADDRINUSE):
		return "another process listens on that port, perhaps another node: end it, or configure another port (ss -ltnp tells who listens)"
	case is(unix.EADDRNOTAVAIL):
		return "this machine does not have that address: configure one that it has, or 0.0.0.0 for all"
	case is(unix.EMFILE, unix.ENFILE):
		return "too few files may be open at once: raise the limit (ulimit -n, LimitNOFILE=); a node needs 2 × connection_limit + 30"
	case is(unix.ENOSPC, unix.EDQUOT):
		return "the disk is full: make room, or configure a directory on another one"
	case is(unix.EROFS):
		return "that file system can only be read: mount it for writing, or configure another directory"
	case is(unix.ENOMEM):
		return "the process may not have more memory: raise its limit (ulimit -v), or make [Server] channel_size_limit smaller"
	case is(fs.ErrPermission):
		return fmt.Sprintf("the node runs as user %s, who needs permission for that", userName())
	case is(unix.ENOTDIR):
		return "there is a file where a directory is needed: remove it, or configure another path"
	case is(unix.EISDIR):
		return "there is a directory where a file is needed: remove it, or configure another path"
	case is(fs.ErrNotExist):
		if p := (*fs.PathError)(nil); errors.As(err, &p) && filepath.IsAbs(p.Path) {
			return ""
		}
		return "relative paths start at the directory that the node is started in, " + workingDirectory()
	}
	return ""
}

func userName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprint("number ", os.Geteuid())
}

func workingDirectory() string {
	dir, err := os.Getwd()
	if err != nil {
		return "which is not known: " + err.Error()
	}
	return dir
}
