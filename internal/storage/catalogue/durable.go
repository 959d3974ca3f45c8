package catalogue

import (
	"errors"
	"runtime/debug"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/copies"
	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// durable is up to where the file is durable, which it says itself.
type durable struct {
	sequence uint64
	boot     uint64 // when the machine was started; then all of it counts
	loose    bool
	end      int64
}

const (
	durableAt    = 512
	durableWords = 3
)

func (d *durable) store(b []byte) {
	loose := uint64(0)
	if d.loose {
		loose = 1
	}
	copies.Store(b[durableAt:], d.sequence, []uint64{d.boot, loose, uint64(d.end)})
}

func (d *durable) decode(b []byte) (ok bool) {
	w, sequence, ok := copies.Newest(b[durableAt:], durableWords)
	if ok {
		*d = durable{sequence, w[0], w[1] != 0, int64(w[2])}
	}
	return ok
}

// Mark is what a catalogue says at one time.
type Mark struct {
	end  int64
	anew *Content // if it is to be written anew
}

// Mark returns what the catalogue says now. It is to be made durable, once.
func (f *File) Mark() Mark {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := Mark{end: f.content.end}
	if f.mapping != nil && f.tooLong() && !f.anew {
		m.anew = f.beginAnew()
	}
	return m
}

// IsDurable reports whether what the catalogue said then is durable already.
func (f *File) IsDurable(m Mark) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return m.anew == nil && f.content.durable.end == m.end && !f.content.durable.loose
}

// IsAllDurable reports whether what the catalogue says now is durable.
func (f *File) IsAllDurable() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.content.durable.end == f.content.end && !f.content.durable.loose
}

// Forget is called instead of MakeDurable if that can't be.
func (f *File) Forget(m Mark) {
	if m.anew != nil {
		f.mu.Lock()
		f.anew, f.since = false, nil
		f.mu.Unlock()
	}
}

// MakeDurable makes what the catalogue said then durable, for which all that it refers to must be.
// Entries may be added meanwhile. It reports whether the file is another one now, of which the name is
// not durable yet. It is not to be called by two goroutines at the same time.
func (f *File) MakeDurable(m Mark) (another bool, err error) {
	if m.anew != nil {
		m.anew.durable.loose = false
		return true, f.writeAnew(m.anew)
	}
	if f.IsDurable(m) {
		return false, nil
	}
	file, err := f.dir.Open(FileName)
	if err != nil {
		return false, err
	}
	mapping, err := file.Map(m.end)
	if err == nil {
		if f.unsynced {
			err = f.touch(mapping, m.end)
		}
		if err == nil {
			err = mapping.Sync(headSize, int(m.end))
		}
		if err == nil {
			err = f.storeDurable(mapping, false, m.end)
		}
		f.unsynced = err != nil
		err = errors.Join(err, mapping.Close())
	}
	return false, errors.Join(err, file.Close())
}

// touch makes everything be written again after a sync that failed (see disk.Mapping).
func (f *File) touch(m disk.Mapping, end int64) (err error) {
	defer f.caught(m, debug.SetPanicOnFault(true), &err)
	m.Touch(0, int(end))
	return nil
}

// storeDurable stores a durable end, and syncs it.
func (f *File) storeDurable(m disk.Mapping, loose bool, end int64) (err error) {
	defer f.caught(m, debug.SetPanicOnFault(true), &err)
	f.mu.Lock()
	d := durable{f.content.durable.sequence + 1, f.dir.Boot(), loose, end}
	f.mu.Unlock()
	d.store(m.Bytes())
	if err := m.Sync(0, headSize); err != nil {
		return err
	}
	f.mu.Lock()
	f.content.durable = d
	f.mu.Unlock()
	return nil
}
