package storage

import (
	"errors"
	"fmt"
	"iter"
	"slices"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/catalogue"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/dformat"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// Close ends a clean stop, or undoes a start for which Serve was not called. All runs must be
// settled and all consumers have left.
//
// Unless ring files are to be kept, it leaves the data directory as the original expects it
// (storage spec §9): a dump of each ring that holds records, or of a subscription that
// holds none, and the overflow with its index. If that fails, ring files stay as they are, and
// the next start has all records.
func (cs *Channels) Close() error {
	st := cs.store
	st.ticker.stop()
	st.stopWorking()
	if st.started != nil {
		return st.started.undo()
	}
	stop := &stop{cs: cs, st: st}
	for _, c := range cs.All() {
		stop.storages = append(stop.storages, c.storages...)
	}
	err := errors.Join(st.ringFiles.close(), st.spillFiles.close())
	for _, s := range stop.storages {
		s.dropReserved()
		s.stopDelays()
	}
	keep := st.options.Keep
	if !keep {
		var e error
		keep, e = stop.dump()
		switch {
		case keep && st.lookForHomes() != nil:
			st.log.Error("the records are LOST: they could not be left for the original node, and their files are gone", zap.Error(e))
		case keep:
			st.log.Error("the records could not be left for the original node: they stay in ring files, which the next start of "+
				"this node goes on with; to do: start and stop it again when there is room, or let it keep ring files "+
				"([Storage] stop = keep)", zap.Error(e))
		}
		err = errors.Join(err, e)
	}
	if keep {
		err = errors.Join(err, stop.keep(), st.lookForHomes())
	}
	for _, s := range stop.storages {
		for _, p := range s.parts {
			err = errors.Join(err, p.Close())
		}
	}
	return errors.Join(err, st.catalogue.Close(), st.dir.Sync(), st.lock.Close())
}

// stop is a clean stop.
type stop struct {
	cs       *Channels
	st       *store
	storages []*Storage
}

// keep leaves the ring files. Rings that are in memory get files.
func (c *stop) keep() (err error) {
	for _, s := range c.storages {
		if e := s.persist(); e != nil {
			err = errors.Join(err, e)
		}
		if c.st.options.Checksums {
			s.seal()
		}
	}
	if e := errors.Join(c.cs.syncEverything(), c.syncBlocks()); e != nil {
		return errors.Join(err, e) // after a power failure checksums do not count then
	}
	if c.st.catalogue.Content().Phase == catalogue.Dumping {
		return err // the next start deletes the files of the original that have their names already
	}
	return errors.Join(err, c.st.catalogue.SetPhase(catalogue.Kept))
}

// syncBlocks makes durable what checksums tell of: they are of whole blocks, of which some bytes lie beside
// the records.
func (c *stop) syncBlocks() error {
	var files []*part
	for _, s := range c.storages {
		for _, p := range s.parts {
			if p.InFile() {
				files = append(files, p)
			}
		}
	}
	if len(files) > manySyncs {
		return c.st.syncAll()
	}
	return errors.Join(c.st.atOnce(len(files), func(i int) error { return files[i].SyncBlocks() })...)
}

// persist puts the records of rings in memory into files. Such a file is in the chain before it
// has records, as always: a kill would else leave them behind those that come later.
func (s *Storage) persist() error {
	for i, p := range s.parts {
		if p.InFile() || p.Records() == 0 {
			continue
		}
		records, bytes := p.Records(), p.Size()
		file, err := s.copyToFile(p)
		if err == nil {
			if err = s.insert(i, file); err != nil {
				err = errors.Join(err, file.Remove())
			}
		}
		if err != nil {
			s.channel.store.options.Logs("storage:"+s.name).Error("the records of a ring in memory could not be saved and are LOST",
				zap.Int("records", records), zap.Int("bytes", bytes), zap.Error(err))
			return fmt.Errorf("storage %s: %w", s.name, err)
		}
		file.Publish()
		s.parts[i] = file
		s.channel.store.remove(p.Ring)
	}
	return nil
}

// seal gives checksums to what has none yet.
func (s *Storage) seal() {
	for _, p := range s.parts {
		if err := p.Attach(); err != nil {
			s.channel.store.log.Error("a file stays without checksums", zap.String("storage", s.name), zap.Error(err))
			continue
		}
		p.SealAll()
		if p.Kind() == ring.Spill {
			if unmap := p.Detach(); unmap != nil {
				s.channel.store.later(unmap)
			}
		}
	}
}

// insert makes a part, which is to take the place of one that has no file, one of the chain.
func (s *Storage) insert(index int, file *part) error {
	for _, p := range s.parts[index+1:] {
		if p.InFile() && p.number == file.number {
			if err := file.SetNext(p.Head().Link); err != nil {
				return err
			}
			break
		}
	}
	return s.setNext(s.before(index, file.number), file.number, file.Head().Link)
}

// copyToFile makes a part in a file of one in memory. Its records are not published.
func (s *Storage) copyToFile(p *part) (*part, error) {
	st := s.channel.store
	if err := st.mapped.room(); err != nil {
		return nil, err
	}
	file, err := st.ringFiles.makePart(s.numbers[len(s.numbers)-1], s.name, uint64(p.Capacity()))
	if err != nil {
		return nil, err
	}
	st.mapped.note(s, file)
	for run, err := range s.undelivered(p) {
		for run.Records > 0 && err == nil {
			var size, n int
			if size, n, err = file.PushRun(run.Bytes, run.Records); n == 0 && err == nil {
				err = errors.New("its file has no room for them")
			}
			run.Bytes, run.Records = run.Bytes[size:], run.Records-n
		}
		if err != nil {
			return nil, errors.Join(err, file.Remove())
		}
	}
	return file, nil
}

// undelivered yields the records of a part that are not delivered, in order.
func (s *Storage) undelivered(p *part) iter.Seq2[dformat.Run, error] {
	return func(yield func(dformat.Run, error) bool) {
		if !p.Attached() {
			if err := p.Attach(); err != nil {
				yield(dformat.Run{}, err)
				return
			}
			defer func() { p.Detach()() }() // a process can't have all of them mapped
		}
		for r := s.first; r != nil; r = r.next {
			if r.part == p && r.state != delivered && !yield(dformat.Run{Bytes: r.bytes, Records: r.records}, nil) {
				return
			}
		}
		defer p.Rewind(p.Cursor())
		for p.Waiting() > 0 {
			run, n, err := p.Take(dformat.RunSize, everything)
			if n == 0 && err == nil {
				p.TakeMarked()
			} else if !yield(dformat.Run{Bytes: run, Records: n}, err) || err != nil {
				return
			}
		}
	}
}

// dump leaves the files of the original. Until the phase says that these count, ring files do, and
// are to be kept after an error.
func (c *stop) dump() (keep bool, err error) {
	st := c.st
	// What has been loaded, and could not be deleted then, must not be found beside the dumps.
	if err := dformat.Finish(st.dir, st.catalogue.Content().Sources); err != nil {
		return true, err
	}
	contents := c.contents()
	if err := c.cs.syncEverything(); err != nil { // they count until the phase says otherwise
		st.log.Warn("ring files could not be made durable before they are dumped", zap.Error(err))
	}
	need := dformat.Need(contents)
	if free, err := st.dir.Dir.Free(); err == nil && free < need {
		return true, fmt.Errorf("dumps and overflow need %d bytes of disk space in %s, where %d are free", need, st.dir.Path(""), free)
	}
	c.warnOfDumps(contents)
	if err = dformat.Write(st.dir.Dir, contents); isDamage(err) {
		if err = errors.Join(dformat.Discard(st.dir.Dir), c.dropDamaged()); err == nil {
			contents = c.contents()
			err = dformat.Write(st.dir.Dir, contents)
		}
	}
	if err == nil {
		err = dformat.Sync(st.dir.Dir)
	}
	if err == nil {
		err = st.catalogue.SetPhase(catalogue.Dumping)
	}
	if err != nil {
		return true, errors.Join(err, st.catalogue.SetPhase(catalogue.Serving), dformat.Discard(st.dir.Dir))
	}
	if err = dformat.Commit(st.dir, contents); err == nil {
		err = st.dir.Sync()
	}
	if err != nil {
		return true, err
	}
	err = st.catalogue.SetPhase(catalogue.Dumped)
	c.log(contents)
	return false, errors.Join(err, c.removeAll())
}

// dropDamaged loses what can't be read, so that the rest can be left for the original.
func (c *stop) dropDamaged() (err error) {
	for _, s := range c.storages {
		err = errors.Join(err, s.dropDamaged())
	}
	return err
}

// warnOfDumps tells of dumps that somebody has put there while the node ran: it replaces them.
func (c *stop) warnOfDumps(contents []dformat.Content) {
	for _, content := range contents {
		name := dformat.DumpFile(content.Storage)
		if _, err := c.st.dir.Stat(name); err == nil && content.Dumped() {
			c.st.options.Logs("storage:"+content.Storage).Warn("a dump that was put there while the node ran is replaced",
				zap.String("file", c.st.dir.Path(name)))
		}
	}
}

// contents is what is to be dumped. What a ring has beyond the size that is configured goes to
// the overflow: the original would not load a larger dump.
func (c *stop) contents() (all []dformat.Content) {
	storages := slices.Clone(c.storages)
	slices.SortStableFunc(storages, func(a, b *Storage) int {
		return int(int64(a.firstSpilled() - b.firstSpilled()))
	})
	for _, s := range storages {
		content := dformat.Content{Number: s.numbers[0], Storage: s.name}
		capacity := c.st.options.RingSize(s.channel.name)
		var inDump, inOverflow []*part
		for _, p := range s.parts {
			to, parts := &content.Dump, &inDump
			if p.Kind() == ring.Spill || len(inOverflow) > 0 || content.Dump.Bytes+uint64(p.Size()) > capacity {
				to, parts = &content.Overflow, &inOverflow
			}
			to.Records += uint64(p.Records())
			to.Bytes += uint64(p.Size())
			*parts = append(*parts, p)
		}
		content.Dump.Runs, content.Overflow.Runs = s.all(inDump), s.all(inOverflow)
		all = append(all, content)
	}
	return all
}

// firstSpilled is the number of the first spill file, so that the overflow of queues that were
// taken over is written in the order in which it was found.
func (s *Storage) firstSpilled() uint64 {
	for _, p := range s.parts {
		if p.Kind() == ring.Spill {
			return p.Head().Number
		}
	}
	return 0
}

// all yields the records of some parts that are not delivered.
func (s *Storage) all(parts []*part) iter.Seq2[dformat.Run, error] {
	return func(yield func(dformat.Run, error) bool) {
		for _, p := range parts {
			for run, err := range s.undelivered(p) {
				if !yield(run, err) {
					return
				}
			}
		}
	}
}

func (c *stop) log(contents []dformat.Content) {
	for _, content := range contents {
		log := c.st.options.Logs("storage:" + content.Storage)
		records := content.Dump.Records + content.Overflow.Records
		if records == 0 {
			log.Info("nothing to save")
			continue
		}
		log.Info("saved", zap.Uint64("records", records), zap.Uint64("of these in the overflow", content.Overflow.Records))
	}
}

// removeAll deletes the ring files, and the catalogue last.
func (c *stop) removeAll() (err error) {
	for _, s := range c.storages {
		for _, p := range s.parts {
			if p.damaged && p.InFile() {
				err = errors.Join(err, p.SetAside(asideName(p.Head().FileName())))
			} else if p.InFile() {
				err = errors.Join(err, p.Remove())
			} else {
				err = errors.Join(err, p.Close())
			}
		}
		s.parts = nil
	}
	st := c.st
	if err != nil || st.left.Load() {
		return err // the next start deletes what is left, which without a catalogue would count
	}
	return errors.Join(st.catalogue.Close(), disk.RemoveIfThere(st.dir, catalogue.FileName))
}
