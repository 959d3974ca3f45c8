package storage

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
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
	paused := st.paused.sorted()
	if len(paused) == 0 {
		return disk.RemoveIfThere(st.dir, pausedFile)
	}
	if err := disk.RemoveIfThere(st.dir, newPausedFile); err != nil {
		return err
	}
	f, err := st.dir.Create(newPausedFile)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(strings.Join(paused, "\n")+"\n"), 0)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := st.dir.Rename(newPausedFile, pausedFile); err != nil {
		return err
	}
	return st.dir.Sync()
}

// loadPaused pauses the queues that were, and returns those that there are not.
func (cs *Channels) loadPaused() (missing []string, err error) {
	paused, err := readPaused(cs.store.dir)
	if err != nil {
		return nil, err
	}
	for _, name := range paused {
		if cs.setPaused(name, true) != nil {
			missing = append(missing, name)
			continue
		}
		cs.tellPaused(name)
	}
	return missing, nil
}

func (cs *Channels) tellPaused(name string) {
	cs.store.log.Warn("a queue is paused, as it was: it hands out no records before somebody lets it go on", zap.String("queue", name))
}

// makePaused makes channels that were paused and had no records: a stop that leaves the files of the
// original leaves nothing of them. What can't be paused is told, and dropped from the file.
func (cs *Channels) makePaused(missing []string) {
	if len(missing) == 0 {
		return
	}
	if i := slices.IndexFunc(missing, noName); i >= 0 {
		cs.store.log.Error("paused.dat is damaged, queues that were paused may not be; to do: look which ones hand out what they should not, and pause them again",
			zap.String("no name of a queue", fmt.Sprintf("%.80q", missing[i])))
		missing = nil
	}
	for _, name := range missing {
		err := cs.makeOnePaused(name)
		if err == nil {
			cs.tellPaused(name)
			continue
		}
		cs.store.log.Error("a queue that was paused is not paused any more; to do: look whether it hands out what it should not, and pause it again",
			zap.String("queue", name), zap.Error(err))
	}
	if err := cs.store.savePaused(); err != nil {
		cs.store.log.Error("it is not stored which queues are paused", zap.Error(err))
	}
}

func noName(queue string) bool {
	subscriber, channel, _, ok := names.ParseStorage(queue)
	return !ok || !names.Fits([]byte(subscriber), []byte(channel))
}

func (cs *Channels) makeOnePaused(name string) error {
	_, channel, subscribed, _ := names.ParseStorage(name)
	if subscribed {
		return ErrNoQueue
	}
	if c := cs.Find([]byte(channel)); c != nil { // a kill came when its first subscriber took the queue over
		first := slices.MinFunc(c.storages, func(a, b *Storage) int { return cmp.Compare(a.numbers[0], b.numbers[0]) })
		return cs.setPaused(first.name, true)
	}
	c, err := cs.Open([]byte(channel))
	if err != nil {
		return err
	}
	c.Commit()
	return cs.setPaused(name, true)
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
