package storage

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/logging"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/names"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/catalogue"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/dformat"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/ring"
)

// Load takes over a data directory: one that this node left behind, after a clean stop,
// an interrupted one or none, or that of an original node (storage spec §9). First it makes a
// Plan, which changes nothing; then it makes what is in files of the original into rings. These
// files are not touched before Serve, so that until then a start that fails, or is killed, leaves
// what it has found.
//
// What is found wrong is logged. Records are recovered as far as the files prove them;
// what they don't prove is kept in files set aside.
func Load(options Options) (*Channels, error) {
	dir, err := disk.OpenDir(options.Dir)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	rings := dir
	if options.RingDir != "" {
		if rings, err = disk.OpenDir(options.RingDir); err != nil {
			return nil, fmt.Errorf("[Storage] ring_dir: %w", err)
		}
	}
	lock, err := lockDir(options.Dir)
	if err != nil {
		return nil, err
	}
	cs, err := load(options, dir, rings, lock)
	if err != nil {
		return nil, err
	}
	st := cs.store
	if err := st.noteHomes(); err != nil {
		return nil, errors.Join(err, cs.Close())
	}
	if !options.inline {
		st.startWorking()
	}
	return cs, nil
}

// load is Load in directories that are open and locked.
func load(options Options, dir, rings disk.Dir, lock io.Closer) (*Channels, error) {
	if dir.Boot() == 0 {
		return nil, errors.Join(errors.New("it can't be told whether the machine has been started again since the records were stored: "+
			"/proc/sys/kernel/random/boot_id can't be read. Mount /proc"), lock.Close())
	}
	plan, err := MakePlan(dir, rings)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	if err := plan.Refused(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	st := &store{options: options, log: options.Logs("dmqnode.storage"), lock: lock}
	events := options.Logs("diskoverflow")
	st.made = logging.NewLimitedTo(eventLines, events, eventPeriod)
	st.renamed = logging.NewLimitedTo(eventLines, events, eventPeriod)
	st.failed = logging.NewLimited(st.log, failedPeriod)
	st.dir = disk.WithFloor(dir, 0) // until Serve: what is copied frees as much again then
	st.rings = st.dir
	if rings != dir {
		st.rings = disk.WithFloor(rings, 0)
	}
	st.mapped.most = options.Mappings
	st.files.Store(plan.lastFile)
	st.ringFiles = pool{store: st, kind: ring.Main}
	st.spillFiles = pool{store: st, kind: ring.Spill}
	cs := &Channels{store: st, byName: make(map[string]*Channel)}
	st.started = &start{Plan: plan, cs: cs, st: st}
	if err := st.started.apply(); err != nil {
		return nil, errors.Join(err, st.started.undo())
	}
	return cs, nil
}

// start applies a plan.
type start struct {
	*Plan
	cs     *Channels
	st     *store
	queues []catalogue.Queue // what is taken over from files of the original
	relink []*Storage        // whose files are to be put in order

	pausedEmpty []string // queues that are paused, and that there are not: they had no records
}

// apply opens what there is and makes what there will be; nothing of that counts before Serve.
func (l *start) apply() (err error) {
	if err := l.checkSpace(); err != nil {
		return err
	}
	if err := l.openCatalogue(); err != nil {
		return err
	}
	if err := l.st.lockRings(); err != nil {
		return err
	}
	for _, c := range l.Queues {
		if err := l.open(c); err != nil {
			return err
		}
	}
	for _, s := range l.storages() {
		if err := s.resume(); err != nil {
			return fmt.Errorf("storage %s: %w", s.name, err)
		}
	}
	if err := l.takeOver(); err != nil {
		return err
	}
	for _, s := range l.storages() {
		s.begin()
	}
	l.report()
	l.pausedEmpty, err = l.cs.loadPaused()
	return err
}

// checkSpace makes sure that there is room for copies of what comes from the original.
func (l *start) checkSpace() error {
	inDir, inRings := l.Space()
	needs := map[*disk.Floor]uint64{l.st.dir: inDir}
	needs[l.st.rings] += inRings
	for dir, need := range needs {
		if need == 0 {
			continue
		}
		free, err := dir.Free()
		if err != nil || free >= need {
			continue // if it can't be told, writing will
		}
		return fmt.Errorf("the records of the dumps and the overflow need %d bytes of disk space for a copy in %s, "+
			"where %d are free. No file has been changed",
			need, dir.Path(""), free)
	}
	return nil
}

func (l *start) openCatalogue() (err error) {
	if !l.Fresh {
		l.st.catalogue, err = catalogue.Open(l.st.dir, l.Catalogue, l.st.loose())
		return err
	}
	if l.Catalogue.Damage != nil {
		if err := l.st.dir.Rename(catalogue.FileName, asideName(catalogue.FileName)); err != nil {
			return err
		}
		l.Aside = slices.DeleteFunc(l.Aside, func(f File) bool { return f.Name == catalogue.FileName })
	}
	c := *l.Catalogue
	c.Phase = catalogue.Serving
	if l.st.catalogue, err = catalogue.Create(l.st.dir, &c, l.st.loose()); err == nil && !l.st.loose() {
		err = l.st.dir.Sync() // before any file refers to it
	}
	return err
}

func (l *start) storages() (all []*Storage) {
	for _, c := range l.cs.All() {
		all = append(all, c.storages...)
	}
	return all
}

// open makes the storage of a chain, or adds the chain to the one of that name.
func (l *start) open(c Chain) error {
	s := l.storage(c.Name)
	s.numbers = append(s.numbers, c.Number)
	if c.Relink {
		l.relink = append(l.relink, s)
	}
	for _, h := range c.Files {
		r, err := ring.Open(l.st.dirOf(h.Kind), h)
		var damage *ring.DamageError
		switch {
		case errors.As(err, &damage):
			l.Findings = append(l.Findings, dformat.Finding{Severity: dformat.Error, Storage: c.Name, File: h.FileName(),
				Problem: damage.Reason, Meaning: fmt.Sprintf("of its %d records, %d are intact", h.Held, r.Held())})
		case err != nil:
			return err
		}
		s.parts = append(s.parts, &part{Ring: r, number: c.Number, damaged: damage != nil})
		s.unread += r.Waiting()
		s.bytes += r.Size()
	}
	return nil
}

// storage returns the storage of that name, or a new one.
func (l *start) storage(name string) *Storage {
	subscriber, channel, subscribed, _ := names.ParseStorage(name)
	cs := l.cs
	c := cs.byName[channel]
	if c == nil {
		c = cs.newChannel(channel)
		c.subscribed = subscribed
		cs.add(c)
	}
	for _, s := range c.storages {
		if s.name == name {
			return s
		}
	}
	s := &Storage{channel: c, subscriber: subscriber, name: name}
	c.storages = append(c.storages, s)
	cs.shared.queues.Add(1)
	return s
}

// resumeSize is how many bytes are looked through at a time.
const resumeSize = 1 << 20

// resume finds the marks of what had been delivered out of turn.
func (s *Storage) resume() error {
	suspect := func() bool {
		return slices.ContainsFunc(s.parts, func(p *part) bool { return p.Suspect() > 0 })
	}
	return s.lookThrough(suspect)
}

// lookThrough goes through what waits, as long as it is to be gone on with.
func (s *Storage) lookThrough(goOn func() bool) error {
	var needed []*Run
	var err error
	for goOn() {
		var r *Run
		if r, err = s.takeAny(resumeSize, everything); r == nil || err != nil {
			break
		}
		needed = append(needed, r)
	}
	for _, r := range needed {
		s.giveBack(r, 0)
	}
	return err
}

// begin makes everything that a start has found count as not pushed.
func (s *Storage) begin() {
	s.counters, s.dirty = Counters{}, false
	for _, p := range s.parts {
		p.pushed = int64(p.Held())
		s.mayHoldEmpty = s.mayHoldEmpty || p.Held() > 0
	}
}

// takeOver makes rings of what is in files of the original.
func (l *start) takeOver() error {
	next := l.Catalogue.Next
	numbers := make(map[*dformat.Queue]uint64)
	queues := slices.Clone(l.Original.Queues)
	slices.SortStableFunc(queues, func(a, b *dformat.Queue) int { return cmp.Compare(a.ID-1, b.ID-1) }) // 0 = none comes last
	for _, q := range queues {
		if l.Fresh {
			next = max(next, uint64(q.ID)) // so that a stop gives it the same id again
		}
		numbers[q] = next
		next++
	}
	slices.SortStableFunc(queues, func(a, b *dformat.Queue) int { return cmp.Compare(a.First, b.First) })
	for _, q := range queues {
		s := l.storage(q.Storage)
		if len(s.numbers) > 0 && q.Dump.Records+q.Overflow.Records == 0 {
			continue // a subscription that is there already
		}
		b := builder{start: l, storage: s, number: numbers[q]}
		if err := b.build(q); err != nil {
			return fmt.Errorf("storage %s: %w", q.Storage, err)
		}
		l.queues = append(l.queues, catalogue.Queue{Number: b.number, Name: q.Storage, First: b.first})
	}
	return nil
}

// builder makes the files of one queue.
type builder struct {
	*start
	storage *Storage
	number  uint64
	first   ring.Link
	last    *part
}

func (b *builder) build(q *dformat.Queue) error {
	s := b.storage
	s.dirty = true // no part may be unmapped before it is published
	alone := len(s.parts) == 0
	s.numbers = append(s.numbers, b.number)
	if capacity := b.st.options.RingSize(q.Channel); alone && q.Dump.Records > 0 && q.Dump.Bytes <= capacity {
		if err := s.newMain(0); err != nil {
			return err
		}
		p := s.takeReserved()
		if err := b.add(p); err != nil {
			return err
		}
	}
	for _, source := range []*dformat.Part{&q.Dump, &q.Overflow} {
		for run, err := range source.Runs() {
			if err == nil {
				err = b.push(run, source == &q.Dump)
			}
			if err != nil {
				return err
			}
		}
	}
	if b.last != nil {
		b.last.Publish()
	}
	s.dirty = false
	return nil
}

// add makes a part the last one.
func (b *builder) add(p *part) error {
	if p.InFile() {
		if before := b.storage.before(len(b.storage.parts), b.number); before == nil {
			b.first = p.Head().Link
		} else if err := before.SetNext(p.Head().Link); err != nil {
			b.st.remove(p.Ring)
			return err
		}
	}
	if b.last != nil {
		b.last.Publish()
		if b.last.Kind() == ring.Spill {
			if unmap := b.last.Detach(); unmap != nil {
				unmap()
			}
		}
	}
	b.storage.parts = append(b.storage.parts, p)
	b.last = p
	return nil
}

func (b *builder) push(run dformat.Run, inDump bool) error {
	for run.Records > 0 {
		if p := b.last; p != nil && (inDump || p.Kind() == ring.Spill) {
			size, n, err := p.PushRun(run.Bytes, run.Records)
			if err != nil {
				return err
			}
			b.storage.unread += n
			b.storage.bytes += size
			run.Bytes, run.Records = run.Bytes[size:], run.Records-n
			if n > 0 {
				continue
			}
		}
		record, _ := ring.Cut(run.Bytes, 1, 1)
		if err := b.storage.newSpill(len(record)); err != nil {
			return err
		}
		if err := b.add(b.storage.takeReserved()); err != nil {
			return err
		}
	}
	return nil
}

// report logs what the plan has found.
func (l *start) report() {
	log := l.st.options.Logs("scan-datadir")
	findings := l.Findings
	for _, f := range l.Original.Findings {
		f.File = l.st.dir.Path(f.File)
		findings = append(findings, f)
	}
	for _, f := range findings {
		text := f.Problem + ": " + f.Meaning
		if f.Remedy != "" {
			text += "; to do: " + f.Remedy
		}
		fields := []zap.Field{zap.String("file", f.File)}
		if f.Storage != "" {
			fields = append(fields, zap.String("storage", f.Storage))
		}
		if f.Offset > 0 {
			fields = append(fields, zap.Int64("offset", f.Offset))
		}
		switch f.Severity {
		case dformat.Info:
			log.Info(text, fields...)
		case dformat.Warning:
			log.Warn(text, fields...)
		case dformat.Error:
			log.Error(text, fields...)
		}
	}
	for _, q := range l.Original.Queues {
		l.st.options.Logs("storage:"+q.Storage).Info("loaded",
			zap.Uint64("records", q.Dump.Records+q.Overflow.Records), zap.Uint64("of these in the overflow", q.Overflow.Records))
	}
}

// Serve ends the start: from now on what was made by Load counts, and the files that it comes from
// are deleted. It is to be called when nothing else can keep the node from serving any more, and
// before it does. After an error the start has failed.
func (cs *Channels) Serve() error {
	l, st := cs.store.started, cs.store
	if err := l.commit(); err != nil {
		return err
	}
	st.started = nil
	st.dir.SetLeast(st.options.MinFree)
	st.rings.SetLeast(st.options.MinFree)
	if !st.options.inline {
		cs.startTicking()
	}
	cs.makePaused(l.pausedEmpty)
	return nil
}

func (l *start) commit() (err error) {
	st := l.st
	takenOver := len(l.queues) > 0 || len(l.Original.Sources) > 0
	if err := l.makeDurable(takenOver); err != nil { // what takes the place of durable files has to be durable, too
		return err
	}
	if takenOver {
		sources := append(slices.Clone(l.Catalogue.Sources), l.Original.Sources...)
		if err := st.catalogue.Takeover(l.queues, sources); err != nil {
			return err
		}
		l.Catalogue.Sources = sources
	}
	for _, s := range l.relink {
		if err := s.relink(); err != nil {
			return fmt.Errorf("storage %s: %w", s.name, err)
		}
	}
	if takenOver || len(l.relink) > 0 {
		if err := l.makeDurable(takenOver); err != nil {
			return err
		}
	}
	if l.Phase != catalogue.Serving && !l.Fresh {
		defer func() { err = errors.Join(err, st.catalogue.SetPhase(catalogue.Serving)) }()
	}
	l.tidy()
	if len(l.Catalogue.Sources) == 0 {
		return nil
	}
	if err := dformat.Finish(st.dir, l.Catalogue.Sources); err != nil {
		st.log.Error("it is not loaded again", zap.Error(err))
		return nil
	}
	return errors.Join(st.dir.Sync(), st.catalogue.TakenOver())
}

// makeDurable makes durable what a start has found and made.
func (l *start) makeDurable(takenOver bool) (err error) {
	switch {
	case !l.st.loose():
		err = l.cs.syncEverything()
	case takenOver:
		err = errors.Join(l.st.syncAll(), l.cs.loosen())
	default:
		err = l.cs.loosen()
	}
	if err != nil {
		return fmt.Errorf("what was loaded could not be made durable: %w", err)
	}
	return nil
}

// tidy deletes what nobody needs and keeps what is damaged under other names.
func (l *start) tidy() {
	for _, f := range l.Unneeded {
		if err := disk.RemoveIfThere(f.Dir, f.Name); err != nil {
			l.st.left.Store(true)
			l.st.log.Error("a file that is not needed could not be deleted", zap.Error(err))
		}
	}
	for _, f := range l.Aside {
		if err := f.Dir.Rename(f.Name, asideName(f.Name)); err != nil && !disk.IsNotExist(err) {
			l.st.log.Error("a damaged file could not be set aside", zap.Error(err))
		}
	}
}

// relink stores the order of the files of a storage.
func (s *Storage) relink() error {
	for _, number := range s.numbers {
		var before *part
		for _, p := range s.parts {
			if p.InFile() && p.number == number {
				if err := s.setNext(before, number, p.Head().Link); err != nil {
					return err
				}
				before = p
			}
		}
		if err := s.setNext(before, number, ring.Link{}); err != nil {
			return err
		}
	}
	return nil
}

// undo closes everything and leaves what was there before the start. What is taken over for good
// stays.
func (l *start) undo() (err error) {
	st := l.st
	known := l.Catalogue.Queues
	if st.catalogue != nil {
		known = st.catalogue.Content().Queues
	}
	for _, s := range l.storages() {
		for _, p := range s.parts {
			if _, ok := known[p.number]; p.InFile() && !ok {
				err = errors.Join(err, p.Remove())
			} else {
				err = errors.Join(err, p.Close())
			}
		}
	}
	err = errors.Join(err, st.ringFiles.close(), st.spillFiles.close())
	if st.catalogue != nil {
		err = errors.Join(err, st.catalogue.Close())
		// It goes last: without it, a file that is left would be held to have lost its catalogue.
		if l.Fresh && l.Catalogue.Damage == nil && l.Phase == catalogue.Serving && len(known) == 0 && err == nil {
			err = st.dir.Remove(catalogue.FileName)
		}
	}
	return errors.Join(err, st.lock.Close())
}
