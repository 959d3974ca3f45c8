package dformat

import (
	"iter"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// Content is a queue as it is to be left for a start of the D node. One without records gets an
// empty dump if it is that of a subscriber, and nothing otherwise.
type Content struct {
	// Number of the queue, unlike any other. It is in the temporary name of the dump, and the
	// overflow id if it can be.
	Number         uint64
	Storage        string
	Dump, Overflow Stream
}

// Stream is the records of a part of a queue, and how many there must be.
type Stream struct {
	Records uint64
	Bytes   uint64                // with 8 for each record, as in a ring
	Runs    iter.Seq2[Run, error] // may be nil if there are no records
}

// Need returns the bytes of disk space that Write takes.
func Need(contents []Content) uint64 { return 0 }

// Write writes the files under temporary names. Nothing is synced. The chains of the overflow are
// one behind the other in the order of contents. After an error none of the files is left,
// unless the error says so.
func Write(dir disk.Dir, contents []Content) error { return errNotYet }

// Commit gives the files that Write has made their names: first the index, then the data file of
// the overflow, then the dumps, of which names tells the storage by number. It can be called
// again after it has failed or was killed.
func Commit(dir disk.Dir, names map[uint64]string) error { return errNotYet }

// Discard deletes the files that Write has made and Commit has not renamed.
func Discard(dir disk.Dir) error { return errNotYet }
