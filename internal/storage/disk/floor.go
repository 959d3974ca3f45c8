package disk

import (
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Floor is a directory in which nothing is created and nothing is written to any more as soon
// as its file system has less than so many bytes left, or has turned out to be full. Then each
// attempt fails at once, without a system call, until Probe finds that there is room again.
//
// Its methods are safe for concurrent use.
type Floor struct {
	Dir
	least   atomic.Uint64
	full    atomic.Pointer[FullError]
	written atomic.Int64 // bytes since the last look at what is free
	refused atomic.Uint64
}

// FullError says that nothing can be written because the disk is full, or nearly.
type FullError struct {
	Path  string
	Least uint64 // [Storage] min_free
	Cause error  // of the system; nil if less than min_free is left
}

func (e *FullError) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("the disk of %s is full: %v", e.Path, e.Cause)
	}
	return fmt.Sprintf("the disk of %s has less than [Storage] min_free = %d bytes left", e.Path, e.Least)
}

func (e *FullError) Unwrap() error { return e.Cause }

// Is makes errors.Is(err, unix.ENOSPC) true, whatever was the first to be hit.
func (e *FullError) Is(target error) bool { return target == unix.ENOSPC }

// WithFloor returns dir with a floor of that many bytes.
func WithFloor(dir Dir, least uint64) *Floor {
	d := &Floor{Dir: dir}
	d.SetLeast(least)
	return d
}

// SetLeast makes the floor another one.
func (d *Floor) SetLeast(least uint64) { d.least.Store(least) }

// lookEvery is how many bytes are written before another look at what is free.
const lookEvery = 4 << 20

// Full returns why nothing is written at the moment, or nil.
func (d *Floor) Full() *FullError { return d.full.Load() }

// Refused is how many operations have failed because the disk is full.
func (d *Floor) Refused() uint64 { return d.refused.Load() }

// Probe looks whether there is room again, if there was none, or still. It is to be called
// once a period.
func (d *Floor) Probe() {
	if d.full.Load() == nil && d.written.Load() == 0 {
		return // nothing has changed by us
	}
	d.look()
}

func (d *Floor) look() {
	d.written.Store(0)
	free, err := d.Dir.Free()
	switch {
	case err != nil:
	case free < d.least.Load() || free == 0:
		d.full.CompareAndSwap(nil, &FullError{Path: d.Dir.Path(""), Least: d.least.Load()})
	default:
		d.full.Store(nil)
	}
}

// Check fails if nothing can be written at the moment, as writing would.
func (d *Floor) Check() error { return d.before() }

// before fails if nothing is to be written.
func (d *Floor) before() error {
	if full := d.full.Load(); full != nil {
		d.refused.Add(1)
		return full
	}
	return nil
}

// after notes what came of writing n bytes.
func (d *Floor) after(n int, err error) error {
	switch {
	case errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT):
		full := &FullError{Path: d.Dir.Path(""), Least: d.least.Load(), Cause: err}
		d.full.Store(full)
		d.refused.Add(1)
		return full
	case err != nil:
		return err
	case d.written.Add(int64(n)) >= lookEvery:
		d.look()
	}
	return nil
}

// Open implements Dir.
func (d *Floor) Open(name string) (File, error) {
	f, err := d.Dir.Open(name)
	if err != nil {
		return nil, err
	}
	return floorFile{f, d}, nil
}

// OpenToRead is what the function of that name asks for.
func (d *Floor) OpenToRead(name string) (File, error) { return OpenToRead(d.Dir, name) }

// Create implements Dir.
func (d *Floor) Create(name string) (File, error) {
	if err := d.before(); err != nil {
		return nil, err
	}
	f, err := d.Dir.Create(name)
	if err := d.after(0, err); err != nil {
		return nil, err
	}
	return floorFile{f, d}, nil
}

type floorFile struct {
	File
	dir *Floor
}

func (f floorFile) Fill(offset, n int64) error {
	if err := f.dir.before(); err != nil {
		return err
	}
	return f.dir.after(int(n), f.File.Fill(offset, n))
}

func (f floorFile) WriteAt(b []byte, offset int64) (int, error) {
	if err := f.dir.before(); err != nil {
		return 0, err
	}
	n, err := f.File.WriteAt(b, offset)
	return n, f.dir.after(n, err)
}
