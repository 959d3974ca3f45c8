package disk

import (
	"errors"
	"fmt"
)

// Allocate appends zeros where the file system has no call to reserve disk space, as
// network file systems and old ones do not. What the file has already is taken to have its
// space: nothing may be written there, because the owner stores in mapped parts of it
// meanwhile.
func (f file) Allocate(size int64) error {
	err := f.fallocate("allocate", 0, 0, size)
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if err := f.appendZeros(size); err != nil {
		return fmt.Errorf("write zeros to have %d bytes of %s: %w", size, f.Name(), err)
	}
	return nil
}

// zeros is what is written at once.
var zeros [256 << 10]byte

// appendZeros makes the file at least size bytes long, and makes sure that the zeros have
// arrived: some file systems find out late that there is no room for what was written.
func (f file) appendZeros(size int64) error {
	at, err := f.Size()
	if err != nil || at >= size {
		return err
	}
	for at < size {
		n, err := f.WriteAt(zeros[:min(size-at, int64(len(zeros)))], at)
		if err != nil {
			return err
		}
		at += int64(n)
	}
	return f.Sync()
}
