package overflow

import (
	"errors"
	"fmt"
	"io/fs"

	"go.uber.org/zap"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

const (
	// cutUnit is what D cuts off a multiple of.
	cutUnit = 1 << 20
	// headSize is the magic and the header of the dummy record behind it.
	headSize = magicSize + headerSize
)

// probeName is as the original's, which ignores it if a kill has left it there.
const probeName = "falloctest_000000"

const cannotShrink = "the file system does not support shrinking the overflow file: " +
	"it keeps its size until all records are consumed"

// probe reports whether the file system can remove the head of a file (storage spec §3.8),
// or may be able to: a full disk, for example, does not let it find out.
func probe(dir disk.Dir, log *zap.Logger) bool {
	err := probeFile(dir)
	switch {
	case err == nil:
		log.Info("the file system supports shrinking the overflow file")
	case errors.Is(err, errors.ErrUnsupported):
		log.Warn(cannotShrink)
		return false
	default:
		log.Error("can't find out whether the overflow file can shrink; it will be tried. Look for disk errors", zap.Error(err))
	}
	return true
}

func probeFile(dir disk.Dir) error {
	if err := dir.Remove(probeName); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := dir.Create(probeName)
	if err != nil {
		return err
	}
	const rest = 100
	err = file.Allocate(cutUnit + rest)
	if err == nil {
		err = file.CollapseHead(cutUnit)
	}
	if err == nil {
		var size int64
		if size, err = file.Size(); err == nil && size != rest {
			err = fmt.Errorf("%s has %d bytes after shrinking, not %d", dir.Path(probeName), size, rest)
		}
	}
	return errors.Join(err, file.Close(), dir.Remove(probeName))
}

// CutHead removes what lies before the oldest record of all storages from the file, in
// units of 1 MiB, and returns how many bytes that were. It does nothing if the file system
// can't do it. Positions in States stay as they are; offsets in the index do not.
//
// Pushes and reads wait meanwhile.
func (f *File) CutHead() (int64, error) {
	f.moving.Lock()
	defer f.moving.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.canCut {
		return 0, nil
	}
	first := f.oldest() - f.base
	n := (first - headSize) / f.cutUnit * f.cutUnit
	if f.busy == 0 || n <= 0 {
		return 0, nil
	}
	err := f.cut(n, first)
	if errors.Is(err, errors.ErrUnsupported) {
		f.canCut = false
		f.log.Warn(cannotShrink)
		return 0, nil
	}
	if err != nil {
		f.dataLog.Error("can't truncate the head; look for disk errors, it is tried again and again", zap.Int64("bytes", n), zap.Error(err))
		return 0, err
	}
	f.dataLog.Info("head truncated", zap.Int64("bytes", n))
	return n, nil
}

// oldest returns the position of the oldest record that is needed, or nothing.
func (f *File) oldest() int64 {
	oldest := int64(nothing)
	for _, q := range f.queues {
		oldest = min(oldest, q.keep.Load())
	}
	return oldest
}

// cut removes n bytes from the head of the file, whose oldest record begins at offset
// first. The new head is written before, to where it will be the head: so the file is
// whole at any instant.
func (f *File) cut(n, first int64) error {
	f.unmap()
	var head [headSize]byte
	copy(head[:], magic)
	dummy := header{length: uint64(first - n - headSize)}
	dummy.put(head[magicSize:])
	if _, err := f.data.WriteAt(head[:], n); err != nil {
		return err
	}
	if dummy.length > 0 {
		// For the sake of D, which does so too. Nobody reads it.
		if err := f.data.Zero(n+headSize, int64(dummy.length)); err != nil {
			f.dataLog.Warn("can't zero the dummy record", zap.Error(err))
		}
	}
	f.publish(Global{Base: f.base, Cut: n, CutSize: f.size})
	err := f.data.CollapseHead(n)
	if err == nil {
		f.base += n
		f.size -= n
	}
	f.publish(Global{Base: f.base})
	return err
}

// ErrResized says that a data file whose head was just being cut off has neither its old size
// nor the new one, so that nobody knows what lies where.
var ErrResized = errors.New("the size of the file was changed while nobody used it")

// finishCut returns the base after a crash: whether the head was cut off before it, the
// size of the file tells.
func finishCut(g Global, size int64) (base int64, err error) {
	switch {
	case g.Cut == 0 || size == g.CutSize:
		return g.Base, nil
	case size == g.CutSize-g.Cut:
		return g.Base + g.Cut, nil
	}
	return 0, fmt.Errorf("%w: %d bytes of %d were being cut off its head, and now it has %d",
		ErrResized, g.Cut, g.CutSize, size)
}
