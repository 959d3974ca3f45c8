package overflow

import (
	"errors"
	"slices"
	"time"
)

// hold is what it takes to make the data file again what it was.
type hold struct {
	size     int64
	modified time.Time
	old      []patch // what was where something was stored in place, in that order
}

// Hold makes sure that the data file can be made again what it is now, until Release: what is
// pushed goes behind all that is there, also behind what is in no chain, and the file is not
// emptied. It is called right after Open, by an owner whose States are not the truth yet.
func (f *File) Hold() error {
	info, err := f.dir.Stat(f.names.data)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held = &hold{size: f.size, modified: info.ModTime()}
	f.end = f.base + f.size
	return nil
}

// Release ends Hold: there is no way back any more.
func (f *File) Release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held == nil {
		return
	}
	f.held = nil
	if !f.pushed {
		f.end = f.base
		for _, q := range f.queues {
			f.end = max(f.end, q.newestEnd)
		}
	}
	if f.busy == 0 && f.size > 0 {
		f.reset()
	}
}

// Undo closes the file and makes it what it was when it was held, its age included: to a
// start without States that of the index is compared with it. No queue may be used any more.
func (f *File) Undo() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held == nil {
		return f.abandon()
	}
	f.unmap()
	return errors.Join(f.putBack(), f.data.Close(), f.setBack())
}

// putBack makes the content of the file what it was, if it has changed.
func (f *File) putBack() error {
	for _, p := range slices.Backward(f.held.old) {
		if _, err := f.data.WriteAt(p.bytes, p.offset); err != nil {
			return err
		}
	}
	size, err := f.data.Size()
	if err != nil || size == f.held.size {
		return err
	}
	return f.data.Truncate(f.held.size)
}

// setBack makes the file as old as it was.
func (f *File) setBack() error {
	info, err := f.dir.Stat(f.names.data)
	if err != nil || info.ModTime().Equal(f.held.modified) {
		return err
	}
	return f.dir.SetModTime(f.names.data, f.held.modified)
}

// note keeps what is in the file where n bytes are going to be stored in place (with mu
// held).
func (f *File) note(offset, n int64) error {
	if f.held == nil || offset >= f.held.size {
		return nil
	}
	old := make([]byte, n)
	if err := readFull(f.data, old, offset); err != nil {
		return err
	}
	f.held.old = append(f.held.old, patch{offset, old})
	return nil
}
