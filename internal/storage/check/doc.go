// Package check verifies the data directory of a node and changes nothing in it.
//
// [Directory] goes the way of the next start (storage.Load), with the code that the node
// itself uses to read, and reports what that start would find:
//
//	storages.dat ───▶ slots ───▶ ring-*.dat     positions and every record
//	                      └────▶ overflow.dat   every chain from its first to its last record
//	ofchannels.csv ─▶ entries ─▶ overflow.dat   the same; does not count for a node that was killed
//	*.rq                                        every record
//
// A [Fault] is whatever costs records, leaves records out, makes a start fail or needs a
// decision. A [Note] is what an operator may want to know: files that are ignored, or that
// an earlier start has set aside, and bytes that no record uses.
//
// [Extract] turns records of a file that was set aside into a dump, which a node loads.
//
// # A node that runs
//
// It holds a lock on its directory; looking for that takes the lock for a moment, and only
// where a state file says that there may be such a node. Its files change while they are
// read, so what it has is counted from the state file and not verified. An original node
// holds no lock: its directory must not be checked before it has stopped.
//
// # What is not seen
//
// No file has checksums of the payloads, so flipped bits in them are not found. Records
// that a killed original node had in memory are in no file.
//
// The package imports the packages of storages and names, and is imported by the client
// tool.
package check
