// Package overflow keeps the records of storages that did not fit their rings, in the
// files of storage spec §3: one data file for all storages of the node, and an index.
//
//	overflow.dat   QDSKOF01 │ record │ record │ …  in push order over all storages
//
//	record   channel u32 │ mark │ next i64 │ parity u8 │ 0 │ length u64 │ payload
//	         0             4      8          16          17  24           32
//
// next is the distance to the following record of the same storage, 0 in its newest one:
// the records of a storage are a chain through the file. mark is 0, except in records that
// were delivered before older ones (Queue.Mark). Nothing else marks a record as consumed; the
// file is emptied when no storage holds a record any more, and its head can be cut off before
// that.
//
// # What survives a crash
//
// [File] is the data file, [Queue] the chain of one storage. All that must survive for a
// storage is its [State], some numbers; for the file its [Global]. The owner keeps both
// where a crash can't lose them, and by this order nothing acknowledged is lost:
//
//  1. Push, Take, Free or Remove change the Queue and, for pushes, the file;
//  2. the owner stores Queue.State in its place: the operation has happened;
//  3. the owner calls Queue.Published: now the file may forget what no State needs;
//  4. whoever asked for the operation is told.
//
// A crash before 2 leaves a record that no State knows. Attach takes it out of the chain,
// and what lies behind the newest known record is overwritten. So after a crash the owner
// calls Renew: an index must not list a storage where another one has its records now.
//
// Positions in a State are logical: the offset in the file is the position minus
// Global.Base. Cutting the head off moves Base and leaves every State as it is.
//
// # Appending
//
// The end of the file is mapped. Disk space is reserved ahead, so a full disk is an error
// of Push. A push copies the record to the end and then stores the link in the newest
// record of its storage: no system call, and at any instant every chain is whole.
// A page of the mapping that the disk can't deliver any more would end the process, so
// links in older parts of the file, which may have left memory, are written with WriteAt.
//
// # Reading
//
// Take reads ahead into buffers, in which records lie one after another in the layout of
// a ring. The chain tells which records there are. If it disagrees with the counters of
// the State, the counters are corrected. If it is damaged, reading goes on at the next
// record of the storage that can be found.
//
// # Without States
//
// After a clean stop, or when a D node has used the directory, there are no States.
// [Recover] makes them from the index and a walk through the whole data file: the links
// divide the records of an id into segments, of which only the last can hold records that
// are not consumed. What the two files don't prove is not guessed: they are set aside.
//
// An index that is older than the data file, or only looks so because the files were copied,
// still proves something: records that lie in front of one that it lists were there when it
// was written, so those of a storage that it doesn't list were consumed. That is why a clean
// stop ends the data file behind the last record in use, and why an index that is written
// while storages are in use, and is none of a single moment, is marked as such.
//
// # Concurrency
//
// All calls of one Queue are serialised by its owner. Different queues and the File may be
// used concurrently. File.moving is held for reading while a position is used for reading
// the file, and for writing while Base changes; File.mu guards the end of the file, the
// mapping and the set of queues. Lock order: the owner's lock of a Queue, moving, mu.
// Files are written and reserved, not synced, with mu held.
//
// The package imports disk and ring and nothing else of the node.
package overflow
