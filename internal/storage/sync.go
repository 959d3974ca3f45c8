package storage

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// What a power failure leaves is what was synced, and whatever else the disk happens to have. So the
// files tell, beside what counts after a kill, what is durable of them: see ring.Durable and the
// package catalogue. The syncer brings that up to date, in an order in which whatever the durable part
// of one file refers to is durable before: the bytes of records, the heads and names of files, the
// catalogue, positions; those of a file of a queue before those of the next one, so that what is
// lost is lost from the end. A file that is not needed any more is deleted after that. If there are no
// new files and queues, and few bytes, then bytes and positions of a file are synced at once.
//
// What a disk could not write, the system takes for written. So after a failure all of it is stored again,
// in place, before it is synced again.
//
// Three times a period it makes durable what is still held of what had been pushed the time before.
// What consumers take before costs nothing.

// syncsAPeriod is how often the syncer works in a period. A record waits twice as long as that at
// most, and the rest of the period is for the disk.
const syncsAPeriod = 3

// claimed is how much is made durable.
type claimed bool

const (
	lagging claimed = false // what had been pushed before the last time
	all     claimed = true
)

const (
	// manySyncs is how many files are synced each; more are with one call for all the file system.
	manySyncs = 256
	// syncsAtOnce is how many of them at the same time: they share what the disk does for them.
	syncsAtOnce = 16
	// sealsARound bounds how much of a ring gets checksums in a round, so that one that grows fast is
	// not held up: the rest gets them when there is less to do.
	sealsARound = 16
)

// syncer makes durable what is stored.
type syncer struct {
	working sync.Mutex   // it works; taken before the lock of any channel
	claimed atomic.Int64 // in how many files something was to be made durable the last time

	mu     sync.Mutex // the last one
	listed []*Storage
	fresh  []*ring.Ring // files in use since the last time, whose heads and names may not be durable
	after  []func()
	awaits []Waker
	soon   chan struct{}
}

// loose reports whether nothing is made durable but by a clean stop.
func (st *store) loose() bool { return st.options.Sync == 0 && !st.options.Synced }

// changed has the syncer look at a queue.
func (s *Storage) changed() {
	st := s.channel.store
	if !s.listed && !st.loose() {
		s.list()
	}
}

func (s *Storage) list() {
	s.listed = true
	y := &s.channel.store.syncer
	y.mu.Lock()
	y.listed = append(y.listed, s)
	y.mu.Unlock()
}

// used notes that a file is about to be in a chain.
func (y *syncer) used(r *ring.Ring) {
	y.mu.Lock()
	y.fresh = append(y.fresh, r)
	y.mu.Unlock()
}

// afterNext has something done when what is stored now is durable.
func (y *syncer) afterNext(what func()) {
	y.mu.Lock()
	y.after = append(y.after, what)
	y.mu.Unlock()
}

// AwaitSync has somebody woken when all that was stored by now is durable. It reports false, and does
// nothing, if nobody is to wait for that. While the disk fails nobody is woken.
func (cs *Channels) AwaitSync(k Waker) bool {
	st := cs.store
	if !st.options.Synced {
		return false
	}
	st.syncer.mu.Lock()
	st.syncer.awaits = append(st.syncer.awaits, k)
	st.syncer.mu.Unlock()
	st.syncSoon()
	return true
}

// QueuesDurable reports whether it is durable which queues there are.
func (cs *Channels) QueuesDurable() bool { return cs.store.catalogue.IsAllDurable() }

// longestSync is how long somebody waits who is told if it takes longer.
const longestSync = 30 * time.Second

// UntilDurable waits until all that was stored by now is durable, if anybody is to wait for that. It is for
// who serves nobody else. The error says that the disk takes too long.
func (cs *Channels) UntilDurable() error {
	b := make(bell, 1)
	if !cs.AwaitSync(b) {
		return nil
	}
	select {
	case <-b:
		return nil
	case <-time.After(longestSync):
		return fmt.Errorf("it is done, but %v later not on the disk yet; to do: look at the log of the node", longestSync)
	}
}

// syncSoon makes the syncer work without waiting for its time.
func (st *store) syncSoon() {
	select {
	case st.syncer.soon <- struct{}{}:
	default:
	}
}

// syncing is one time that the syncer works.
type syncing struct {
	st     *store
	claims []*claim         // those of a storage one behind another, in order
	failed map[*Storage]int // the first of its claims that failed
	err    error
}

// claim is what is to be durable of a part.
type claim struct {
	ring.Claim
	storage *Storage
	part    *part
	place   int  // among the claims of the storage
	atOnce  bool // its bytes are synced together with its positions
}

// sync makes durable what is claimed, of all queues.
func (cs *Channels) sync(what claimed) error {
	st, y := cs.store, &cs.store.syncer
	y.working.Lock()
	defer y.working.Unlock()
	y.mu.Lock()
	listed, after, awaits := y.listed, y.after, y.awaits
	y.listed, y.after, y.awaits = nil, nil, nil
	y.mu.Unlock()
	w := &syncing{st: st, failed: make(map[*Storage]int)}
	for _, s := range listed {
		s.sealRing()
		w.claim(s, what)
	}
	y.claimed.Store(int64(len(w.claims)))
	w.release()
	mark := st.catalogue.Mark()
	y.mu.Lock()
	fresh := y.fresh
	y.fresh = nil
	y.mu.Unlock()
	if len(fresh) == 0 && len(w.claims) <= manySyncs && st.catalogue.IsDurable(mark) {
		for _, c := range w.claims { // nothing else has to be durable before their positions
			c.atOnce = c.Few()
		}
	}

	if err := w.data(fresh); err != nil {
		st.catalogue.Forget(mark)
		y.again(fresh, after, awaits)
		return errors.Join(w.err, err)
	}
	another, err := st.catalogue.MakeDurable(mark)
	if err == nil && another {
		err = st.dir.Sync()
	}
	if err != nil {
		y.again(nil, after, awaits)
		return errors.Join(w.err, err)
	}
	w.positions()
	w.settle()
	if w.err != nil {
		y.again(nil, after, awaits)
		return w.err
	}
	for _, k := range awaits {
		k.Wake()
	}
	for _, what := range after {
		what()
	}
	return nil
}

// again is for what could not be done this time.
func (y *syncer) again(fresh []*ring.Ring, after []func(), awaits []Waker) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.fresh = append(fresh, y.fresh...)
	y.after = append(after, y.after...)
	y.awaits = append(awaits, y.awaits...)
}

// sealRing gives checksums to some of what lies in the ring. Others use the channel in between.
func (s *Storage) sealRing() {
	more := s.channel.store.options.Checksums
	for n := 0; more && n < sealsARound; n++ {
		more = false
		s.channel.mu.Lock()
		for _, p := range s.parts {
			more = p.Kind() == ring.Main && p.SealSome() || more
		}
		s.channel.mu.Unlock()
	}
}

// claim finds out what is to be durable of a storage.
func (w *syncing) claim(s *Storage, what claimed) {
	s.channel.mu.Lock()
	defer s.channel.mu.Unlock()
	s.listed = false
	next := make(map[uint64]ring.Link)
	first, again := len(w.claims), false
	for _, p := range slices.Backward(s.parts) {
		if !p.InFile() {
			continue
		}
		c, changed := p.Claim(bool(what), next[p.number])
		if c.Held > 0 {
			next[p.number] = p.Head().Link
		}
		if changed {
			w.claims = append(w.claims, &claim{Claim: c, storage: s, part: p})
		}
		p.Note()
		again = again || p.Held() > 0 || p.HasDurable()
	}
	slices.Reverse(w.claims[first:])
	for i, c := range w.claims[first:] {
		c.place = i
	}
	if again {
		s.changed()
	}
}

// release takes the memory out of use that is about to be written.
func (w *syncing) release() {
	for _, c := range w.claims {
		for more := true; more; {
			c.storage.channel.mu.Lock()
			more = c.part.isOf(c.storage) && c.part.Release(&c.Claim)
			c.storage.channel.mu.Unlock()
		}
	}
}

// data syncs the bytes that are claimed, and the heads and names of files. It fails if the heads and
// names can't be.
func (w *syncing) data(fresh []*ring.Ring) error {
	touch := func(c *claim) error { return c.part.TouchAgain(c.Claim) }
	if len(w.claims)+len(fresh) > manySyncs {
		w.each(w.claims, touch)
		return w.st.syncAll()
	}
	w.each(w.claims, func(c *claim) error {
		if err := touch(c); err != nil || c.atOnce {
			return err
		}
		return c.part.SyncData(c.Claim)
	})
	if len(fresh) == 0 {
		return nil
	}
	err := w.st.atOnce(len(fresh), func(i int) error {
		if err := fresh[i].SyncHead(); !disk.IsNotExist(err) {
			return err
		}
		return nil // nobody needs it any more
	})
	return errors.Join(errors.Join(err...), w.st.rings.Sync(), w.st.dir.Sync())
}

// syncAll syncs all that there is.
func (st *store) syncAll() error {
	err := st.rings.SyncAll()
	if st.rings != st.dir {
		err = errors.Join(err, st.dir.SyncAll())
	}
	return err
}

// positions stores those of the claims and syncs them: first those of the first files of all queues.
func (w *syncing) positions() {
	slices.SortStableFunc(w.claims, func(a, b *claim) int { return cmp.Compare(a.place, b.place) })
	for from := 0; from < len(w.claims); {
		to := from
		for to < len(w.claims) && w.claims[to].place == w.claims[from].place {
			to++
		}
		round := w.claims[from:to]
		from = to
		if len(round) <= manySyncs {
			w.each(round, func(c *claim) error {
				if c.atOnce {
					return c.part.SyncAtOnce(c.Claim)
				}
				return errors.Join(c.part.StoreClaim(c.Claim), c.part.SyncHead())
			})
			continue
		}
		w.each(round, func(c *claim) error { return c.part.StoreClaim(c.Claim) })
		err := w.st.syncAll()
		w.each(round, func(*claim) error { return err })
	}
}

// each does one step for claims, several at once. After one has failed, none is done for it, and none
// for those behind it.
func (w *syncing) each(claims []*claim, step func(*claim) error) {
	for i, err := range w.st.atOnce(len(claims), func(i int) error {
		if w.hasFailed(claims[i]) {
			return nil
		}
		return step(claims[i])
	}) {
		if c := claims[i]; err != nil {
			if !w.hasFailed(c) {
				w.failed[c.storage] = c.place
			}
			w.err = errors.Join(w.err, err)
		}
	}
}

// atOnce does something so many times, several at once.
func (st *store) atOnce(times int, do func(i int) error) []error {
	errs := make([]error, times)
	if st.options.inline || times <= 1 {
		for i := range errs {
			errs[i] = do(i)
		}
		return errs
	}
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(times, syncsAtOnce) {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < times; i = int(next.Add(1)) - 1 {
				errs[i] = do(i)
			}
		})
	}
	group.Wait()
	return errs
}

func (w *syncing) hasFailed(c *claim) bool {
	place, any := w.failed[c.storage]
	return any && place <= c.place
}

// settle tells the owners of the parts.
func (w *syncing) settle() {
	for _, c := range w.claims {
		if !w.hasFailed(c) {
			c.storage.channel.mu.Lock()
			if c.part.isOf(c.storage) { // else it is being closed
				c.part.Settle(c.Claim)
			}
			c.storage.channel.mu.Unlock()
		}
	}
}

// syncEverything makes all durable that there is, whether the syncer knows of it or not.
func (cs *Channels) syncEverything() error {
	y := &cs.store.syncer
	for _, c := range cs.All() {
		c.mu.Lock()
		for _, s := range c.storages {
			for _, p := range s.parts {
				if p.InFile() {
					y.used(p.Ring)
				}
			}
			if !s.listed {
				s.list()
			}
		}
		c.mu.Unlock()
	}
	return cs.sync(all)
}

// loosen stores that nothing is made durable any more, where that was done before.
func (cs *Channels) loosen() (err error) {
	for _, c := range cs.All() {
		for _, s := range c.storages {
			for _, p := range s.parts {
				if p.InFile() {
					err = errors.Join(err, p.Loosen())
				}
			}
		}
	}
	return err
}
