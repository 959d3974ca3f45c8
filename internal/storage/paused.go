package storage

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// Which queues are paused is kept in a file of its own, a name a line, because it outlasts a stop
// that leaves the files of the original, and the catalogue does not. No node takes a file of
// that suffix for anything else.
const (
	pausedFile    = "paused.dat"
	newPausedFile = "paused-new.dat"
)

// pausedQueues is the names of queues that are paused. It may be used with the lock of any channel
// held.
type pausedQueues struct {
	mu     sync.Mutex
	names  map[string]bool
	saving sync.Mutex // the file is written; taken before mu
}

func (p *pausedQueues) set(name string, paused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !paused {
		delete(p.names, name)
		return
	}
	if p.names == nil {
		p.names = make(map[string]bool)
	}
	p.names[name] = true
}

func (p *pausedQueues) sorted() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(maps.Keys(p.names))
}

// savePaused replaces the file; without any names there is none.
func (st *store) savePaused() error {
	st.paused.saving.Lock()
	defer st.paused.saving.Unlock()
	names := st.paused.sorted()
	if len(names) == 0 {
		return disk.RemoveIfThere(st.dir, pausedFile)
	}
	if err := disk.RemoveIfThere(st.dir, newPausedFile); err != nil {
		return err
	}
	f, err := st.dir.Create(newPausedFile)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(strings.Join(names, "\n")+"\n"), 0)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := st.dir.Rename(newPausedFile, pausedFile); err != nil {
		return err
	}
	return st.dir.Sync()
}

// loadPaused pauses the queues that were. Those that are gone are left out.
func (cs *Channels) loadPaused() error {
	names, err := readPaused(cs.store.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if cs.setPaused(name, true) == nil {
			cs.store.log.Warn("a queue is paused, as it was: it hands out no records before somebody lets it go on",
				zap.String("queue", name))
		}
	}
	return nil
}

// mostPausedBytes is more than all names of the most queues that a node can have.
const mostPausedBytes = 1 << 30

func readPaused(dir disk.Dir) ([]string, error) {
	f, err := disk.OpenToRead(dir, pausedFile)
	if disk.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, min(size, mostPausedBytes))
	n, err := f.ReadAt(b, 0)
	if n < len(b) {
		return nil, err
	}
	return strings.Fields(string(b)), nil
}

// pauseMoved is called, with the channel locked, when a queue gets another name, or is gone: "".
func (s *Storage) pauseMoved(name string) {
	if !s.paused {
		return
	}
	st := s.channel.store
	st.paused.set(s.name, false)
	if name != "" {
		st.paused.set(name, true)
	}
	st.later(st.savePaused)
}
