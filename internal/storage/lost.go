package storage

import (
	"fmt"
	"os"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/catalogue"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// Files that are deleted while the node has them mapped go on working, so nothing but a look at
// the directories tells that what is acknowledged does not survive the node any more.

// home is a directory that the node has found when it was started.
type home struct {
	path string
	info os.FileInfo
}

func newHome(path string) (home, error) {
	info, err := os.Stat(path)
	return home{path, info}, err
}

// gone says that another directory has that path now, or none.
func (h home) gone() error {
	info, err := os.Stat(h.path)
	switch {
	case err != nil:
		return err
	case !os.SameFile(info, h.info):
		return fmt.Errorf("%s is another directory than when the node was started", h.path)
	}
	return nil
}

// noteHomes keeps what the directories are.
func (st *store) noteHomes() error {
	for _, path := range []string{st.options.Dir, st.options.RingDir} {
		if path == "" {
			continue
		}
		h, err := newHome(path)
		if err != nil {
			return err
		}
		st.homes = append(st.homes, h)
	}
	return nil
}

// Lost says why records that are stored will be lost when the node ends, or nil. It tells what
// was found when that was last looked for: once a period.
func (cs *Channels) Lost() error {
	if err := cs.store.lost.Load(); err != nil {
		return *err
	}
	return nil
}

// lookForHomes looks whether the files of the node are still where the next start looks for them.
func (st *store) lookForHomes() (err error) {
	for i := 0; i < len(st.homes) && err == nil; i++ {
		err = st.homes[i].gone()
	}
	if err == nil && len(st.homes) > 0 {
		if _, e := st.dir.Stat(catalogue.FileName); disk.IsNotExist(e) {
			err = e
		}
	}
	if err == nil {
		st.lost.Store(nil)
		return nil
	}
	err = fmt.Errorf("files of the node were deleted, or moved, while it runs: %w. What is stored, "+
		"and what is stored from now on, does not survive its end; to do: keep producers away, let consumers take what there is, "+
		"or move the files back; then restart the node", err)
	if st.lost.Swap(&err) == nil {
		st.log.Error("records will be LOST", zap.Error(err))
	}
	return err
}
