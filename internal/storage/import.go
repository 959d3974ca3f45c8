package storage

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/dump"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/state"
)

// damagedDump is a dump file that was not loaded, or not completely.
type damagedDump struct {
	file string
	why  error
}

// checkDumps makes sure that the dump files can be read, as long as no file has been changed:
// importDumps comes last. Damage does not count, it is told by what is read.
func (l *loader) checkDumps() error {
	if err := l.openDumps(); err != nil {
		return fmt.Errorf("%w. No file has been changed. Let the node read this one; "+
			"or move it out of the directory: without its records the node can start", err)
	}
	return nil
}

// openDumps opens all dump files, and those without their name, which an interrupted stop has
// left.
func (l *loader) openDumps() error {
	st := l.store
	found, _, err := dump.Scan(st.dir)
	if err != nil {
		return err
	}
	var files []string
	for _, f := range found {
		files = append(files, f.File)
	}
	for _, slot := range st.state.Used() {
		if slot.Identity().Dumped {
			files = append(files, temporaryDump(slot))
		}
	}
	for _, file := range files {
		reader, err := dump.Open(st.dir, file)
		switch {
		case err == nil:
			reader.Close()
		case !errors.Is(err, fs.ErrNotExist): // it may have its name by now
			return err
		}
	}
	return nil
}

// importDumps loads the dump files.
func (l *loader) importDumps() error {
	st := l.store
	log := st.options.Logs("scan-dumpfiles")
	if dir, err := filepath.Abs(st.options.Dir); err == nil {
		log.Info("looking for dump files", zap.String("directory", dir))
	}
	found, ignored, err := dump.Scan(st.dir)
	if err != nil {
		return err
	}
	for _, i := range ignored {
		switch i.Severity {
		case dump.Warning:
			log.Warn("ignored: "+i.Reason, zap.String("file", st.dir.Path(i.Name)))
		case dump.Error:
			log.Error("ignored: "+i.Reason+"; to do: "+i.Remedy, zap.String("file", st.dir.Path(i.Name)))
		}
	}
	for _, f := range found {
		log.Info("dump file found", zap.String("file", st.dir.Path(f.File)))
		if err := l.importDump(f); err != nil {
			return err
		}
	}
	return nil
}

// importDump loads a dump file, unless that has been done before and only its deletion
// is missing.
func (l *loader) importDump(f dump.Found) error {
	st := l.store
	reader, err := dump.Open(st.dir, f.File)
	if err != nil {
		return err
	}
	defer reader.Close()
	s, known := l.imported(f), true
	if s == nil {
		s, known = l.find(f.Storage), false
	}
	if s == nil {
		if s, err = l.add(f.Storage); errors.Is(err, errMixed) {
			l.aside = append(l.aside, damagedDump{f.File, err})
			return nil
		} else if err != nil {
			return err
		}
		if err := st.fill(s, st.options.RingSize(f.Channel)); err != nil {
			return err
		}
	}
	var damage *dump.DamageError
	if known {
		damage, err = read(reader, func([]byte, int) error { return nil })
	} else {
		st.options.Logs("storage:"+s.name).Info("loading dump file", zap.String("file", st.dir.Path(f.File)))
		damage, err = s.appendDump(reader, state.DumpID(f.ID))
	}
	switch {
	case err != nil:
		return err
	case damage != nil:
		l.aside = append(l.aside, damagedDump{f.File, damage})
	default:
		s.kept.dump = f.File
		st.imported = append(st.imported, s.kept)
	}
	return nil
}

// imported returns the storage that has the records of a dump file, or nil. It may have
// been renamed since.
func (l *loader) imported(f dump.Found) *Storage {
	if c := l.channels.byName[f.Channel]; c != nil {
		for _, s := range c.storages {
			if s.kept.imported == state.DumpID(f.ID) {
				return s
			}
		}
	}
	return nil
}

// appendDump appends the records of a dump. If the storage has nothing but records in the
// overflow, these are younger: the original keeps the older ones in the ring.
//
// Until Commit the dump survives a crash, and so must either all of what is made of it or
// nothing. A ring that is to be in memory takes all or nothing, and is not saved; one that is
// only there because there was no room for its file takes nothing.
func (s *Storage) appendDump(reader *dump.Reader, id state.DumpID) (damage *dump.DamageError, err error) {
	last := s.ring.Held() > 0
	inRing := !last && reader.Size() <= uint64(s.ring.Capacity()) &&
		(s.ring.InFile() || !s.kept.store.options.RingInFile)
	push := s.pushDurably
	if inRing {
		push = s.pushRunToRing
	}
	survives := !inRing || s.ring.InFile()
	s.mayHoldEmpty = true
	if survives {
		s.kept.imported = id
	}
	fill := func() error {
		damage, err = read(reader, push)
		return err
	}
	switch {
	case last, inRing && s.firstInOverflow() == nil:
		if err = fill(); err == nil && survives {
			s.save()
		}
	default:
		err = s.refill(fill)
	}
	return damage, err
}

// read hands the records of a dump to push, as far as they are intact.
func read(reader *dump.Reader, push func(run []byte, records int) error) (damage *dump.DamageError, err error) {
	for {
		run, n, err := reader.Next()
		switch {
		case err == io.EOF:
			return nil, nil
		case errors.As(err, &damage):
			return damage, nil
		case err != nil:
			return nil, err
		}
		if err := push(run, n); err != nil {
			return nil, err
		}
	}
}

// setAside renames the dump files that are not to be loaded again, but kept. Their intact
// records are in the storages now, so what was made cannot be undone any more.
func (l *loader) setAside() error {
	st := l.store
	for _, d := range l.aside {
		l.fresh = false
		name, err := dump.SetAside(st.dir, d.file)
		if err != nil {
			return err
		}
		instruction := "; its intact records have been loaded. Keep it as long as the others may be needed"
		if errors.Is(d.why, errMixed) {
			instruction = " and not loaded; to do: while the node is stopped, rename it to that of another storage, STORAGE.rq, or move it away"
		}
		st.options.Logs("scan-dumpfiles").Error("dump file set aside"+instruction,
			zap.String("file", st.dir.Path(d.file)), zap.String("now", st.dir.Path(name)), zap.Error(d.why))
	}
	return nil
}
