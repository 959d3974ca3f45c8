package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/overflow"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/state"
)

// Store is the data directory of the node: where storages keep what survives the process.
// Its methods are safe for concurrent use.
type Store struct {
	options StoreOptions
	dir     disk.Dir
	rings   disk.Dir // of ring files
	log     *zap.Logger
	lock    io.Closer

	mostPinned int // the constant, except in tests
	state      *state.File
	overflow   *overflow.File
	imported   []*kept // storages with the records of a dump file that is still there
	newState   bool    // state told nothing: dumps and index did

	// Files that no storage needs, until Commit deletes them, or keeps what may be in them.
	strayRings []uint64 // by number
	strayDumps []string

	mu       sync.Mutex
	lastRing uint64 // number of a ring file

	ticking sync.WaitGroup
	stop    chan struct{}
}

// StoreOptions say where and how records are kept.
type StoreOptions struct {
	Dir        string // the data directory; created if it does not exist
	RingDir    string // of ring files; "" = Dir
	RingInFile bool   // rings are files that survive a crash
	RingSize   func(channel string) uint64
	WriteIndex time.Duration // period of writing the overflow index and of shrinking the overflow
	Sync       time.Duration // period of making everything durable; 0 = never
	Logs       func(logger string) *zap.Logger
}

// kept is what survives a crash of one storage.
type kept struct {
	store    *Store
	slot     *state.Slot
	ringFile uint64 // number of the ring file, 0 for none
	queue    *overflow.Queue
	taken    uint64 // see state.Positions, as long as it is more than is handed out
	imported state.DumpID
	dump     string // file whose records have been taken over, until it is deleted
}

// lockDir makes sure that no other process uses the directory. A check of the directory has the
// lock for an instant, so one that is taken is tried for again, as long as lockPatience, before
// another node is held to have it. In between lockDir calls sleep.
func lockDir(path string, sleep func(time.Duration)) (io.Closer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	for waited := time.Duration(0); err == unix.EWOULDBLOCK && waited < lockPatience; waited += lockStep {
		sleep(lockStep)
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	switch {
	case err == unix.EWOULDBLOCK:
		err = fmt.Errorf("data directory %s is in use by another process", path)
	case err != nil:
		err = fmt.Errorf("data directory %s: flock: %w", path, err)
	default:
		return f, nil
	}
	f.Close()
	return nil, err
}

const (
	lockPatience = time.Second
	lockStep     = 10 * time.Millisecond
)

const (
	ringFormat  = "ring-%06d.dat"
	asideFormat = "ring-%06d-aside.dat"
	dumpFormat  = "dump-%06d.dat"
)

func ringFile(number uint64) string { return fmt.Sprintf(ringFormat, number) }

// asideRing is a ring file that is damaged.
func asideRing(number uint64) string { return fmt.Sprintf(asideFormat, number) }

// temporaryDump is a dump until it is complete.
func temporaryDump(slot *state.Slot) string { return fmt.Sprintf(dumpFormat, slot.Index()) }

// numbered returns the number in a file name of that format.
func numbered(name, format string) (number uint64, ok bool) {
	if _, err := fmt.Sscanf(name, format, &number); err != nil {
		return 0, false
	}
	return number, name == fmt.Sprintf(format, number)
}

// newRing allocates a ring, in a file if that is wanted and possible. The number is that
// of the file, 0 for none.
func (st *Store) newRing(storage string, capacity uint64) (r *ring.Ring, number uint64, err error) {
	if st.options.RingInFile && capacity > 0 {
		if r, number, err = st.newRingFile(capacity); err == nil {
			return r, number, nil
		}
		st.log.Warn("no file for a ring, its records will not survive a crash",
			zap.String("storage", storage), zap.Uint64("bytes", capacity), zap.Error(err))
	}
	r, err = ring.New(capacity)
	return r, 0, err
}

// newRingFile makes a ring in a file, which is spare. Another node may have its rings in the
// same directory.
func (st *Store) newRingFile(capacity uint64) (*ring.Ring, uint64, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for {
		st.lastRing++
		r, err := ring.Create(st.rings, ringFile(st.lastRing), st.owner(st.lastRing), capacity)
		switch {
		case err == nil:
			return r, st.lastRing, nil
		case !errors.Is(err, fs.ErrExist):
			return nil, 0, err
		}
	}
}

func (st *Store) owner(number uint64) ring.Owner {
	return ring.Owner{Instance: st.instance(), Number: number}
}

func (st *Store) instance() uint64 { return st.state.Header().Instance }

// fill gives a new storage its places.
func (st *Store) fill(s *Storage, capacity uint64) (err error) {
	k := &kept{store: st}
	if s.ring, k.ringFile, err = st.newRing(s.name, capacity); err != nil {
		return err
	}
	if k.queue, err = st.overflow.Create(s.name); err == nil {
		s.overflow, s.kept = k.queue, k
		if err = k.register(s); err != nil {
			k.queue.Remove()
			k.queue.Published()
		}
	}
	if err != nil {
		s.ring.Close()
		return errors.Join(err, st.removeRing(k.ringFile))
	}
	s.ring.SetSpare(false)
	return nil
}

// register takes a slot for a storage as it is.
func (k *kept) register(s *Storage) (err error) {
	k.slot, err = k.store.state.Use(state.Identity{Storage: s.name}, k.positions(s))
	return err
}

func (k *kept) positions(s *Storage) state.Positions {
	o := k.queue.State()
	p := state.Positions{
		OverflowID: o.ID, First: o.First, Last: o.Last, Records: o.Records, PayloadBytes: o.Bytes,
		MayHoldEmpty: s.mayHoldEmpty,
		Imported:     k.imported,
		RingFile:     k.ringFile,
		Capacity:     uint64(s.ring.Capacity()),
	}
	if p.Taken = k.taken; s.behind > 0 {
		p.Taken = max(p.Taken, uint64(s.overflow.Held()-s.overflow.Waiting()))
	}
	if s.ring.InFile() {
		r := s.ring.Positions()
		p.Read, p.Write, p.Gap, p.Held = r.Read, r.Write, r.Gap, r.Held
	}
	return p
}

// save stores where the records are now.
func (s *Storage) save() {
	s.dirty = false
	if k := s.kept; k != nil {
		k.slot.SetPositions(k.positions(s))
		k.queue.Published()
	}
}

// rename stores the new name of the storage.
func (k *kept) rename(name string) {
	id := k.slot.Identity()
	id.Storage = name
	k.slot.SetIdentity(id)
}

// remove forgets the storage.
func (k *kept) remove() {
	if err := k.deleteDump(); err != nil {
		k.store.log.Error("a removed channel comes back with the next start, because a dump file could not be deleted: delete it",
			zap.Error(err))
	}
	k.store.state.Free(k.slot)
	k.queue.Published()
	if err := k.store.removeRing(k.ringFile); err != nil {
		k.store.log.Error("a ring file that is not needed any more stays", zap.Error(err))
	}
}

func (st *Store) removeRing(number uint64) error {
	if number == 0 {
		return nil
	}
	return removeFile(st.rings, ringFile(number))
}

// removeFile deletes a file that need not be there.
func removeFile(dir disk.Dir, name string) error {
	if err := dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
