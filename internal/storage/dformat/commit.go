package dformat

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
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

// dumpNumber is the number in the temporary name of a dump.
func dumpNumber(name string) (number uint64, ok bool) {
	digits, isDump := strings.CutPrefix(name, newDumpStem)
	digits, ends := strings.CutSuffix(digits, newDumpEnd)
	number, err := strconv.ParseUint(digits, 10, 64)
	return number, isDump && ends && err == nil && name == temporaryDump(number)
}

// Commit gives the files that Write has made their names: first the index, then the data file
// of the overflow, then the dumps, of which names tells the storage by number. It can be called
// again after it has failed or was killed: what is not there under a temporary name has its own.
// The caller syncs the directory.
func Commit(dir disk.Dir, names map[uint64]string) error {
	there, err := list(dir)
	if err != nil {
		return err
	}
	for _, move := range [][2]string{{newIndexName, indexName}, {newDataName, dataName}} {
		if !there[move[0]] {
			continue
		}
		if err := dir.Rename(move[0], move[1]); err != nil {
			return err
		}
	}
	var failed []error
	for _, name := range slices.Sorted(maps.Keys(there)) {
		number, ok := dumpNumber(name)
		if !ok {
			continue
		}
		if storage, ok := names[number]; !ok {
			err = fmt.Errorf("%s is the dump of an unknown storage; to do: find out which, and rename it to STORAGE%s", dir.Path(name), dumpSuffix)
		} else {
			err = dir.Rename(name, DumpFile(storage))
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// Discard deletes the files that Write has made and Commit has not renamed.
func Discard(dir disk.Dir) error {
	there, err := list(dir)
	if err != nil {
		return err
	}
	var failed []error
	for _, name := range slices.Sorted(maps.Keys(there)) {
		if _, dump := dumpNumber(name); !dump && name != newDataName && name != newIndexName {
			continue
		}
		if err := dir.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}
