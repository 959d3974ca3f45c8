package state

import (
	"bufio"
	"fmt"
	"io"
	"math"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// Snapshot is what a state file tells.
type Snapshot struct {
	Header Header
	Slots  []*Slot // those in use, by position; copies, which nobody else has
	// Lost is an ErrDamaged if there are fewer slots in use than there should be. While a node
	// has the file open, that may be because one was just taken or freed.
	Lost error
}

// Inspect reads the state file and changes nothing. A node may have the file open: then
// slots may be as they were at slightly different moments, and the positions in one may,
// rarely, not belong together. The error is fs.ErrNotExist if there is no such file, and
// ErrDamaged if it is not what a node leaves behind.
func Inspect(dir disk.Dir) (*Snapshot, error) {
	file, err := dir.Open(FileName)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	s, err := inspect(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir.Path(FileName), err)
	}
	return s, nil
}

func inspect(file disk.File) (*Snapshot, error) {
	size, err := file.Size()
	if err != nil {
		return nil, err
	}
	slots := (size - headerSize) / slotSize
	if slots < firstSlots || slots > maxSlots {
		return nil, fmt.Errorf("%w: %d bytes", ErrDamaged, size)
	}
	in := bufio.NewReaderSize(io.NewSectionReader(file, 0, math.MaxInt64), 64*slotSize)
	page := make([]byte, headerSize)
	if _, err := io.ReadFull(in, page); err != nil {
		return nil, err
	}
	if string(page[:len(magic)]) != magic {
		return nil, notOurs(page[:len(magic)])
	}
	s := &Snapshot{}
	var used uint64
	if s.Header, used, err = parseHeader(page); err != nil {
		return nil, err
	}
	unused := make([]byte, slotSize)
	for i := range int(slots) {
		slot := &Slot{index: i, bytes: unused}
		if _, err := io.ReadFull(in, slot.bytes); err != nil {
			return nil, err
		}
		if err := slot.load(); err != nil {
			return nil, err
		}
		if slot.used {
			s.Slots = append(s.Slots, slot)
			unused = make([]byte, slotSize)
		}
	}
	s.Lost = checkUsed(uint64(len(s.Slots)), used)
	return s, nil
}
