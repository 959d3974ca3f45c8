package dformat

import "github.com/sociomantic-tsunami/dmqnode/v2/internal/storage/disk"

// Directory is what a data directory holds in the D node's formats.
type Directory struct {
	// Queues is all that is to be loaded: those with overflow records by overflow id, then the
	// others by name. A queue without records is an empty subscription.
	Queues   []*Queue
	Ignored  []Ignored // files that are not loaded, by name
	Findings []Finding // what is damaged, outdated or in doubt, and what was decided
	Sources  []Source  // files to finish once their records are elsewhere

	dir        disk.Dir
	overflow   *overflow
	taken      map[string]bool   // names of files, also those promised to files to be set aside
	aside      []string          // what becomes of the overflow files, if they are set aside
	byStorage  map[string]*Queue // all queues
	subscribed map[string]*Queue // one queue of a subscriber, by channel
}

// Queue is the records of one storage, those of the dump before those of the overflow.
type Queue struct {
	Storage    string // its name
	Channel    string
	Subscriber string
	Subscribed bool // it is that of a subscriber, whose name may be empty

	Dump, Overflow Part

	ID    uint32 // in the overflow, 0 = no records there
	First int64  // offset of the oldest of these in the data file
}

// Severity tells how a finding or an ignored file is to be logged.
type Severity int

// Severities.
const (
	Silent  Severity = iota // not at all
	Info                    // good to know
	Warning                 // something is not as a clean stop leaves it
	Error                   // records may be lost, or wait for an operator
)

// Finding is something worth knowing about a file.
type Finding struct {
	Severity Severity
	Storage  string // if it is about one in particular
	File     string // its name
	Offset   int64  // in bytes; 0 = none in particular
	Problem  string
	Meaning  string // for records, and for the next start
	Remedy   string // what an operator can do; "" = nothing needs to be done
}

// Ignored is an entry of the directory that is not loaded.
type Ignored struct {
	Name     string
	Severity Severity
	Reason   string // why: a clause without the name
	Remedy   string // of an Error: what to do, a clause, too
}
