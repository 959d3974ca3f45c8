package overflow

// State is what must survive a crash for one storage. Positions are logical: see the
// package comment. If Records is 0, First, Last and Bytes are 0 too.
type State struct {
	ID      uint32 // of the storage in record headers, 1 or more
	First   int64  // position of the oldest record that is not freed
	Last    int64  // position of the newest record
	Records uint64
	Bytes   uint64 // of the payloads
}

// without returns the State with so many records less.
func (s State) without(c count) State {
	s.Records -= c.records
	s.Bytes -= c.bytes
	return s
}

// Entry is the State of a storage with its name.
type Entry struct {
	Name string
	State
}

// Global is what must survive a crash for the data file.
type Global struct {
	// Base is the logical position of the first byte of the file.
	Base int64
	// Cut, if not 0, is the number of bytes that are just being cut off the head of the
	// file, and CutSize the size of the file before that.
	Cut, CutSize int64
}
