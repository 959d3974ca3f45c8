package storage

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/logging"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/catalogue"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// Options say where and how records are kept.
type Options struct {
	Dir        string // the data directory; created if it does not exist
	RingDir    string // of ring files; "" = Dir
	RingInFile bool   // rings are files that survive a crash
	ReserveAll bool   // a ring takes all of its disk space when it is made
	MinFree    uint64 // bytes of the disk that are left to others
	Checksums  bool   // of records at rest
	Keep       bool   // a clean stop leaves ring files, not the files of the original
	RingSize   func(channel string) uint64
	Mappings   int                         // files that may be mapped at once; 0 = any number
	QueueBytes func(channel string) uint64 // that a queue of the channel may have; 0, or no function, = any number
	Sync       time.Duration               // how much of what is acknowledged a power failure may cost; 0 = all
	Synced     bool                        // replies wait until what they tell of is durable: see AwaitSync
	Logs       func(logger string) *zap.Logger

	MaxDeliveries int                 // after which records go to the failed channel; 0 = any number
	FailedChannel names.FailedChannel // where that is
	MaxQueues     int                 // that there may be for a failed channel to be made; 0 = any number
	MaxDelayed    int                 // runs of a queue that were given back with a delay; 0 = any number

	// inline makes everything happen at once that is otherwise done by others later, and
	// nothing happen periodically. For tests that need to know what happens when.
	inline bool
}

func (o *Options) boundOf(channel string) uint64 {
	if o.QueueBytes == nil {
		return 0
	}
	return o.QueueBytes(channel)
}

// store is the data directory of the node: where queues keep what survives the process.
// Its methods are safe for concurrent use.
type store struct {
	options Options
	dir     *disk.Floor
	rings   *disk.Floor // of ring files
	log     *zap.Logger
	made    *logging.Limited // that a queue was
	renamed *logging.Limited // that a queue was
	failed  *logging.Limited // what becomes of records that nobody can handle
	lock    io.Closer

	homes []home                // the directories as they were at the start
	lost  atomic.Pointer[error] // why they are not there any more

	catalogue  *catalogue.File
	files      atomic.Uint64 // the largest number of a file
	left       atomic.Bool   // a file that is not needed could not be deleted
	mapped     mapped        // of all files
	ringFiles  pool
	spillFiles pool

	syncer   syncer
	preparer worker // of disk space that will be needed
	hurry    worker // does what somebody waits for: see Wait
	remover  worker // of what is not needed any more
	ticker   ticker
	mover    worker      // of records to failed channels
	serving  atomic.Bool // hurry has goroutines

	paused pausedQueues

	started *start // what a start has to do yet; nil once it is over
}

// Full says why records that need disk space are refused at the moment, or nil.
func (cs *Channels) Full() error {
	for _, dir := range []*disk.Floor{cs.store.dir, cs.store.rings} {
		if full := dir.Full(); full != nil {
			return full
		}
	}
	return nil
}

// fill does work that a writer may soon wait for.
func (st *store) fill(work *ring.Work) {
	st.preparer.do(func() {
		var full *disk.FullError
		if err := work.Do(); err != nil && !errors.As(err, &full) {
			st.log.Error("disk space could not be prepared", zap.Error(err)) // the writer tries itself
		}
	})
}

// haste is how many files are worked with at once for those who wait, so that one which takes long
// does not hold up the others.
const haste = 4

// startWorking starts the goroutines, and stopWorking ends them when they have done everything.
func (st *store) startWorking() {
	st.preparer.start(1)
	st.remover.start(1)
	st.hurry.start(haste)
	st.mover.start(1)
	st.serving.Store(true)
}

func (st *store) stopWorking() {
	st.mover.stop()
	st.serving.Store(false)
	st.hurry.stop()
	st.preparer.stop()
	st.remover.stop()
}

// careForCatalogue makes sure that the catalogue finds its disk space.
func (st *store) careForCatalogue() {
	if !st.loose() && st.catalogue.TooLong() {
		st.syncSoon()
	}
	if !st.catalogue.NeedsCare() {
		return
	}
	st.preparer.do(func() {
		var full *disk.FullError
		if err := st.catalogue.Care(); err != nil && !errors.As(err, &full) {
			st.log.Error("the catalogue could not be made longer, or shorter", zap.Error(err))
		}
	})
}

// roomInCatalogue makes sure that an entry about so many queues can be stored without a look at the
// file, for somebody who may be told to wait.
func (st *store) roomInCatalogue(waits bool, queues int) error {
	if st.catalogue.HasRoom(queues) || st.dir.Full() != nil { // then it makes no difference
		return nil
	}
	return st.await(waits && st.serving.Load(), func() error { return st.catalogue.MakeRoom(queues) })
}

// remove deletes the ring, in a file or not, without anybody waiting for that.
func (st *store) remove(r *ring.Ring) {
	st.remover.do(func() {
		remove := r.Close
		if r.InFile() {
			remove = r.Remove
		}
		st.removed(remove())
	})
}

// removed tells of a file that could not be deleted.
func (st *store) removed(err error) {
	if err != nil {
		st.left.Store(true)
		st.log.Error("a file that is not needed any more stays", zap.Error(err))
	}
}

// removeDurably deletes a ring that was taken out of its chain: not before the chain without it is
// durable.
func (st *store) removeDurably(r *ring.Ring) {
	if !r.InFile() || st.loose() {
		st.remove(r)
		return
	}
	st.remover.do(func() { st.removed(r.Close()) })
	st.syncer.afterNext(func() { st.remove(r) })
}

// setAside keeps the file of a damaged ring under another name.
func (st *store) setAside(r *ring.Ring) {
	if !st.loose() {
		st.remover.do(func() { st.removed(r.Close()) })
		st.syncer.afterNext(func() { st.renameAside(r) })
		return
	}
	st.renameAside(r)
}

func (st *store) renameAside(r *ring.Ring) {
	st.remover.do(func() {
		path, name := r.Path(), asideName(r.Head().FileName())
		if err := r.SetAside(name); err != nil {
			st.log.Error("a damaged file could not be set aside", zap.Error(err))
			return
		}
		st.log.Error("a damaged file was set aside; delete it when nobody wants to examine it any more",
			zap.String("file", path), zap.String("now", name))
	})
}

// asideName is what a damaged file is called that is kept.
func asideName(file string) string { return file[:len(file)-len(".dat")] + "-aside.dat" }

// later does something that nobody waits for.
func (st *store) later(what func() error) {
	st.remover.do(func() {
		if err := what(); err != nil {
			st.log.Error("a file could not be used as wanted", zap.Error(err))
		}
	})
}

// nextFile is a number that no file has.
func (st *store) nextFile() uint64 { return st.files.Add(1) }

// dirOf is the directory of files of that kind.
func (st *store) dirOf(kind ring.Kind) disk.Dir { return st.floorOf(kind) }

func (st *store) floorOf(kind ring.Kind) *disk.Floor {
	if kind == ring.Main {
		return st.rings
	}
	return st.dir
}

// lockDir makes sure that no other process uses the directory. A check of the directory has the
// lock for an instant, so one that is taken is tried for again, as long as lockPatience, before
// another node is held to have it.
func lockDir(path string) (io.Closer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	for waited := time.Duration(0); err == unix.EWOULDBLOCK && waited < lockPatience; waited += lockStep {
		time.Sleep(lockStep)
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	switch {
	case err == unix.EWOULDBLOCK:
		err = fmt.Errorf("data directory %s is in use by another process%s", path, holder(f))
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
