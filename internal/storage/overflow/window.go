package overflow

import (
	"fmt"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// Space is reserved in steps, the first small so that a rare overflow costs little, each
// double the one before.
const (
	firstStep = 1 << 20
	lastStep  = 64 << 20
	pageSize  = 4096
)

// window is the mapped part of the file. The mapping begins at the start of the file, but
// only what lies at and behind low is used: see the package comment.
type window struct {
	mapping disk.Mapping
	bytes   []byte // of the mapping; nil if there is none
	low     int64  // offset in the file
	step    int64  // to reserve next time
}

// reserve returns the logical position where need bytes can be appended and the mapped
// bytes there, and writes the magic if there is none yet. It changes nothing that counts:
// commit does.
func (f *File) reserve(need int64) (at int64, b []byte, err error) {
	offset := max(f.end-f.base, magicSize)
	if offset+need > int64(len(f.window.bytes)) {
		if err := f.grow(offset + need); err != nil {
			return 0, nil, fmt.Errorf("no room for %d bytes: %w", need, err)
		}
	}
	if f.end == f.base {
		copy(f.window.bytes, magic)
	}
	return f.base + offset, f.window.bytes[offset : offset+need], nil
}

// grow maps at least the first least bytes of the file, with disk space for all of them.
// After an error everything is as before.
func (f *File) grow(least int64) error {
	least = (least + pageSize - 1) / pageSize * pageSize
	size, step := f.size, f.window.step
	if size < least {
		size, step = max(least, f.size+step), min(2*step, lastStep)
	}
	if err := f.allocate(max(least, f.size), size); err != nil {
		return err
	}
	low := (f.end - f.base) / pageSize * pageSize
	if low < f.end-f.base {
		// The page with the end of the last record may have to come from the disk.
		var b [1]byte
		if err := readFull(f.data, b[:], low); err != nil {
			return err
		}
	}
	mapping, err := f.data.Map(f.size)
	if err != nil {
		return err
	}
	f.unmap()
	f.window = window{mapping: mapping, bytes: mapping.Bytes(), low: low, step: step}
	return nil
}

// allocate makes the file size bytes long or, if there is no room for that, least bytes,
// and reserves disk space for all of it.
func (f *File) allocate(least, size int64) error {
	err := f.data.Allocate(size)
	if err != nil && size > least {
		size = least
		err = f.data.Allocate(size)
	}
	if err != nil {
		// What a failed attempt has taken would be missing elsewhere.
		if undo := f.data.Truncate(f.size); undo != nil {
			f.dataLog.Error("can't give back disk space; look for disk errors, a clean stop tries it again", zap.Error(undo))
		}
		return err
	}
	f.size = size
	return nil
}

// unmap closes the window; the next push opens it again.
func (f *File) unmap() {
	if f.window.mapping == nil {
		return
	}
	if err := f.window.mapping.Close(); err != nil {
		f.dataLog.Error("can't unmap the file; there is nothing to do but to look for disk errors", zap.Error(err))
	}
	f.window = window{step: f.window.step}
}

// storeLink stores the link of h, the header at a logical position.
func (f *File) storeLink(at int64, h header) error {
	offset := at - f.base + linkOffset
	if err := f.note(offset, linkSize); err != nil {
		return err
	}
	if f.window.bytes != nil && offset >= f.window.low {
		h.putLink(f.window.bytes[offset:])
		return nil
	}
	var b [linkSize]byte
	h.putLink(b[:])
	_, err := f.data.WriteAt(b[:], offset)
	return err
}
