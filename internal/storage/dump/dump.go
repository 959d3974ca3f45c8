// Package dump reads and writes the files in which the records of a ring wait for the next
// start of the node: <storage>.rq in the data directory (storage spec §2).
//
// # The file
//
//	0       4       12                                              12+n
//	┌───────┬───────┬────────┬───────────┬────────┬───────────┬ … ┬──────────
//	│ items │   n   │ length │ payload … │ length │ payload … │   │ ignored
//	└───────┴───────┴────────┴───────────┴────────┴───────────┴ … ┴──────────
//	 uint32  uint64  uint64                uint64        all little-endian, nothing is padded
//
// items is the number of records and n that of the bytes they take, oldest record first.
// The records lie as in a ring (package ring), so runs go from a ring to the file and from
// the file to a ring as they are. A file of 12 zero bytes is a storage without records: it
// keeps an empty subscription alive (§5.5).
//
// The original reads and writes the same files; it refuses to start if it finds one that
// breaks a rule of §2.6. So [Write] checks what it is given against all of them but the
// capacity of the ring, which it does not know, and nothing is called .rq until it is
// complete and on disk: Write makes a file of another name, [Commit] renames it.
//
// # What is read
//
// [Scan] tells which files of a directory are dumps. A [Reader] hands out records as far as
// the file proves them to be whole, and then says at which byte that ends, and why. It
// needs the memory of its buffer, however large the dump is. A dump may be larger than the
// ring it is to fill: what does not fit is the caller's business.
//
// # Concurrency
//
// No two goroutines may work on the same file, nor in the same directory while [SetAside]
// looks for a name. A Reader belongs to one goroutine. Everything here waits for the disk.
//
// The package imports disk and names.
package dump

import (
	"encoding/binary"
	"fmt"

	"github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"
)

// Suffix ends the names of dump files.
const Suffix = ".rq"

const (
	headerSize       = 12 // of the file
	recordHeaderSize = 8
)

// FileName is the name of the dump file of a storage.
func FileName(storage string) string { return storage + Suffix }

// Commit makes the file of that temporary name the dump of the storage, in place of one that
// may be there. That is durable once the directory has been synced, which the caller does
// after the last one. After an error the directory is as it was.
func Commit(dir disk.Dir, temporary, storage string) error {
	if err := dir.Rename(temporary, FileName(storage)); err != nil {
		return fmt.Errorf("dump of storage %s: %w", storage, err)
	}
	return nil
}

// walk measures the whole records at the front of b, at most limit of them.
func walk(b []byte, limit int) (size, records int) {
	for records < limit && len(b)-size >= recordHeaderSize {
		length := binary.LittleEndian.Uint64(b[size:])
		if length > uint64(len(b)-size-recordHeaderSize) {
			break
		}
		size += recordHeaderSize + int(length)
		records++
	}
	return size, records
}
