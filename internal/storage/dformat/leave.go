package dformat

import (
	"errors"
	"fmt"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// Leave takes a queue out that can't be loaded because there is the storage other, already: its
// dump will be set aside. If it has records in the overflow, too, that is an error.
func (d *Directory) Leave(q *Queue, other string) error {
	if q.ID != 0 {
		return fmt.Errorf("the overflow index %s has records of storage %s, but there is %s, too, and a channel that has subscribers "+
			"has no records of its own; to do: find out where the files come from, and move those of one of them out of the directory",
			d.dir.Path(indexName), q.Storage, other)
	}
	d.reportConflict(q, other, d.setAside(DumpFile(q.Storage)))
	for i := range d.Queues {
		if d.Queues[i] == q {
			d.Queues = append(d.Queues[:i], d.Queues[i+1:]...)
			break
		}
	}
	return nil
}

// IsSame reports whether a file of that name is one of the sources, still the same.
func IsSame(dir disk.Dir, name string, sources []Source) bool {
	for _, s := range sources {
		if s.Name == name {
			info, err := dir.Stat(name)
			if err != nil {
				return false
			}
			now := newSource(name, info)
			now.Aside = s.Aside
			return now == s
		}
	}
	return false
}

// MadeByStop reports whether a clean stop that leaves dumps of these storages makes a file of
// that name, temporarily or for good.
func MadeByStop(name string, storages map[string]bool) bool {
	if _, ok := dumpNumber(name); ok {
		return true
	}
	switch name {
	case newDataName, newIndexName, dataName, indexName:
		return true
	}
	stem, suffix := split(name)
	return suffix == dumpSuffix && storages[stem]
}

// Temporary reports whether a clean stop makes files of that name which it then renames.
func Temporary(name string) bool {
	_, ok := dumpNumber(name)
	return ok || name == newDataName || name == newIndexName
}

// fewFiles is how many files are synced one by one: with more it is faster to sync everything,
// although that may include much that is not wanted.
const fewFiles = 64

// Sync makes the files durable that Write has made.
func Sync(dir disk.Dir) error {
	there, err := list(dir)
	if err != nil {
		return err
	}
	var files []string
	for name := range there {
		if Temporary(name) {
			files = append(files, name)
		}
	}
	if len(files) > fewFiles {
		return dir.SyncAll()
	}
	for _, name := range files {
		f, err := dir.Open(name)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return dir.Sync()
}
