// Package storage keeps the records of all channels.
//
//	Channels  ─ name ─▶  Channel  ─ subscriber ─▶  Storage  =  ring + overflow
//
// A channel starts with one plain Storage. The first subscriber takes that storage
// over with all its records; every further subscriber gets a new, empty one. A pushed
// record is copied into every storage of its channel (storage spec §5).
//
// # One queue, two places
//
// A Storage is strictly first in, first out. Records go to the ring while it has room
// and nothing lies in the overflow; from the first record that does not fit, all go to
// the overflow until that is empty again.
//
// # Handed out, then settled
//
// Records leave a storage in a Run: some consecutive records, in the layout that the
// wire uses, still lying in the ring or the overflow. The reader sends them and then
// settles the run: delivered, and their memory is free; or given back, and they are
// the first to be handed out again, in their old order. So a connection that breaks
// costs no record, and no record is copied between a ring and a socket.
//
// # Concurrency
//
// One mutex a channel guards everything in it: its storages, their runs and consumers.
// It is held for a batch of pushes or to cut a run, never during network I/O. The
// bytes of a Run may be read without it until the run is settled.
//
// Lock order: Channels.mu, then Channel.mu. A Waker is called with Channel.mu held and
// must only schedule work.
//
// The package imports names and the packages below it: ring, overflow, dump, state, disk.
// Requests and the main program import it.
package storage
