package overflow

import (
	"errors"
	"io"
	"io/fs"
	"strconv"

	"github.com/sociomantic-tsunami/dmqnode/internal/storage/disk"
)

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
	if err := f.writeIndex(entries); err != nil {
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
// and with the ids, of those that the old index lists.
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
	return f.WriteIndex(entries)
}

// writeIndex writes the index; positions must not move meanwhile.
func (f *File) writeIndex(entries []Entry) error {
	var text []byte
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

// readIndex parses the index file of that name. A missing one is empty. bad says what is
// wrong with it.
func readIndex(dir disk.Dir, name string) (entries []IndexEntry, bad *IndexError, err error) {
	file, err := dir.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return nil, nil, err
	}
	entries, err = ParseIndex(io.NewSectionReader(file, 0, size))
	if errors.As(err, &bad) {
		err = nil
	}
	return entries, bad, err
}
