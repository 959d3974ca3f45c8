// Package dformat reads and writes the files in which the D node leaves its records
// (storage spec §2 and §3). They are read at a start and written at a clean stop; in between nobody knows
// them.
//
//	NAME.rq         what was in memory, of one storage each
//	overflow.dat    what was not, of all storages
//	ofchannels.csv  whose that is: "storage records bytes first last" a line
//
//	NAME.rq        items u32 │ n u64 │ length u64 │ payload │ length u64 │ payload │ …
//	overflow.dat   QDSKOF01 │ record │ record │ …
//	record         channel u32 │ 0 │ next i64 │ parity u8 │ 0 │ length u64 │ payload
//	               0             4   8          16          17  24           32
//
// All is little-endian. n is the bytes of all records of a dump with their lengths, which is how
// they lie in a ring. next is the distance to the following record of the same storage, 0 in its
// newest one: the records of a storage are a chain through the data file. Nothing marks a record
// as consumed; what the index doesn't list is dead. It is written at a clean stop only, so after a
// crash it may be outdated, cut or lost.
//
// # A start
//
// [Read] looks at every record of a directory and changes nothing: what it returns is the D half of
// the plan of a start, and what 'dmq check' prints. The caller reads the [Part.Runs] of each queue
// into its own form. When that is safe, [Finish] deletes the sources. What a start or a stop of
// this node has left that was interrupted, is told apart by what [Left] says.
//
// What two files prove together is loaded, what they don't prove is not guessed: then records that
// may be lost that way are kept in a file that is set aside, under a name that no node loads, and
// a [Finding] says so. [Extract] makes a dump of them. Damage costs the records that it hits, and
// never a start; a file that the system can't read does, because nobody knows what is in it.
//
// So files are gone through twice, the first time in order, and all that is wrong with them is
// known before the first record is copied. What does not look the same the second time has been
// changed by somebody, and ends the start.
//
// # A stop
//
// [Write] writes everything under names that the D node ignores, and syncs nothing. When the caller
// has synced it and taken note that it is complete, [Commit] renames it. Both and Finish can be
// killed at any point and called again.
//
// # Cost
//
// Memory is bounded by the largest record, the number of storages, the size of the index and the
// number of places that are damaged, whatever the size of the other files. Everything here waits for the disk; nothing may be used by
// two goroutines at once, nor two calls in one directory.
//
// The package imports disk, names and the layout of package ring.
package dformat
