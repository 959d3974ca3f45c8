package overflow

import (
	"errors"
	"io"
	"io/fs"
	"strconv"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// movingMark begins an index that is written while the storages are in use. Their States
// are looked at one after another, so it is none of a single moment: a storage that was
// empty when it was looked at may have records in front of the last ones of another. To a
// D node an empty line means nothing.
const movingMark = "\n"

// newIndexName is the index while it is being written. One that is found is an unfinished
// one and worth nothing.
const newIndexName = "ofchannels-new.csv"

// WriteIndex replaces the index by one of these storages, atomically and durably; those
// without records are left out. The index is what a D node knows about the records, and
// this node if it has lost its States. Without records there is no index to write: it is
// emptied together with the data file.
//
// Write it after CutHead: that moves the offsets in it.
func (f *File) WriteIndex(entries []Entry) error {
	f.moving.RLock()
	defer f.moving.RUnlock()
	f.mu.Lock()
	empty := f.end == f.base
	f.mu.Unlock()
	if empty {
		return nil
	}
	return f.replaceIndex(movingMark, entries)
}

// replaceIndex writes an index that begins with a mark.
func (f *File) replaceIndex(mark string, entries []Entry) error {
	if err := f.writeIndex(mark, entries); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.indexed = true
	if f.end == f.base {
		return f.emptyIndex() // the last record has gone meanwhile
	}
	return nil
}

// Renew does what an earlier process was killed before it could do: it writes the index, or
// empties both files if no storage holds a record. The owner calls it when it has attached all
// States and before the first push: from then on there may be records of others in the places,
// and with the ids, of those that the old index lists. If it can't be replaced, it is emptied:
// no index makes nobody believe anything.
func (f *File) Renew(entries []Entry) error {
	f.mu.Lock()
	empty := f.busy == 0
	if empty && (f.size > 0 || f.indexed) {
		f.reset()
	}
	f.mu.Unlock()
	if empty {
		return nil
	}
	f.moving.RLock()
	defer f.moving.RUnlock()
	err := f.replaceIndex("", entries)
	if err != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		err = errors.Join(err, f.emptyIndex())
	}
	return err
}

// writeIndex writes the index; positions must not move meanwhile.
func (f *File) writeIndex(mark string, entries []Entry) error {
	text := []byte(mark)
	for _, e := range entries {
		if e.Records > 0 {
			text = appendLine(text, e, f.base)
		}
	}
	if err := writeFile(f.dir, newIndexName, text); err != nil {
		f.dir.Remove(newIndexName) // it takes space, which is what there may be too little of
		return err
	}
	if err := f.dir.Rename(newIndexName, f.names.index); err != nil {
		return err
	}
	return f.dir.Sync()
}

// appendLine appends a line of the index (storage spec §3.5).
func appendLine(text []byte, e Entry, base int64) []byte {
	text = append(text, e.Name...)
	text = append(text, ' ')
	text = strconv.AppendUint(text, e.Records, 10)
	text = append(text, ' ')
	text = strconv.AppendUint(text, e.Bytes, 10)
	text = append(text, ' ')
	text = strconv.AppendInt(text, e.First-base, 10)
	text = append(text, ' ')
	text = strconv.AppendInt(text, e.Last-base, 10)
	return append(text, '\n')
}

// writeFile writes a whole file, durably except for its name.
func writeFile(dir disk.Dir, name string, content []byte) (err error) {
	file, err := dir.OpenOrCreate(name)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
	}()
	if err := file.Truncate(0); err != nil {
		return err
	}
	if _, err := file.WriteAt(content, 0); err != nil {
		return err
	}
	return file.Sync()
}

// openIndex creates an empty index if there is none and reports whether there was one
// that is not empty.
func (f *File) openIndex() (found bool, err error) {
	file, err := f.dir.OpenOrCreate(f.names.index)
	if err != nil {
		return false, err
	}
	defer file.Close()
	size, err := file.Size()
	return size > 0, err
}

// emptyIndex truncates the index unless it is known to be empty (with mu held).
func (f *File) emptyIndex() error {
	if !f.indexed {
		return nil
	}
	file, err := f.dir.OpenOrCreate(f.names.index)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Truncate(0); err != nil {
		return err
	}
	f.indexed = false
	return nil
}

// index is what is in an index file.
type index struct {
	entries []IndexEntry
	bad     *IndexError // what is wrong with it behind them
	moving  bool        // it begins with movingMark
}

// readIndex parses the index file of that name. A missing one is empty.
func readIndex(dir disk.Dir, name string) (found index, err error) {
	file, err := dir.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return index{}, nil
	}
	if err != nil {
		return index{}, err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return index{}, err
	}
	start := make([]byte, min(size, int64(len(movingMark))))
	if err := readFull(file, start, 0); err != nil {
		return index{}, err
	}
	found.moving = string(start) == movingMark
	found.entries, err = ParseIndex(io.NewSectionReader(file, 0, size))
	if errors.As(err, &found.bad) {
		err = nil
	}
	return found, err
}
