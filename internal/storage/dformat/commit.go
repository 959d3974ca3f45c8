package dformat

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// Temporary names. The D node ignores files that are called so without a word.
const (
	newDataName  = "overflow-new.dat"
	newIndexName = "ofchannels-new.csv"
	newDumpStem  = "dump-"
	newDumpEnd   = ".dat"
)

func temporaryDump(number uint64) string {
	return fmt.Sprintf("%s%06d%s", newDumpStem, number, newDumpEnd)
}

// Commit gives the files that Write has made of contents their names: first the index, then the
// data file of the overflow, then the dumps, as many as can get one (storage spec §6). It can be
// called again after it has failed: what is not there under a temporary name has its own. The
// caller syncs the directory.
func Commit(dir disk.Dir, contents []Content) error {
	moves := [][2]string{{newIndexName, indexName}, {newDataName, dataName}}
	for _, c := range contents {
		if c.Dumped() {
			moves = append(moves, [2]string{temporaryDump(c.Number), DumpFile(c.Storage)})
		}
	}
	var failed error
	for _, move := range moves {
		err := dir.Rename(move[0], move[1])
		switch {
		case err == nil, disk.IsNotExist(err):
		case move[1] == indexName: // without it, an original node would lose the overflow
			return err
		default:
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// temporary reports whether Write makes files of that name, which Commit renames.
func temporary(name string) bool {
	digits, isDump := strings.CutPrefix(name, newDumpStem)
	digits, ends := strings.CutSuffix(digits, newDumpEnd)
	number, err := strconv.ParseUint(digits, 10, 64)
	return name == newDataName || name == newIndexName || isDump && ends && err == nil && name == temporaryDump(number)
}

// temporaryFiles lists those that are there.
func temporaryFiles(dir disk.Dir) (names []string, err error) {
	entries, err := dir.List()
	for _, e := range entries {
		if temporary(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// Discard deletes the files that Write has made and Commit has not renamed.
func Discard(dir disk.Dir) error {
	names, err := temporaryFiles(dir)
	for _, name := range names {
		err = errors.Join(err, disk.RemoveIfThere(dir, name))
	}
	return err
}

// fewFiles is how many files are synced one by one: with more it is faster to sync everything,
// although that may include much that is not wanted.
const fewFiles = 64

// Sync makes the files durable that Write has made.
func Sync(dir disk.Dir) error {
	names, err := temporaryFiles(dir)
	if err != nil {
		return err
	}
	if len(names) > fewFiles {
		return dir.SyncAll()
	}
	for _, name := range names {
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
