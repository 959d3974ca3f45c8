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
// delivered to w, as they lie in a ring. It changes nothing, maps nothing and trusts nothing.
// Damages tells what a node would not hand out, and why; any other error says that the file can't
// be read, or w not be written to.
func Inspect(dir disk.Dir, name string, h Head, w io.Writer) (Intact, error) {
	i := inspection{to: w, head: h, path: dir.Path(name)}
	if h.Held == 0 {
		return i.found, nil
	}
	if err := h.check(h.Capacity); err != nil {
		i.damage(0, "%v", err)
		return i.found, i.result(nil)
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
		err = i.walkAll(h.Read, h.Write)
	} else if err = i.walkAll(h.Read, h.Gap); err == nil {
		err = i.walkAll(0, h.Write)
	}
	if lost := h.Held - i.found.Records - i.found.Delivered; err == nil && lost > 0 {
		if len(i.damages) == 0 {
			i.damage(0, "it has %d records less than its head tells", lost)
		}
	}
	return i.found, i.result(err)
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
	at, reason, err := i.walk(0, i.size)
	if reason != "" {
		i.damage(at, "%s", reason)
	}
	return i.found, i.result(err)
}

// Damages is all that is wrong with a file.
type Damages []*DamageError

func (d Damages) Error() string {
	if len(d) == 1 {
		return d[0].Error()
	}
	return fmt.Sprintf("%v (and %d more such places)", d[0], len(d)-1)
}

// Unwrap returns the first one.
func (d Damages) Unwrap() error { return d[0] }

// inspection goes through a ring file.
type inspection struct {
	file    disk.File
	path    string
	size    uint64 // of the data
	head    Head
	to      io.Writer
	salvage bool // zeros are the end, and not an empty record

	left    uint64 // records that are to come
	found   Intact
	damages Damages
}

func (i *inspection) open(file disk.File) error {
	size, err := file.Size()
	if err != nil {
		return err
	}
	i.file, i.size, i.left = file, uint64(max(0, size-headSize)), i.head.Held
	return nil
}

// walkAll goes through consecutive records. Behind damage it goes on where a record is known to
// begin.
func (i *inspection) walkAll(pos, end uint64) error {
	entries, err := i.entries(pos, end)
	if err != nil {
		return err
	}
	rotten, err := i.rotten(entries, end)
	if err != nil {
		return err
	}
	for pos < end && i.left > 0 {
		limit, bad := end, pos/blockSize
		for ; bad*blockSize < end; bad++ {
			if rotten[bad] != "" {
				limit = max(pos, bad*blockSize)
				break
			}
		}
		at, reason, err := i.walk(pos, limit)
		switch {
		case err != nil:
			return err
		case limit < end:
			at, reason = max(at, limit), rotten[bad]
		case reason == "":
			return nil
		default:
			bad = at / blockSize
		}
		i.damage(at, "%s", reason)
		pos = end
		for block := bad + 1; block*blockSize < end; block++ {
			if start := entries[block].start(int(block)); start >= 0 && uint64(start) < end && rotten[block] == "" {
				pos = uint64(start)
				break
			}
		}
	}
	return nil
}

// entries reads those of the blocks in which records lie, by block.
func (i *inspection) entries(pos, end uint64) (map[uint64]entry, error) {
	all := make(map[uint64]entry)
	if !i.head.Sums || i.head.Unsure {
		return all, nil
	}
	var b [8]byte
	for block := pos / blockSize; block*blockSize < end; block++ {
		n, err := i.file.ReadAt(b[:], int64(i.head.entryAt(int(block))))
		if err != nil && err != io.EOF {
			return nil, i.unreadable(err)
		}
		if n == len(b) {
			all[block] = entry(word(b[:], 0))
		}
	}
	return all, nil
}

// rotten tells what is wrong with blocks that do not have the checksums that they should have.
func (i *inspection) rotten(entries map[uint64]entry, end uint64) (map[uint64]string, error) {
	all := make(map[uint64]string)
	b := make([]byte, blockSize)
	for block, e := range entries {
		if !e.covers() {
			continue
		}
		from := block * blockSize
		data := b[:min(blockSize, i.head.Capacity-from)]
		n, err := i.file.ReadAt(data, int64(headSize+from))
		if err != nil && err != io.EOF {
			return nil, i.unreadable(err)
		}
		if n < len(data) && headSize+from+uint64(n) < headSize+end {
			continue // the file is too short, which is said when that place is reached
		}
		clear(data[n:])
		if reason := e.compare(data); reason != "" {
			all[block] = reason
		}
	}
	return all, nil
}

// walk goes through consecutive records, and returns where it stopped, and why if that is not the
// end.
func (i *inspection) walk(pos, end uint64) (at uint64, reason string, err error) {
	in := bufio.NewReaderSize(io.NewSectionReader(i.file, int64(headSize+pos), int64(end-pos)), 256<<10)
	for pos < end && i.left > 0 {
		if i.size < pos+HeaderSize {
			return pos, i.short(end), nil
		}
		b, err := in.Peek(HeaderSize)
		if end-pos < HeaderSize {
			return pos, noRecord, nil
		}
		if err != nil {
			return pos, "", i.unreadable(err)
		}
		length := binary.LittleEndian.Uint64(b)
		size, marked := parseLength(length)
		switch {
		case i.salvage && length == 0:
			return pos, "", nil
		case size < HeaderSize, size > end-pos:
			return pos, noRecord, nil
		}
		if i.size < pos+size {
			return pos, i.short(end), nil
		}
		if marked {
			if _, err := in.Discard(int(size)); err != nil {
				return pos, "", i.unreadable(err)
			}
			i.found.Delivered++
		} else {
			if _, err := io.CopyN(i.to, in, int64(size)); err != nil {
				return pos, "", i.unreadable(err)
			}
			i.found.Records++
			i.found.Bytes += length
		}
		pos, i.left = pos+size, i.left-1
	}
	return pos, "", nil
}

const noRecord = "what lies there is no record"

func (i *inspection) short(end uint64) string {
	return fmt.Sprintf("it has %d bytes, and records up to %d", headSize+i.size, headSize+end)
}

func (i *inspection) damage(pos uint64, format string, arguments ...any) {
	e := &DamageError{File: i.path, Reason: fmt.Sprintf(format, arguments...)}
	if pos > 0 || i.found != (Intact{}) {
		e.Offset = int64(headSize + pos)
	}
	i.damages = append(i.damages, e)
}

// result is the error of the inspection.
func (i *inspection) result(err error) error {
	if err == nil && len(i.damages) > 0 {
		return i.damages
	}
	return err
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
