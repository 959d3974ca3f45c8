package dump

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

const (
	// gather is how many bytes of small runs are collected for one write. Larger runs are
	// written from where they are.
	gather = 64 << 10
	// pieceSize is the most that is written at once, in bytes.
	pieceSize = 1 << 20
)

// Write writes a dump under a temporary name, in place of a file that may have it, and makes
// its contents durable. The runs are whole records, as they lie in a ring, oldest first; they
// are only read. Together they must be that many records, at most 2³²−1, and size bytes with
// their 8-byte lengths; no records make the dump of an empty storage.
//
// After an error there is no file of that name, unless the error says that it could not be
// removed.
func Write(dir disk.Dir, temporary string, records, size uint64, runs iter.Seq[[]byte]) error {
	err := write(dir, temporary, records, size, runs)
	if err != nil {
		return fmt.Errorf("write dump %s: %w", dir.Path(temporary), err)
	}
	return nil
}

func write(dir disk.Dir, temporary string, records, size uint64, runs iter.Seq[[]byte]) error {
	if records > math.MaxUint32 {
		return fmt.Errorf("%d records are more than the %d it can hold", records, uint32(math.MaxUint32))
	}
	if err := remove(dir, temporary); err != nil {
		return err
	}
	file, err := dir.Create(temporary)
	if err != nil {
		return err
	}
	if err = fill(file, records, size, runs); err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil {
		return nil
	}
	if left := remove(dir, temporary); left != nil {
		err = fmt.Errorf("%w; what was written is still there: %w", err, left)
	}
	return err
}

func remove(dir disk.Dir, name string) error {
	if err := dir.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// fill writes header and records, provided that the runs are what they are said to be.
func fill(file disk.File, records, size uint64, runs iter.Seq[[]byte]) error {
	out := bufio.NewWriterSize(&appender{file: file}, gather)
	header := binary.LittleEndian.AppendUint32(nil, uint32(records))
	header = binary.LittleEndian.AppendUint64(header, size)
	if _, err := out.Write(header); err != nil {
		return err
	}
	var gotRecords, gotSize uint64
	for run := range runs {
		whole, n := walk(run, math.MaxInt)
		gotRecords += uint64(n)
		gotSize += uint64(whole)
		if whole != len(run) {
			return fmt.Errorf("record %d is not whole", gotRecords+1)
		}
		if gotRecords > records || gotSize > size {
			continue // only count, for the error below
		}
		if _, err := out.Write(run); err != nil {
			return err
		}
	}
	if gotRecords != records || gotSize != size {
		return fmt.Errorf("%d records of %d bytes in all were announced, but there are %d of %d",
			records, size, gotRecords, gotSize)
	}
	return out.Flush()
}

// appender writes at the end of a file that it was given empty.
type appender struct {
	file disk.File
	at   int64
}

func (a *appender) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		piece := p[n:min(len(p), n+pieceSize)]
		var written int
		written, err = a.file.WriteAt(piece, a.at)
		if written < len(piece) && err == nil {
			err = io.ErrShortWrite
		}
		n += written
		a.at += int64(written)
	}
	return n, err
}
