// Package check verifies the data directory of a node and changes nothing in it.
//
// [Directory] prints the plan of the next start: storage.MakePlan, the same one that a start
// applies. Then it reads every record that the plan has, in ring files and in those of the
// original, and so knows what that start will hand out:
//
//	catalogue.dat ─▶ queues ─▶ ring-*.dat ─▶ spill-*.dat ─▶ …   every record
//	ofchannels.csv ─▶ overflow.dat                              every chain
//	*.rq                                                        every record
//
// A [Fault] is whatever costs records, leaves records out, makes a start fail or needs a
// decision. A [Note] is what an operator may want to know: files that are ignored, or that
// an earlier start has set aside, and files that nobody needs.
//
// [Extract] turns records of a file that was set aside into a dump, which a node loads.
//
// # A node that runs
//
// It holds a lock on its directory; looking for that takes the lock for a moment, and only
// where a catalogue says that there may be such a node. Its files change while they are
// read, so what it has is counted from the heads of its files and not verified. An original
// node holds no lock: its directory must not be checked before it has stopped.
//
// # What is not seen
//
// No file has checksums of the payloads, so flipped bits in them are not found. Records
// that a killed node had in memory are in no file.
//
// The package imports storage and the packages below it, and is imported by the client tool.
package check
