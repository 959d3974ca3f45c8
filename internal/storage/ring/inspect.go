package ring

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// Intact is the records of a ring file that can be read and are not delivered.
type Intact struct {
	Records, Bytes uint64 // bytes of payload
	Delivered      uint64 // records beside them that are only not freed yet
}

// UsedSpace is that of a ring with these positions, which may be impossible.
func (at Positions) UsedSpace() uint64 {
	switch {
	case at.Held == 0:
		return 0
	case at.Write <= at.Read:
		return at.Gap - at.Read + at.Write
	default:
		return at.Write - at.Read
	}
}

// Inspect reads every record of a ring file, whatever its name, and writes those that are not
// delivered to w, as they lie in a ring. It changes nothing, maps nothing and trusts nothing: a
// *DamageError tells where the records end that a node would hand out, and why. Any other error
// says that the file can't be read, or w not be written to.
func Inspect(dir disk.Dir, name string, h Head, w io.Writer) (Intact, error) {
	i := inspection{to: w, head: h, path: dir.Path(name)}
	if h.Held == 0 {
		return i.found, nil
	}
	if err := h.check(h.Capacity); err != nil {
		return i.found, i.damage(0, "%v", err)
	}
	file, err := disk.OpenToRead(dir, name)
	if err != nil {
		return i.found, err
	}
	defer file.Close()
	if err := i.open(file); err != nil {
		return i.found, err
	}
	if h.Write > h.Read {
		err = i.walk(h.Read, h.Write)
	} else if err = i.walk(h.Read, h.Gap); err == nil {
		err = i.walk(0, h.Write)
	}
	if err == nil && i.left > 0 {
		err = i.damage(0, "it has %d records less than its head tells", i.left)
	}
	return i.found, err
}

// Salvage does what Inspect does for a file whose head does not tell where its records are: it
// takes everything for a record that looks like one, from the start of the data on. They may have
// been delivered before.
func Salvage(dir disk.Dir, name string, w io.Writer) (Intact, error) {
	i := inspection{to: w, path: dir.Path(name)}
	file, err := disk.OpenToRead(dir, name)
	if err != nil {
		return i.found, err
	}
	defer file.Close()
	if err := i.open(file); err != nil || i.size == 0 {
		return i.found, err
	}
	i.left, i.salvage = i.size/HeaderSize, true
	err = i.walk(0, i.size)
	return i.found, err
}

// inspection goes through a ring file.
type inspection struct {
	file    disk.File
	path    string
	size    uint64 // of the data
	head    Head
	to      io.Writer
	salvage bool // zeros are the end, and not an empty record

	left  uint64 // records that are to come
	found Intact
}

func (i *inspection) open(file disk.File) error {
	size, err := file.Size()
	if err != nil {
		return err
	}
	i.file, i.size, i.left = file, uint64(max(0, size-headSize)), i.head.Held
	return nil
}

// walk goes through consecutive records.
func (i *inspection) walk(pos, end uint64) error {
	in := bufio.NewReaderSize(io.NewSectionReader(i.file, int64(headSize+pos), int64(end-pos)), 1<<20)
	for pos < end && i.left > 0 {
		if i.size < pos+HeaderSize {
			return i.damage(pos, "it has %d bytes, and records up to %d", headSize+i.size, headSize+end)
		}
		b, err := in.Peek(HeaderSize)
		if end-pos < HeaderSize {
			return i.damage(pos, "what lies there is no record")
		}
		if err != nil {
			return i.unreadable(err)
		}
		length := binary.LittleEndian.Uint64(b)
		size, marked := parseLength(length)
		switch {
		case i.salvage && length == 0:
			return nil
		case size < HeaderSize, size > end-pos:
			return i.damage(pos, "what lies there is no record")
		}
		if i.size < pos+size {
			return i.damage(pos, "it has %d bytes, and records up to %d", headSize+i.size, headSize+end)
		}
		if marked {
			if _, err := in.Discard(int(size)); err != nil {
				return i.unreadable(err)
			}
			i.found.Delivered++
		} else {
			if _, err := io.CopyN(i.to, in, int64(size)); err != nil {
				return i.unreadable(err)
			}
			i.found.Records++
			i.found.Bytes += length
		}
		pos, i.left = pos+size, i.left-1
	}
	return nil
}

func (i *inspection) damage(pos uint64, format string, arguments ...any) error {
	e := &DamageError{File: i.path, Reason: fmt.Sprintf(format, arguments...)}
	if pos > 0 || i.found != (Intact{}) {
		e.Offset = int64(headSize + pos)
	}
	return e
}

// unreadable is an error of reading or writing. io.EOF would mean that all is well.
func (i *inspection) unreadable(err error) error {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%s: %w", i.path, err)
}

// IsFile reports whether a file begins as a ring file does.
func IsFile(dir disk.Dir, name string) (bool, error) {
	file, err := disk.OpenToRead(dir, name)
	if err != nil {
		return false, err
	}
	defer file.Close()
	b := make([]byte, len(magic))
	if n, err := file.ReadAt(b, 0); n < len(b) && err != io.EOF {
		return false, err
	}
	return string(b) == magic, nil
}
