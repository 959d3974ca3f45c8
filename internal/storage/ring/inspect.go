package ring

import (
	"fmt"
	"runtime/debug"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// Intact is the records of a ring file that Open would take over, without those that are
// marked as delivered.
type Intact struct {
	Records      uint64
	PayloadBytes uint64
	// End is the offset in the file behind the last of them.
	End int64
}

// Inspect verifies the ring in a file as Open does, and changes nothing. If the file holds
// fewer intact records than the positions tell, it returns those and a *DamageError.
func Inspect(dir disk.Dir, name string, owner Owner, capacity uint64, at Positions) (found Intact, err error) {
	file, err := dir.Open(name)
	if err != nil {
		return Intact{}, err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return Intact{}, err
	}
	damage := &DamageError{File: dir.Path(name), Want: at.Held}
	usable := damage.checkSize(size, capacity)
	if usable == 0 {
		return Intact{}, damage
	}
	m, err := file.Map(usable)
	if err != nil {
		return Intact{}, err
	}
	defer m.Close()
	err = readingMapped(dir.Path(name), func() error {
		r := &Ring{data: m.Bytes()[fileHeader:]}
		r.examine(m.Bytes(), owner, capacity, at, damage)
		found = r.intact()
		if damage.Reason != "" {
			return damage
		}
		return nil
	})
	return found, err
}

// intact counts the records of a ring that was just restored.
func (r *Ring) intact() Intact {
	records, size := r.held, r.UsedSpace()
	for r.marked > 0 {
		if run, n := r.TakeMarked(); n > 0 {
			records -= n
			size -= len(run)
		} else {
			r.Take(len(r.data), r.held)
		}
	}
	return Intact{uint64(records), uint64(size - records*HeaderSize), fileHeader + int64(r.write)}
}

// PayloadBytes is the sum of the payload lengths of the records between the positions.
func (p Positions) PayloadBytes() uint64 {
	used := p.Write - p.Read
	if p.Write <= p.Read {
		used += p.Gap
	}
	return used - min(used, p.Held*HeaderSize)
}

// readingMapped makes a page of a mapped file that cannot be read an error instead of the
// end of the process.
func readingMapped(path string, read func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		fault := recover()
		if _, ok := fault.(interface{ Addr() uintptr }); ok {
			err = fmt.Errorf("%s cannot be read completely", path)
		} else if fault != nil {
			panic(fault)
		}
	}()
	return read()
}
