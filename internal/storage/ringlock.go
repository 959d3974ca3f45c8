package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// ringLockFormat is the name of the lock file in a directory of rings, by instance. No node
// takes a file of that suffix for anything else, should it lie in a data directory.
const ringLockFormat = "rings-%016x-lock.dat"

// lockRings makes sure that no other node has the same ring files, if they are not in the data
// directory, which is locked. These are known by instance and number, so it would be a node
// whose data directory is a copy. Nodes of other instances have other ring files.
func (st *store) lockRings() error {
	if st.rings == st.dir {
		return nil
	}
	dir, err := filepath.Abs(st.options.Dir)
	if err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	name := fmt.Sprintf(ringLockFormat, st.catalogue.Instance())
	file, err := lockFile(st.rings.Path(name))
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		other, _ := os.ReadFile(st.rings.Path(name))
		return fmt.Errorf("[Storage] ring_dir %s: a running node, that of data directory %s, has the same ring files, "+
			"because %s is a copy of its data directory or the other way round. Make the copy anew when that node has been stopped; "+
			"or give this one another ring_dir, and put a copy of the ring files there",
			st.options.RingDir, strconv.Quote(string(other)), strconv.Quote(dir))
	case err != nil:
		return fmt.Errorf("[Storage] ring_dir: %w", err)
	}
	st.lock = ringLock{st.lock, st.rings, name, file}
	if err := file.Truncate(0); err == nil {
		file.WriteString(dir) // for the message above, so no matter if the disk is full
	}
	return nil
}

// lockFile locks a file, which is created if necessary.
func lockFile(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			var locked, named fs.FileInfo
			if locked, err = f.Stat(); err == nil {
				named, err = os.Stat(path)
			}
			if err == nil && os.SameFile(locked, named) {
				return f, nil
			}
		}
		f.Close()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		} // else its owner has deleted it meanwhile, so it is another file that counts
	}
}

// ringLock is the lock of the data directory with that of the rings.
type ringLock struct {
	data  io.Closer
	rings disk.Dir
	name  string
	file  *os.File
}

// Close deletes the lock file as long as it is locked.
func (l ringLock) Close() error {
	return errors.Join(disk.RemoveIfThere(l.rings, l.name), l.file.Close(), l.data.Close())
}
