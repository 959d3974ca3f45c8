// Package storage keeps the records of all channels.
//
//	Channels  ─ name ─▶  Channel  ─ subscriber ─▶  Storage  =  ring, spill files
//
// A channel starts with one plain Storage. The first subscriber takes that storage
// over with all its records; every further subscriber gets a new, empty one. A pushed
// record is copied into every storage of its channel (storage spec §5).
//
// # One queue, a list of rings
//
// A Storage is strictly first in, first out. Records go to the ring while it has room
// and nothing lies in spill files; from the first record that does not fit, all go to
// the last spill file until these are empty again: see parts.go. A queue without records
// costs an entry in the catalogue.
//
// # Handed out, then settled
//
// Records leave a storage in a Run: some consecutive records, in the layout that the
// wire uses, still lying where they were stored. The reader sends them and then
// settles the run: delivered, and their memory is free; or given back, and they are
// the first to be handed out again, in their old order. So a connection that breaks
// costs no record, and no record is copied between a ring and a socket.
//
// # Start and stop
//
// MakePlan reads a directory and changes nothing; Load applies the plan, to new files only;
// Serve makes it count. Close leaves the files of the original, or those of this node.
//
// # Concurrency
//
// One mutex a channel guards everything in it: its storages, their runs and consumers.
// It is held for a batch of pushes or to cut a run, never during network I/O. The
// bytes of a Run may be read without it until the run is settled.
//
// No file is made, opened, written, read or deleted by whoever serves clients, nor with such a lock
// held. Workers do that: ahead of need, if they can; if not, the operation changes nothing and
// returns a *Wait, and its caller, which has the channel locked by a Batch, goes on with something
// else until it is woken and tries again. Consumers are woken anyway, as if their record had come
// only then. Who serves nobody locks a channel without a Batch, and does what is to be done itself.
//
// Lock order: Channels.mu, then Channel.mu, then those of a pool, a worker, the catalogue
// or the disk space of a ring, or of what is mapped, which are the last; and another Channel.mu,
// if it is free, to unmap a file there. A Waker is called with Channel.mu held
// and must only schedule work.
//
// The package imports names and the packages below it: ring, catalogue, dformat, disk.
// Requests and the main program import it.
package storage
