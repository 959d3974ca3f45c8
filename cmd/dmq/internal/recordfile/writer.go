package recordfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Writer appends records to a file. It belongs to one goroutine.
type Writer struct {
	file      *os.File
	out       *bufio.Writer
	size      int64 // with what is in out
	committed int64 // that far the file is left alone
}

// Found is what a file had in it when it was opened.
type Found struct {
	Records int64
	Torn    int64 // bytes of an incomplete record that were cut off
}

// Append opens a file to append to, and makes it if there is none. Of a file that exists
// all records are read and verified. Only one Writer can have the file.
func Append(name string) (w *Writer, found Found, err error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, found, err
	}
	w = &Writer{file: file, out: bufio.NewWriterSize(file, 256<<10)}
	if found, err = w.open(); err != nil {
		file.Close()
		return nil, found, fmt.Errorf("%s: %w", name, err)
	}
	return w, found, nil
}

func (w *Writer) open() (found Found, err error) {
	if err := lock(w.file); err != nil {
		return found, fmt.Errorf("locking, is it in use? %w", err)
	}
	end, err := w.file.Seek(0, io.SeekEnd)
	if err != nil {
		return found, err
	}
	if _, err := w.file.Seek(0, io.SeekStart); err != nil {
		return found, err
	}
	if w.size, found.Records, err = verify(w.file); err != nil {
		return found, err
	}
	if w.size == 0 {
		found.Torn, err = 0, w.begin()
	} else {
		found.Torn, err = end-w.size, w.cut(w.size)
	}
	w.committed = w.size
	return found, err
}

// verify returns where the intact records end, 0 if there is not even the first line.
func verify(in io.Reader) (size, records int64, err error) {
	r, err := NewReader(bufio.NewReaderSize(in, 256<<10))
	if err == ErrTorn {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	for ; ; records++ {
		switch _, err := r.Next(); err {
		case nil:
		case io.EOF, ErrTorn:
			return r.Offset(), records, nil
		case ErrDamaged:
			return 0, 0, fmt.Errorf("%w at byte %d, behind %d intact ones: append to another file", err, r.Offset(), records)
		default:
			return 0, 0, err
		}
	}
}

// begin writes the first line, and makes sure that the file itself survives.
func (w *Writer) begin() error {
	if err := w.cut(0); err != nil {
		return err
	}
	w.out.WriteString(magic)
	w.size = int64(len(magic))
	if err := w.Commit(); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(w.file.Name()))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// cut ends the file at that size, and goes on there.
func (w *Writer) cut(size int64) error {
	if err := w.file.Truncate(size); err != nil {
		return err
	}
	_, err := w.file.Seek(size, io.SeekStart)
	return err
}

// Write appends a record. It may wait in a buffer for Commit, which also reports errors.
func (w *Writer) Write(record []byte) {
	w.out.Write(appendHead(w.out.AvailableBuffer(), record))
	w.out.Write(record)
	w.size += headSize + int64(len(record))
}

// Keep hands all records to the system: they stay in the file, also if the process is killed,
// but the disk need not have them yet. If it fails, those since the last Keep or Commit are
// taken out of the file again, as far as possible.
func (w *Writer) Keep() error {
	if err := w.out.Flush(); err != nil {
		w.cut(w.committed)
		w.out.Reset(w.file)
		w.size = w.committed
		return err
	}
	w.committed = w.size
	return nil
}

// Commit returns when all records are on disk. If it fails, those since the last Keep or
// Commit are taken out of the file again, as far as possible, and the Writer is of no more use.
func (w *Writer) Commit() error {
	err := w.out.Flush()
	if err == nil {
		err = w.file.Sync()
	}
	if err != nil {
		w.cut(w.committed) // or else they are there twice, later
		return err
	}
	w.committed = w.size
	return nil
}

// Size returns the size of the file in bytes with all that was committed.
func (w *Writer) Size() int64 { return w.committed }

// Close closes the file. Records since the last Keep or Commit are taken out again.
func (w *Writer) Close() error {
	if w.size == w.committed {
		return w.file.Close()
	}
	return errors.Join(w.cut(w.committed), w.file.Close())
}
